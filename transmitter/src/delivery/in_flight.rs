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
    streams: Mutex<HashMap<StreamKey, i32>>,
    changed: Notify,
}

impl InFlight {
    /// One more for `stream`, until the guard is dropped.
    pub(super) fn enter(&self, stream: StreamKey) -> Flight {
        *self.0.streams.lock().unwrap_or_else(PoisonError::into_inner).entry(stream).or_default() += 1;
        Flight { of: self.clone(), stream }
    }

    /// Every busy stream with its count.
    pub(super) fn busy(&self) -> (Vec<StreamKey>, Vec<i32>) {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(stream, n)| (*stream, *n)).unzip()
    }

    /// Ends when nothing is in flight.
    pub(super) async fn idle(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.streams.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                return;
            }
            changed.await;
        }
    }
}

/// One SET on its way.
#[derive(Debug)]
pub(super) struct Flight {
    of: InFlight,
    stream: StreamKey,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut streams = self.of.0.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = streams.get_mut(&self.stream) {
            *n -= 1;
            if *n == 0 {
                streams.remove(&self.stream);
            }
        }
        drop(streams);
        self.of.0.changed.notify_waiters();
    }
}
