//! A stop in two steps: *soft* (take no new work, finish what runs), then *hard* (stop at once).
//!
//! `main` makes one [`Shutdown`], lets it listen for signals, spawns every long-lived task on it and at last awaits
//! [`Shutdown::wait`]. Workers and the HTTP server hold clones.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The stop of one process (or, in tests, of one party). Clones share the same stop.
#[derive(Clone, Debug)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    grace: Duration,
    failed: Arc<OnceLock<&'static str>>,
}

impl Shutdown {
    /// A stop that turns from soft to hard after `grace`.
    pub fn new(grace: Duration) -> Self {
        Self {
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tasks: TaskTracker::new(),
            grace,
            failed: Arc::new(OnceLock::new()),
        }
    }

    /// Begins the stop at the first SIGTERM or SIGINT and makes it hard at the second. Must be called inside a tokio
    /// runtime; fails only if the process may not install signal handlers.
    pub fn listen_for_signals(&self) -> std::io::Result<()> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = self.clone();
        tokio::spawn(async move {
            let name = next_signal(&mut terminate, &mut interrupt).await;
            tracing::info!(grace.s = shutdown.grace.as_secs(), "{name}: finishing what runs, taking no new work");
            shutdown.begin();
            let name = next_signal(&mut terminate, &mut interrupt).await;
            tracing::warn!("{name} again: stopping at once");
            shutdown.abort();
        });
        Ok(())
    }

    /// Begins the soft stop; it turns hard after the grace if tasks are still running then. Calling it again changes
    /// nothing. Must be called inside a tokio runtime.
    pub fn begin(&self) {
        if self.soft.is_cancelled() {
            return;
        }
        self.soft.cancel();
        self.tasks.close();
        let shutdown = self.clone();
        tokio::spawn(async move {
            if tokio::time::timeout(shutdown.grace, shutdown.tasks.wait()).await.is_err() {
                tracing::warn!(
                    tasks.running = shutdown.tasks.len(),
                    grace.s = shutdown.grace.as_secs(),
                    "the grace is over: stopping at once"
                );
                shutdown.hard.cancel();
            }
        });
    }

    /// Stops at once: spawned tasks are dropped where they stand.
    pub fn abort(&self) {
        self.soft.cancel();
        self.tasks.close();
        self.hard.cancel();
    }

    /// Has the stop begun?
    pub fn is_begun(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// The token of the soft stop: whoever takes work watches it.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// The token of the hard stop.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Runs a long-lived task until it ends by itself or the hard stop drops it. A task that panics begins the stop of
    /// the whole process, for half a service is worse than a restart; [`failed`](Self::failed) then names it.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.clone();
        self.tasks.spawn(async move {
            let ended = tokio::select! {
                biased;
                () = shutdown.hard.cancelled() => return tracing::debug!(task = name, "dropped by the hard stop"),
                ended = CatchPanic(Box::pin(task)) => ended,
            };
            if ended.is_ok() {
                return tracing::debug!(task = name, "ended");
            }
            tracing::error!(task = name, "{name} panicked: stopping, so that a supervisor can restart the process");
            let _ = shutdown.failed.set(name);
            shutdown.begin();
        });
    }

    /// Waits until the stop has begun and every spawned task has ended.
    pub async fn wait(&self) {
        self.soft.cancelled().await;
        self.tasks.wait().await;
    }

    /// The task whose panic began the stop, if one did: `main` then ends with a failure.
    pub fn failed(&self) -> Option<&'static str> {
        self.failed.get().copied()
    }
}

impl Default for Shutdown {
    /// Ten seconds of grace.
    fn default() -> Self {
        Self::new(Duration::from_secs(10))
    }
}

async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Polls a future and turns its panic into an error.
struct CatchPanic<F>(std::pin::Pin<Box<F>>);

struct Panicked;

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => std::task::Poll::Ready(Err(Panicked)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_soft_stop_waits_for_the_running_task() {
        let shutdown = Shutdown::default();
        let (finish, finished) = tokio::sync::oneshot::channel::<()>();
        let soft = shutdown.soft().clone();
        shutdown.spawn("slow", async move {
            soft.cancelled().await;
            let _ = finished.await;
        });
        shutdown.begin();
        assert!(!shutdown.hard().is_cancelled());
        finish.send(()).expect("the task still runs");
        shutdown.wait().await;
        assert!(!shutdown.hard().is_cancelled());
    }

    #[tokio::test]
    async fn a_task_that_ignores_the_soft_stop_is_dropped_when_the_grace_is_over() {
        let shutdown = Shutdown::new(Duration::from_millis(20));
        shutdown.spawn("deaf", std::future::pending());
        shutdown.begin();
        shutdown.wait().await;
        assert!(shutdown.hard().is_cancelled());
    }

    #[tokio::test]
    async fn a_panicking_task_begins_the_stop_and_is_named() {
        let shutdown = Shutdown::default();
        shutdown.spawn("clumsy", async { panic!("on purpose") });
        shutdown.wait().await;
        assert_eq!(shutdown.failed(), Some("clumsy"));
    }
}
