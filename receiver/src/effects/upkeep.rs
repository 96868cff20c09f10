//! [`Upkeep`]: gives up callbacks that nobody took, and forgets what was told long ago.

use std::time::Duration;

use sqlx::PgPool;
use ssf_common::runtime::{Env, Worker};

use super::store::upkeep as store;

/// Works in steps, so that no statement is long; any number of processes may do it.
#[derive(Clone, Debug)]
pub struct Upkeep {
    pool: PgPool,
    env: Env,
    give_up_after: Duration,
    keep: Duration,
}

impl Upkeep {
    /// Callbacks become dead letters after `give_up_after`; effects and dead letters go after `keep`, which is longer.
    pub const fn new(pool: PgPool, env: Env, give_up_after: Duration, keep: Duration) -> Self {
        Self { pool, env, give_up_after, keep }
    }
}

impl Worker for Upkeep {
    const NAME: &'static str = "effects upkeep";
    type Error = sqlx::Error;

    /// One step of both; returns how much it did.
    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let now = self.env.now();
        let mut db = self.pool.acquire().await?;
        let buried = store::bury(&mut db, now.minus(self.give_up_after), now, STEP).await?;
        if buried > 0 {
            tracing::error!(
                callbacks.count = buried,
                "callbacks were given up; `ssf-receiver effect replay` sends them again"
            );
        }
        let forgotten = store::forget(&mut db, now.minus(self.keep), STEP).await?;
        Ok(usize::try_from(buried + forgotten).unwrap_or(usize::MAX))
    }
}

const STEP: i64 = 500;
