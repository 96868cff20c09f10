//! The loop that every worker runs in: tick, tick again while there is work, else wait for a wake-up or the timer.
//!
//! A [`Worker`] is an idempotent function without input that does one batch; tests call [`Worker::tick`] themselves,
//! services hand the worker to [`run`]. A lost database is a failed tick: the loop backs off and recovers by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::shutdown::Shutdown;
use super::telemetry::chain;
use crate::backoff::Backoff;
use crate::random::Random;

/// One kind of work, done in batches.
pub trait Worker: Send + Sync + 'static {
    /// The worker's name in logs.
    const NAME: &'static str;

    /// Why a batch failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Does one batch and says how much it did; 0 when there was nothing to do. Doing it twice does no harm, and
    /// dropping it half way loses nothing.
    fn tick(&self) -> impl Future<Output = Result<usize, Self::Error>> + Send;
}

/// The doorbell of one or more workers. Clones ring the same bell.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// A new bell.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rings: whoever is registered looks for work. Ring after the commit, not before. A ring that finds nobody
    /// registered is forgotten, which is right: whoever registers next looks first.
    pub fn wake(&self) {
        self.0.notify_waiters();
    }

    /// Registers for the next ring; the future ends with it. Register *before* looking for work: a ring between the
    /// look and the wait is then not lost.
    pub fn register(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        Arc::clone(&self.0).notified_owned()
    }
}

/// Runs a worker until the stop: at once, then whenever it did something, `wake` rings, or `every` has passed. A
/// running tick is finished after the soft stop and dropped at the hard one.
pub async fn run<W: Worker>(worker: Arc<W>, wake: Wake, every: Duration, shutdown: Shutdown, random: Arc<dyn Random>) {
    let mut health = Health::<W> { failures: 0, of: std::marker::PhantomData };
    while !shutdown.is_begun() {
        let rung = wake.register();
        let ticked = tokio::select! {
            biased;
            () = shutdown.hard().cancelled() => return,
            ticked = worker.tick() => ticked,
        };
        match ticked {
            Ok(done) => {
                health.succeeded();
                if done == 0 {
                    tokio::select! {
                        () = shutdown.soft().cancelled() => return,
                        () = rung => {},
                        () = tokio::time::sleep(every) => {},
                    }
                }
            }
            Err(error) => {
                health.failed(&error);
                tokio::select! {
                    () = shutdown.soft().cancelled() => return,
                    () = tokio::time::sleep(AFTER_A_FAILURE.delay(health.failures, &*random)) => {},
                }
            }
        }
    }
}

/// Logs changes of state, not every failure.
struct Health<W> {
    failures: u32,
    of: std::marker::PhantomData<fn(W)>,
}

impl<W: Worker> Health<W> {
    fn succeeded(&mut self) {
        if self.failures > 0 {
            tracing::info!(worker = W::NAME, failures.count = self.failures, "the worker {} is back at work", W::NAME);
            self.failures = 0;
        }
    }

    fn failed(&mut self, error: &W::Error) {
        self.failures = self.failures.saturating_add(1);
        let cause = chain(error);
        if self.failures == 1 {
            tracing::warn!(worker = W::NAME, error = %cause, "the worker {} failed and keeps trying", W::NAME);
        } else {
            tracing::debug!(worker = W::NAME, failures.count = self.failures, error = %cause, "the worker {} failed again", W::NAME);
        }
    }
}

const AFTER_A_FAILURE: Backoff = Backoff { first: Duration::from_millis(50), ceiling: Duration::from_secs(5) };

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::random::SeededRandom;

    #[derive(Default)]
    struct Drain {
        waiting: AtomicUsize,
        failing: AtomicUsize,
        idle: Wake,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the database is away")]
    struct Away;

    impl Worker for Drain {
        const NAME: &'static str = "drain";
        type Error = Away;

        async fn tick(&self) -> Result<usize, Away> {
            if self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
                return Err(Away);
            }
            if self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
                return Ok(1);
            }
            self.idle.wake();
            Ok(0)
        }
    }

    fn start(worker: &Arc<Drain>, wake: &Wake, shutdown: &Shutdown) {
        let every = Duration::from_hours(1);
        shutdown.spawn(
            "drain",
            run(Arc::clone(worker), wake.clone(), every, shutdown.clone(), Arc::new(SeededRandom::new(1))),
        );
    }

    #[tokio::test]
    async fn a_worker_ticks_until_nothing_is_left_and_again_when_woken() {
        let (worker, wake, shutdown) = (Arc::new(Drain::default()), Wake::new(), Shutdown::default());
        worker.waiting.store(5, Ordering::SeqCst);
        let idle = worker.idle.register();
        start(&worker, &wake, &shutdown);
        idle.await;
        assert_eq!(worker.waiting.load(Ordering::SeqCst), 0);

        worker.waiting.store(3, Ordering::SeqCst);
        let idle = worker.idle.register();
        wake.wake();
        idle.await;
        assert_eq!(worker.waiting.load(Ordering::SeqCst), 0);
        shutdown.begin();
        shutdown.wait().await;
    }

    #[tokio::test]
    async fn a_failing_worker_recovers_without_a_restart() {
        let (worker, shutdown) = (Arc::new(Drain::default()), Shutdown::default());
        worker.failing.store(3, Ordering::SeqCst);
        worker.waiting.store(1, Ordering::SeqCst);
        let idle = worker.idle.register();
        start(&worker, &Wake::new(), &shutdown);
        idle.await;
        assert_eq!(worker.failing.load(Ordering::SeqCst), 0);
        assert_eq!(worker.waiting.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_ring_between_the_look_and_the_wait_is_not_lost() {
        let wake = Wake::new();
        let rung = wake.register();
        wake.wake();
        rung.await;
    }
}
