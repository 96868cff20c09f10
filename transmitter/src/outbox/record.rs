//! Making decisions durable: inside somebody's transaction, or in a shared one of ours.

use std::sync::Arc;

use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use ssf_common::clock::{Clock, Timestamp};
use ssf_common::id::Txn;
use ssf_common::runtime::batch::{BatchError, Batcher};
use ssf_common::runtime::worker::Wake;

use super::{EventId, Lane, store};
use crate::issuer::IssuerId;
use crate::stream::StreamKey;

/// A checked decision, ready to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id.
    pub event_id: EventId,
    /// Who decided.
    pub issuer: IssuerId,
    /// A control event's one stream.
    pub stream: Option<StreamKey>,
    /// What it may overtake.
    pub lane: Lane,
    /// Type URI.
    pub event_type: String,
    /// `sub_id`.
    pub subject: Value,
    /// The cause.
    pub txn: Txn,
    /// The event's members.
    pub payload: Value,
    /// The decision.
    pub occurred_at: Timestamp,
}

/// Records one decision in the caller's transaction: it goes out if, and only if, that transaction commits. Other
/// processes are told by NOTIFY at the commit. The connection's `search_path` must be the transmitter's schema; see
/// [`record_within`] for any other.
pub async fn record(conn: &mut PgConnection, event: &NewEvent, now: Timestamp) -> sqlx::Result<()> {
    store::insert(&mut *conn, std::slice::from_ref(event), now).await?;
    store::ring(conn).await
}

/// The same on a connection of the IdP's own, whose `search_path` is not the transmitter's `schema`: it is lent for the
/// insert and given back.
pub async fn record_within(
    conn: &mut PgConnection,
    schema: &str,
    event: &NewEvent,
    now: Timestamp,
) -> sqlx::Result<()> {
    let own = store::swap_search_path(&mut *conn, schema).await?;
    record(&mut *conn, event, now).await?;
    store::swap_search_path(conn, &own).await?;
    Ok(())
}

/// Records decisions of concurrent requests in shared commits.
pub struct Recorder(Batcher<Vec<NewEvent>, (), sqlx::Error>);

impl Recorder {
    /// Must be called inside a tokio runtime. `fan_out` is rung after each commit.
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, fan_out: Wake) -> Self {
        Self(Batcher::new(MAX_REQUESTS, MAX_WAITING, move |requests: Vec<Vec<NewEvent>>| {
            let (pool, clock, fan_out) = (pool.clone(), Arc::clone(&clock), fan_out.clone());
            async move {
                let answers = vec![(); requests.len()];
                let events: Vec<NewEvent> = requests.into_iter().flatten().collect();
                store::insert(&mut *pool.acquire().await?, &events, clock.now()).await?;
                fan_out.wake();
                Ok(answers)
            }
        }))
    }

    /// Returns after the commit.
    pub async fn record(&self, events: Vec<NewEvent>) -> Result<(), RecordError> {
        self.0.submit(events).await
    }

    /// Waits until everything handed in is recorded.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

/// Why nothing was recorded.
pub type RecordError = BatchError<sqlx::Error>;

const MAX_REQUESTS: usize = 500;
const MAX_WAITING: usize = 2_000;
