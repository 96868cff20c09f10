//! [`Lease`]: of all processes on one database, one looks after an upstream at a time. Pushes may arrive at any.
//!
//! A lease is a few seconds long and renewed long before its end by whoever works under it: the keeper and the poll loop
//! before each tick, and a worker beside them while one of these takes long. It is given back at an orderly stop, and the
//! others are woken; after a crash it ends by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::{Env, Wake, Worker};
use ssf_common::uuid_id;

use super::{UpstreamId, store};

uuid_id! {
    /// One process of the service, from its start to its end.
    ProcessId;
}

/// The right to look after one upstream.
#[derive(Debug)]
pub struct Lease {
    upstream: UpstreamId,
    holder: ProcessId,
    pool: PgPool,
    env: Env,
    until: Mutex<Option<Timestamp>>,
    is_given_up: AtomicBool,
    /// Rings when the lease is lost.
    lost: Wake,
    /// Rings when it is taken: there may be much to do.
    news: Wake,
}

impl Lease {
    /// Nothing is taken yet.
    pub fn new(upstream: UpstreamId, holder: ProcessId, pool: PgPool, env: Env, news: Wake) -> Self {
        let (until, is_given_up, lost) = (Mutex::default(), AtomicBool::new(false), Wake::new());
        Self { upstream, holder, pool, env, until, is_given_up, lost, news }
    }

    /// Whether this process may work for the upstream now: takes or renews the lease if it must.
    pub async fn hold(&self) -> Result<bool, sqlx::Error> {
        if self.is_given_up() {
            return Ok(false);
        }
        let now = self.env.now();
        let before = self.until();
        if before.is_some_and(|until| now < until.minus(RENEWED_BEFORE)) {
            return Ok(true);
        }
        let until = now.plus(LENGTH);
        let taken =
            async { store::take(&mut *self.pool.acquire().await?, self.upstream, self.holder, now, until).await }.await;
        let is_ours = match taken {
            Ok(is_ours) => is_ours,
            // Nobody else can have taken it before its end.
            Err(_) if before.is_some_and(|until| now < until) => return Ok(true),
            Err(error) => {
                self.note(None, before);
                return Err(error);
            }
        };
        self.note(is_ours.then_some(until), before);
        Ok(is_ours && !self.is_given_up())
    }

    /// The process.
    pub const fn holder(&self) -> ProcessId {
        self.holder
    }

    /// Never again: the upstream is removed, or another object of this process takes its place.
    pub fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
        self.lost.wake();
    }

    /// Registers for the moment at which it is lost.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.lost.register()
    }

    fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    fn until(&self) -> Option<Timestamp> {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, until: Option<Timestamp>, before: Option<Timestamp>) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        match (before, until) {
            (None, Some(_)) => self.news.wake(),
            (Some(_), None) => self.lost.wake(),
            _ => {}
        }
    }
}

impl Worker for Lease {
    const NAME: &'static str = "lease of an upstream";
    type Error = sqlx::Error;

    /// Takes or renews it. To be run every second, and when another process gives one back.
    async fn tick(&self) -> Result<usize, sqlx::Error> {
        self.hold().await.map(|_| 0)
    }
}

/// How long after a crash another process takes over, at most.
const LENGTH: Duration = Duration::from_secs(5);
const RENEWED_BEFORE: Duration = Duration::from_secs(3);
