//! [`DenialLog`]: the worker that writes down what the [`Witness`] saw end, off the path of the requests.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::{Env, Worker};

use super::{Witness, store};

/// Writes denials, and removes those that are too old to be reported on.
#[derive(Debug)]
pub struct DenialLog {
    pool: PgPool,
    env: Env,
    witness: Arc<Witness>,
    keep: Duration,
}

impl DenialLog {
    /// Denials of this witness; those of decisions that arrived longer ago than `keep` are removed, with the decisions.
    pub const fn new(pool: PgPool, env: Env, witness: Arc<Witness>, keep: Duration) -> Self {
        Self { pool, env, witness, keep }
    }

    async fn write(&self) -> Result<usize, sqlx::Error> {
        let dropped = self.witness.dropped();
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "more sessions were denied at once than could be remembered; their last times are not known"
            );
        }
        let denials = self.witness.take(MOST_AT_ONCE);
        if denials.is_empty() {
            return Ok(0);
        }
        match async { store::note_denials(&mut *self.pool.acquire().await?, &denials).await }.await {
            Ok(()) => Ok(denials.len()),
            Err(error) => {
                self.witness.note(denials);
                Err(error)
            }
        }
    }

    async fn remove(&self, before: Timestamp) -> Result<usize, sqlx::Error> {
        let removed = store::remove_enforcement(&mut *self.pool.acquire().await?, before, MOST_REMOVED).await?;
        Ok(usize::try_from(removed).unwrap_or_default())
    }
}

impl Worker for DenialLog {
    const NAME: &'static str = "denial log";
    type Error = sqlx::Error;

    /// Writes what waits; with nothing to write, removes a portion of what is too old. To be run every second or so.
    async fn tick(&self) -> Result<usize, sqlx::Error> {
        match self.write().await? {
            0 => self.remove(self.env.now().minus(self.keep)).await,
            written => Ok(written),
        }
    }
}

const MOST_AT_ONCE: usize = 500;
const MOST_REMOVED: i64 = 1_000;
