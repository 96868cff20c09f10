//! Upkeep: what is too old is given up, the history gets its next partitions and loses its oldest, expired credentials go, and so
//! do subjects whose grace has passed.

use std::time::Duration;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::Worker;

use super::store::upkeep as store;

/// The upkeep worker; a tick does a bounded amount of each.
#[derive(Debug)]
pub struct Maintenance {
    pool: PgPool,
    env: Env,
    retention: Duration,
    history: Duration,
}

impl Maintenance {
    /// Unacknowledged SETs die after `retention`; settled ones are kept for `history`.
    pub fn new(pool: PgPool, env: Env, retention: Duration, history: Duration) -> Self {
        Self { pool, env, retention, history }
    }
}

impl Maintenance {
    async fn make_partitions(&self, now: Timestamp) -> sqlx::Result<()> {
        let mut tx = self.pool.begin().await?;
        store::lock_partitions(&mut tx).await?;
        store::ensure_partitions(&mut tx, now, now.plus(PARTITIONS_AHEAD)).await?;
        tx.commit().await
    }

    async fn drop_partitions(&self, now: Timestamp) -> sqlx::Result<()> {
        let mut tx = self.pool.begin().await?;
        store::lock_partitions(&mut tx).await?;
        // what still waits needs its event, so the history outlives the retention
        let end_of_history = now.minus(self.history.max(self.retention + A_DAY));
        let needed = store::oldest_replayed(&mut tx).await?.unwrap_or(end_of_history);
        store::drop_partitions(&mut tx, end_of_history.min(needed)).await?;
        store::forget_stray_events(&mut tx, end_of_history, FORGOTTEN_AT_ONCE).await?;
        tx.commit().await
    }
}

/// Whoever held what was needed is not waited for: the next tick tries again.
fn given_way(what: &str, done: sqlx::Result<()>) -> sqlx::Result<()> {
    match done {
        Err(error) if is_lock_not_available(&error) => {
            tracing::info!("partitions of the history are {what} later: somebody is reading it");
            Ok(())
        }
        done => done,
    }
}

/// `lock_timeout` has passed (class 55).
fn is_lock_not_available(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "55P03")
}

impl Worker for Maintenance {
    const NAME: &'static str = "maintenance";
    type Error = sqlx::Error;

    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let now = self.env.now();
        // There is a week for it. While somebody reads the history for long (a dump), waiting for him would make everybody
        // wait behind us.
        given_way("made", self.make_partitions(now).await)?;
        given_way("dropped", self.drop_partitions(now).await)?;
        let mut conn = self.pool.acquire().await?;
        crate::client::store::forget_expired_tokens(&mut conn, now.minus(A_DAY)).await?;
        crate::client::authentication::store::forget_assertions(&mut conn, now).await?;
        crate::outbox::store::forget_keys(&mut conn, now.minus(A_DAY)).await?;
        let tidied = crate::stream::subjects::tidy(&self.pool, now).await?;
        let discarded = store::discard_returned(&mut conn, DISCARDED_AT_ONCE, now).await?;
        if discarded > 0 {
            tracing::info!(deliveries = discarded, "discarded what came back to disabled streams");
        }
        let expired = store::expire(&mut conn, now.minus(self.retention), EXPIRED_AT_ONCE, now).await?;
        if expired > 0 {
            tracing::warn!(
                deliveries = expired,
                "gave up deliveries that were never acknowledged; they are dead letters now"
            );
        }
        Ok(usize::try_from(expired.saturating_add(discarded).saturating_add(tidied)).unwrap_or(usize::MAX))
    }
}

const A_DAY: Duration = Duration::from_hours(24);
const PARTITIONS_AHEAD: Duration = Duration::from_hours(24 * 7);
const DISCARDED_AT_ONCE: i64 = 1_000;
const EXPIRED_AT_ONCE: i64 = 1_000;
const FORGOTTEN_AT_ONCE: i64 = 1_000;
