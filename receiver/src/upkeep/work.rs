//! [`Upkeep`]: one bounded step of cleaning after another.

use std::time::Duration;

use sqlx::PgPool;
use ssf_common::runtime::{Env, Worker};

use super::store;
use crate::config::Settings;
use crate::session::describe::CLOCKS_DIFFER_BY;

/// Cleans. Any number of processes may do so at once.
#[derive(Clone, Debug)]
pub struct Upkeep {
    pool: PgPool,
    env: Env,
    kept: Kept,
}

/// For how long is kept what is cleaned here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Cut-offs: as long as anything they cut off may live.
    pub lineage_cap: Duration,
    /// Records of received SETs, after their issue.
    pub replay_horizon: Duration,
}

impl From<&Settings> for Kept {
    fn from(settings: &Settings) -> Self {
        let (lineage_cap, replay_horizon) = (settings.lineage.cap.duration(), settings.inbox.replay_horizon.duration());
        Self { lineage_cap, replay_horizon }
    }
}

impl Upkeep {
    /// Cleans this database by this clock.
    pub const fn new(pool: PgPool, env: Env, kept: Kept) -> Self {
        Self { pool, env, kept }
    }
}

impl Worker for Upkeep {
    const NAME: &'static str = "upkeep";
    type Error = sqlx::Error;

    /// One step of each kind, a few thousand rows at most; 0 when nothing is left to remove. To be run every hour or so.
    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let now = self.env.now();
        let mut db = self.pool.acquire().await?;
        store::ensure_days(&mut db, now).await?;
        // Who is asked may have a clock that is behind ours: for it, too, everything that old must be over.
        let before = now.minus(self.kept.lineage_cap).minus(CLOCKS_DIFFER_BY);
        let cutoffs = store::collect_cutoffs(&mut db, before, STEP).await?;
        if cutoffs > 0 {
            tracing::info!(
                removed = cutoffs,
                "cut-offs were collected: everything they could cut off is over by its age"
            );
        }
        let days = store::drop_days(&mut db, now.minus(self.kept.replay_horizon)).await?;
        if days > 0 {
            tracing::info!(removed = days, "days of received SETs were dropped: they lie beyond inbox.replay_horizon");
        }
        let sessions = store::remove_sessions(&mut db, before, now.minus(ENDED_KEPT), STEP).await?;
        let rest = store::trim(&mut db, now.minus(self.kept.replay_horizon), now.minus(GRANTS_KEPT), STEP).await?;
        Ok(usize::try_from(cutoffs + sessions + rest).unwrap_or(usize::MAX))
    }
}

const STEP: i64 = 5_000;
/// Grants are counted over seven days at most.
const GRANTS_KEPT: Duration = Duration::from_hours(8 * 24);
/// An ended session waits so long for a straggler that asks why it is unknown.
const ENDED_KEPT: Duration = Duration::from_hours(7 * 24);
