//! What a process says of itself: which run of it this is, and what it has seen.

use std::time::Duration;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use ssf_common::uuid_id;

use super::store::{self, Position};
use super::visible::Visible;

uuid_id! {
    /// One run of a process.
    RunId;
}

/// This run of the process, and how far the last one came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) started_at: Timestamp,
    /// The number of the feed that the last run had seen.
    pub(super) seq_before: i64,
    /// The newest `as_of` that the last run wrote down.
    pub(super) as_of_before: Option<Timestamp>,
}

/// What a sign says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign {
    pub(super) seq: i64,
    pub(super) as_of: Timestamp,
    pub(super) keep_seen: Duration,
}

/// This run begins.
pub(super) async fn begin(pool: &PgPool, env: &Env, name: &str) -> Result<Run, sqlx::Error> {
    let now = env.now();
    store::begin(&mut *pool.acquire().await?, name, RunId::new(now, &*env.random), now).await
}

/// Writes a sign down, and what became visible since the last one. `false`: the name belongs to another run.
pub(super) async fn give(
    pool: &PgPool,
    env: &Env,
    name: &str,
    run: &Run,
    sign: &Sign,
    visible: &Visible,
) -> Result<bool, sqlx::Error> {
    let now = env.now();
    let mut db = pool.acquire().await?;
    let position = Position { seq: sign.seq, as_of: sign.as_of, started_at: run.started_at, now };
    let is_ours = store::note(&mut db, name, run.id, &position).await?;
    let seen = visible.take();
    if !seen.is_empty()
        && let Err(error) = store::note_seen(&mut db, name, &seen).await
    {
        visible.put_back(seen);
        return Err(error);
    }
    store::trim_seen(&mut db, now.minus(sign.keep_seen), now.minus(GONE)).await?;
    Ok(is_ours)
}

/// A process that was not heard of for so long is not coming back.
const GONE: Duration = Duration::from_hours(24);
