//! Verification events nobody asked for (SSF 1.0 §8.1.4): the receiver sees that the stream works, and so do we.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use ssf_common::event::StreamStatus;
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::{Wake, Worker};

use super::{store, verification};
use crate::outbox::{self, EventId, NewEvent};
use crate::stream::StreamKey;

/// Sends one to every enabled stream each `every`. There is at most one per stream that is not settled: a receiver that is
/// away, or does not poll, finds one when it is back.
#[derive(Debug)]
pub struct Heartbeat {
    pool: PgPool,
    env: Env,
    every: Duration,
    fan_out: Wake,
}

impl Heartbeat {
    /// `every` of zero means never; `fan_out` is rung for what was recorded.
    pub fn new(pool: PgPool, env: Env, every: Duration, fan_out: Wake) -> Self {
        Self { pool, env, every, fan_out }
    }
}

impl Worker for Heartbeat {
    const NAME: &'static str = "heartbeat";
    type Error = sqlx::Error;

    async fn tick(&self) -> Result<usize, sqlx::Error> {
        if self.every.is_zero() {
            return Ok(0);
        }
        let now = self.env.now();
        let mut tx = self.pool.begin().await?;
        let due = store::beat(&mut tx, now.minus(self.every), now, AT_ONCE).await?;
        let free = due.iter().filter(|beating| !beating.is_waiting);
        let events: Vec<NewEvent> =
            free.map(|beating| verification(beating.issuer, beating.stream, None, &self.env)).collect();
        record(&mut tx, &events, &self.env).await?;
        tx.commit().await?;
        if !events.is_empty() {
            self.fan_out.wake();
        }
        Ok(due.len())
    }
}

/// What came of the wish to send one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsolicited {
    /// It is recorded.
    Recorded(EventId),
    /// The last one is not settled; a second would say nothing more.
    StillWaiting,
    /// Nothing is sent on a stream of this status.
    NotEnabled(StreamStatus),
}

/// Records an unsolicited verification event in the caller's transaction. `None` if the stream is gone.
pub(crate) async fn verify_unsolicited(
    conn: &mut PgConnection,
    stream: StreamKey,
    env: &Env,
) -> sqlx::Result<Option<Unsolicited>> {
    let Some(beating) = store::lock_beating(&mut *conn, stream).await? else { return Ok(None) };
    if beating.status != StreamStatus::Enabled {
        return Ok(Some(Unsolicited::NotEnabled(beating.status)));
    }
    if beating.is_waiting {
        return Ok(Some(Unsolicited::StillWaiting));
    }
    let event = verification(beating.issuer, stream, None, env);
    record(conn, std::slice::from_ref(&event), env).await?;
    Ok(Some(Unsolicited::Recorded(event.event_id)))
}

async fn record(conn: &mut PgConnection, events: &[NewEvent], env: &Env) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let (streams, ids): (Vec<StreamKey>, Vec<EventId>) =
        events.iter().filter_map(|event| Some((event.stream?, event.event_id))).unzip();
    outbox::store::insert(&mut *conn, events, env.now()).await?;
    store::note_heartbeats(&mut *conn, &streams, &ids).await?;
    outbox::store::ring(conn).await
}

const AT_ONCE: i64 = 500;
