//! [`Watching`]: effects as they are committed, for as many watchers as there is room for. Called by `api/watch.rs`.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::telemetry::chain;
use ssf_common::runtime::{Env, Wake};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::Effect;
use super::store::watch::{self as store, Page};
use crate::session::Sid;

/// Whoever may watch. Clones share the room.
#[derive(Clone, Debug)]
pub struct Watching {
    pool: PgPool,
    env: Env,
    told: Wake,
    limits: WatchLimits,
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

/// How many watch, and how.
#[derive(Clone, Copy, Debug)]
pub struct WatchLimits {
    /// At once.
    pub watchers: usize,
    /// A sign of life after so much silence.
    pub heartbeat: Duration,
    /// Who takes nothing for so long is cut off.
    pub patience: Duration,
}

/// Which effects a watcher wants; all if nothing is named.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this session only.
    pub sid: Option<Sid>,
    /// Of this issuer's decisions only.
    pub issuer: Option<IssuerUrl>,
}

/// What a watcher hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A session's state changed.
    Effect(Effect),
    /// Everything up to this position was said or not wanted; every cut-off that was committed before `as_of` is in it.
    AsOf {
        /// By our clock; `None` for a watcher that has to catch up first.
        as_of: Option<Timestamp>,
        /// The place to resume from.
        position: i64,
    },
    /// What the watcher resumes from is not known (any more): it must read the state of its sessions anew. It goes on
    /// from `position`.
    Reset {
        /// Why.
        reason: ResetReason,
        /// The place it goes on from.
        position: i64,
    },
}

/// Why a watcher must read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// Effects after its position were removed by now.
    Forgotten,
    /// Its position was never reached here: another database, or an older state of it.
    Unknown,
}

/// Why nobody more may watch now.
#[derive(Debug, thiserror::Error)]
pub enum NoWatch {
    /// There are as many watchers as there may be.
    #[error("there are as many watchers as there may be (watch.max_watchers)")]
    Full,
    /// The service stops.
    #[error("the service stops")]
    Stopping,
    /// The database did not answer.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

impl Watching {
    /// `told` is rung when there are new effects; `stop` ends every watch.
    pub fn new(pool: PgPool, env: Env, told: Wake, limits: WatchLimits, stop: CancellationToken) -> Self {
        Self { pool, env, told, limits, room: Arc::new(Semaphore::new(limits.watchers)), stop }
    }

    /// Everything wanted after the position, or from now on, as long as the receiving half is there and takes it. The
    /// first thing heard is [`Heard::AsOf`] with the place the watch begins, or [`Heard::Reset`].
    pub async fn watch(&self, after: Option<i64>, wanted: Wanted) -> Result<mpsc::Receiver<Heard>, NoWatch> {
        if self.stop.is_cancelled() {
            return Err(NoWatch::Stopping);
        }
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| NoWatch::Full)?;
        let mut db = self.pool.acquire().await?;
        let as_of = self.env.now();
        let head = store::head(&mut db).await?;
        let forgotten = store::page(&mut db, head.position, 0).await?.forgotten;
        drop(db);
        let (position, first) = match begin(after, forgotten, head.position) {
            Ok(position) if position == head.position => {
                (position, Heard::AsOf { as_of: Some(head.told_until(as_of)), position })
            }
            Ok(position) => (position, Heard::AsOf { as_of: None, position }),
            Err(reason) => (head.position, Heard::Reset { reason, position: head.position }),
        };
        let (hearing, stream) = mpsc::channel(AHEAD);
        let watcher = Watcher { of: self.clone(), position, wanted, hearing, _permit: permit };
        tokio::spawn(watcher.run(first));
        Ok(stream)
    }
}

/// Where a watch begins, or why it cannot begin where it was asked to.
fn begin(after: Option<i64>, forgotten: i64, head: i64) -> Result<i64, ResetReason> {
    match after {
        None => Ok(head),
        // From the first: whoever says so knows that there may have been others.
        Some(0) => Ok(forgotten),
        Some(after) if after < forgotten => Err(ResetReason::Forgotten),
        Some(after) if after > head => Err(ResetReason::Unknown),
        Some(after) => Ok(after),
    }
}

