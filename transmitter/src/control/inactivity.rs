//! Streams whose receiver shows no sign of life are paused (SSF 1.0 §8.1.1, `inactivity_timeout`).

use serde_json::json;
use sqlx::PgPool;
use ssf_common::event::StreamStatus;
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::{Wake, Worker};

use super::{ChangedBy, change, store};
use crate::audit::{self, Actor, Deed};

/// Pauses enabled streams for which neither a management call nor a poll has come within their `inactivity_timeout`. The
/// receiver is told, and enables its stream by itself: what it does otherwise does not.
#[derive(Debug)]
pub struct Inactivity {
    pool: PgPool,
    env: Env,
    push: Wake,
}

impl Inactivity {
    /// `push` is rung for announcements.
    pub fn new(pool: PgPool, env: Env, push: Wake) -> Self {
        Self { pool, env, push }
    }
}

impl Worker for Inactivity {
    const NAME: &'static str = "inactivity";
    type Error = sqlx::Error;

    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let now = self.env.now();
        let idle = store::idle(&mut *self.pool.acquire().await?, now, AT_ONCE).await?;
        let mut paused = 0;
        for store::Addressed { stream, issuer } in idle {
            let mut tx = self.pool.begin().await?;
            if !store::lock_idle(&mut tx, stream, now).await? {
                continue;
            }
            let (to, by) = (StreamStatus::Paused, ChangedBy::Transmitter);
            change(&mut tx, issuer, stream, to, Some(INACTIVE), by, &self.env).await?;
            let details = json!({"from": StreamStatus::Enabled, "to": to, "reason": INACTIVE});
            let deed =
                Deed { actor: &Actor::Service, action: "stream.status_set", target: stream.to_string(), details };
            audit::record(&mut tx, issuer, &deed, now).await?;
            tx.commit().await?;
            paused += 1;
            tracing::warn!(stream.id = %stream, "a stream was paused: its receiver shows no sign of life");
        }
        if paused > 0 {
            self.push.wake();
        }
        Ok(paused)
    }
}

/// `reason` of the status, and of the announcement.
const INACTIVE: &str = "inactive";
const AT_ONCE: i64 = 100;
