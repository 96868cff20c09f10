//! Long polls that wait: so many of one stream at once, and of more than that the oldest is answered. A receiver that
//! lost its connection and asks again is thus never shut out by its own ghosts.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::stream::StreamKey;

/// Who waits. Clones share it.
#[derive(Clone, Debug)]
pub struct Waiting {
    streams: Arc<Mutex<HashMap<StreamKey, VecDeque<CancellationToken>>>>,
    per_stream: usize,
}

/// One poll's place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    of: Waiting,
    stream: StreamKey,
    end: CancellationToken,
}

impl Waiting {
    /// So many polls of one stream may wait.
    pub fn new(per_stream: usize) -> Self {
        Self { streams: Arc::default(), per_stream: per_stream.max(1) }
    }

    /// A place for one more poll of `stream`, which ends with `stop` at the latest. The oldest gives way if there are too
    /// many.
    pub fn enter(&self, stream: StreamKey, stop: &CancellationToken) -> Place {
        let end = stop.child_token();
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = streams.entry(stream).or_default();
        waiting.push_back(end.clone());
        // the one that was ended leaves by itself, a moment later
        let ended = waiting.len().saturating_sub(self.per_stream);
        for oldest in waiting.iter().take(ended) {
            oldest.cancel();
        }
        drop(streams);
        Place { of: self.clone(), stream, end }
    }
}

impl Place {
    /// Begins when the poll must wait no longer.
    pub fn end(&self) -> &CancellationToken {
        &self.end
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // marks it as the one to be taken off the list
        self.end.cancel();
        let mut streams = self.of.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = streams.get_mut(&self.stream) {
            if let Some(at) = waiting.iter().position(CancellationToken::is_cancelled) {
                waiting.remove(at);
            }
            if waiting.is_empty() {
                streams.remove(&self.stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ssf_common::random::SystemRandom;

    use super::*;

    #[test]
    fn the_oldest_of_too_many_gives_way_and_nothing_stays_behind() {
        let (waiting, stop) = (Waiting::new(2), CancellationToken::new());
        let (one, other) = (StreamKey::unguessable(&SystemRandom), StreamKey::unguessable(&SystemRandom));
        let places: Vec<Place> = (0..4).map(|_| waiting.enter(one, &stop)).collect();
        let elsewhere = waiting.enter(other, &stop);
        let ended: Vec<bool> = places.iter().map(|place| place.end().is_cancelled()).collect();
        assert_eq!(ended, [true, true, false, false]);
        assert!(!elsewhere.end().is_cancelled());
        drop(places);
        drop(elsewhere);
        assert!(waiting.streams.lock().unwrap().is_empty());
        let last = waiting.enter(one, &stop);
        stop.cancel();
        assert!(last.end().is_cancelled());
    }
}
