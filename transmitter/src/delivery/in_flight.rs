//! How much is being sent, per stream and altogether.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::stream::StreamKey;

/// The count. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(Arc<State>);

#[derive(Debug, Default)]
struct State {
    counts: Mutex<Counts>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    /// On the wire, per stream.
    streams: HashMap<StreamKey, i32>,
    /// On the wire or being settled, altogether.
    carried: usize,
}

impl InFlight {
    /// One more for `stream`: on the wire until it has landed, carried until the guard is dropped.
    pub(super) fn enter(&self, stream: StreamKey) -> Flight {
        self.change(|counts| {
            *counts.streams.entry(stream).or_default() += 1;
            counts.carried += 1;
        });
        Flight { of: self.clone(), stream, landed: false }
    }

    /// Every busy stream with its count.
    pub(super) fn busy(&self) -> (Vec<StreamKey>, Vec<i32>) {
        self.change(|counts| counts.streams.iter().map(|(stream, n)| (*stream, *n)).unzip())
    }

    /// How much is on the wire to `stream`.
    pub(super) fn to(&self, stream: StreamKey) -> i32 {
        self.change(|counts| counts.streams.get(&stream).copied().unwrap_or(0))
    }

    /// Ends when nothing is carried.
    pub(super) async fn idle(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.change(|counts| counts.carried == 0) {
                return;
            }
            changed.await;
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.0.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One SET on its way.
#[derive(Debug)]
pub(super) struct Flight {
    of: InFlight,
    stream: StreamKey,
    landed: bool,
}

impl Flight {
    /// The receiver has answered, or will not: there is room in its window again.
    pub(super) fn land(&mut self) {
        if !std::mem::replace(&mut self.landed, true) {
            self.of.change(|counts| {
                if let Some(n) = counts.streams.get_mut(&self.stream) {
                    *n -= 1;
                    if *n == 0 {
                        counts.streams.remove(&self.stream);
                    }
                }
            });
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.land();
        self.of.change(|counts| counts.carried -= 1);
        self.of.0.changed.notify_waiters();
    }
}