/// One watcher. It reads only what it can hand on, so a slow one costs no memory.
struct Watcher {
    of: Watching,
    position: i64,
    wanted: Wanted,
    hearing: mpsc::Sender<Heard>,
    _permit: OwnedSemaphorePermit,
}

/// The watcher has gone, or takes nothing.
struct Gone;

impl Watcher {
    async fn run(mut self, first: Heard) {
        let stop = self.of.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            ended = self.follow(first) => {
                let Err(Gone) = ended;
                tracing::debug!("a watcher has gone or was cut off");
            }
        }
    }

    async fn follow(&mut self, first: Heard) -> Result<std::convert::Infallible, Gone> {
        self.say(first).await?;
        let mut heartbeat = tokio::time::interval(self.of.limits.heartbeat);
        heartbeat.tick().await;
        loop {
            let rung = self.of.told.register();
            if let Err(error) = self.catch_up().await? {
                tracing::debug!(error = %chain(&error), "a watcher waits for the database");
            }
            tokio::select! {
                () = self.hearing.closed() => return Err(Gone),
                () = rung => {}
                () = tokio::time::sleep(SAFETY_NET) => {}
                _ = heartbeat.tick() => {
                    if let Ok(Some(as_of)) = self.as_of().await? {
                        self.say(Heard::AsOf { as_of: Some(as_of), position: self.position }).await?;
                    }
                }
            }
        }
    }

    /// Hands on what there is.
    async fn catch_up(&mut self) -> Result<Result<(), sqlx::Error>, Gone> {
        loop {
            let Page { forgotten, effects } = match self.page().await {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            if forgotten > self.position {
                self.position = forgotten;
                self.say(Heard::Reset { reason: ResetReason::Forgotten, position: forgotten }).await?;
                continue;
            }
            let is_last = effects.len() < PAGE;
            for effect in effects {
                self.position = effect.position;
                if self.wanted.includes(&effect) {
                    self.say(Heard::Effect(effect)).await?;
                }
            }
            if is_last {
                return Ok(Ok(()));
            }
        }
    }

    /// Up to when everything is told, once it is; `None` without the database.
    async fn as_of(&mut self) -> Result<Result<Option<Timestamp>, sqlx::Error>, Gone> {
        // Before the look, so that nothing is promised that was committed after it.
        let now = self.of.env.now();
        let head = match async { store::head(&mut *self.of.pool.acquire().await?).await }.await {
            Ok(head) => head,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = self.catch_up().await? {
            return Ok(Err(error));
        }
        Ok(Ok((self.position >= head.position).then_some(head.told_until(now))))
    }

    async fn page(&self) -> Result<Page, sqlx::Error> {
        store::page(&mut *self.of.pool.acquire().await?, self.position, PAGE).await
    }

    async fn say(&self, heard: Heard) -> Result<(), Gone> {
        match tokio::time::timeout(self.of.limits.patience, self.hearing.send(heard)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone),
            Err(_) => {
                tracing::info!("a watcher took nothing for watch.patience and is cut off");
                Err(Gone)
            }
        }
    }
}

impl Wanted {
    fn includes(&self, effect: &Effect) -> bool {
        self.sid.as_ref().is_none_or(|sid| *sid == effect.sid)
            && self.issuer.as_ref().is_none_or(|issuer| *issuer == effect.issuer)
    }
}

/// So much is read at once …
const PAGE: usize = 200;
/// … and so much may lie ready for a watcher that is busy.
const AHEAD: usize = 16;
/// A lost notification costs no more than this.
const SAFETY_NET: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_begins_where_it_was_or_says_that_it_cannot() {
        for (after, expected) in [
            (None, Ok(20)),
            (Some(0), Ok(5)),
            (Some(4), Err(ResetReason::Forgotten)),
            (Some(5), Ok(5)),
            (Some(20), Ok(20)),
            (Some(21), Err(ResetReason::Unknown)),
        ] {
            assert_eq!(begin(after, 5, 20), expected, "{after:?}");
        }
    }
}
