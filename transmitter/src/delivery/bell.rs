//! Rings the long polls of a stream when something arrives for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use crate::stream::StreamKey;

/// One bell per stream that somebody waits for. Clones are the same bells.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Mutex<HashMap<StreamKey, Weak<Notify>>>>);

impl Bell {
    /// Registers for the next ring of `stream`. Register *before* looking for work.
    pub fn register(&self, stream: StreamKey) -> impl Future<Output = ()> + Send + use<> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bell = bells.get(&stream).and_then(Weak::upgrade).unwrap_or_else(|| {
            bells.retain(|_, bell| bell.strong_count() > 0);
            let bell = Arc::new(Notify::new());
            bells.insert(stream, Arc::downgrade(&bell));
            bell
        });
        drop(bells);
        bell.notified_owned()
    }

    /// Rings for `stream`.
    pub fn ring(&self, stream: StreamKey) {
        let bell = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&stream).and_then(Weak::upgrade);
        if let Some(bell) = bell {
            bell.notify_waiters();
        }
    }

    /// Rings for every stream: something arrived, and it is not known for whom.
    pub fn ring_all(&self) {
        let bells: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).values().filter_map(Weak::upgrade).collect();
        for bell in bells {
            bell.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use ssf_common::random::SystemRandom;

    use super::*;

    #[tokio::test]
    async fn only_the_streams_own_bell_wakes_and_a_ring_before_the_wait_is_not_lost() {
        let bell = Bell::default();
        let (ours, other) = (StreamKey::unguessable(&SystemRandom), StreamKey::unguessable(&SystemRandom));
        let (mut rung, silent) = (std::pin::pin!(bell.register(ours)), bell.register(other));
        bell.ring(ours);
        (&mut rung).await;
        tokio::select! {
            biased;
            () = silent => panic!("the other stream's bell rang"),
            () = std::future::ready(()) => {}
        }
    }
}
