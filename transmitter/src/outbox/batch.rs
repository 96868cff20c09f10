//! Batches: decisions handed in together, portion by portion, each portion exactly once.

use sqlx::{Connection as _, PgConnection};
use ssf_common::clock::Timestamp;

use super::{BatchId, NewEvent, store};
use crate::issuer::IssuerId;

/// A batch, or the next portion of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewBatch {
    /// Its id.
    pub id: BatchId,
    /// Who decided.
    pub issuer: IssuerId,
    /// Which portion of it, from 0.
    pub portion: i32,
    /// How many decisions the whole has, if there are more than in this portion.
    pub announced: Option<i64>,
}

/// Records one portion of a batch in a transaction of its own, unless it was recorded before; whether it is now. Whoever
/// was interrupted asks again for all portions, and nothing is sent twice. The events must bear the batch's id; other
/// processes are told by NOTIFY.
pub async fn record_portion(
    conn: &mut PgConnection,
    batch: &NewBatch,
    events: &[NewEvent],
    now: Timestamp,
) -> sqlx::Result<bool> {
    let mut tx = conn.begin().await?;
    if !store::begin_portion(&mut tx, batch, events.len(), now).await? {
        return Ok(false);
    }
    store::insert(&mut tx, events, now).await?;
    store::ring(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}
