//! How much is being sent, per stream and altogether, and who answers briskly.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ssf_common::clock::Timestamp;
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
    /// On the wire, per stream; no entry where nothing is.
    streams: HashMap<StreamKey, Window>,
    /// On the wire, per host; no entry where nothing is.
    hosts: HashMap<String, i32>,
    /// On the wire or being settled, altogether.
    carried: usize,
}

#[derive(Debug, Default)]
struct Window {
    sending: i32,
    last_answer: Option<Timestamp>,
}

/// The busy streams, as three columns.
#[derive(Debug, Default)]
pub(super) struct Busy {
    pub(super) streams: Vec<StreamKey>,
    /// How much is on the wire to each.
    pub(super) counts: Vec<i32>,
    /// Whether each answered within the last moment.
    pub(super) brisk: Vec<bool>,
    /// The busy hosts …
    pub(super) hosts: Vec<String>,
    /// … and how much is on the wire to each.
    pub(super) host_counts: Vec<i32>,
}

impl InFlight {
    /// One more for `stream`, to `host`: on the wire until it has landed, carried until the guard is dropped.
    pub(super) fn enter(&self, stream: StreamKey, host: Option<String>) -> Flight {
        self.change(|counts| {
            counts.streams.entry(stream).or_default().sending += 1;
            if let Some(host) = &host {
                *counts.hosts.entry(host.clone()).or_default() += 1;
            }
            counts.carried += 1;
        });
        Flight { of: self.clone(), stream, host, landed: false }
    }

    /// Every busy stream.
    pub(super) fn busy(&self, now: Timestamp) -> Busy {
        self.change(|counts| {
            let mut busy = Busy::default();
            for (stream, window) in &counts.streams {
                busy.streams.push(*stream);
                busy.counts.push(window.sending);
                busy.brisk.push(window.is_brisk(now));
            }
            (busy.hosts, busy.host_counts) = counts.hosts.iter().map(|(host, count)| (host.clone(), *count)).unzip();
            busy
        })
    }

    /// How much is on the wire to `stream`.
    pub(super) fn to(&self, stream: StreamKey) -> i32 {
        self.change(|counts| counts.streams.get(&stream).map_or(0, |window| window.sending))
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

impl Window {
    fn is_brisk(&self, now: Timestamp) -> bool {
        self.last_answer.is_some_and(|at| now.since(at) < A_MOMENT)
    }
}

/// One SET on its way.
#[derive(Debug)]
pub(super) struct Flight {
    of: InFlight,
    stream: StreamKey,
    host: Option<String>,
    landed: bool,
}

impl Flight {
    /// The receiver has answered, or will not: there is room in its window again. Says whether it answers briskly: the
    /// answer before this one came within the last moment too.
    pub(super) fn land(&mut self, now: Timestamp) -> bool {
        let was_brisk = self.of.change(|counts| {
            let window = counts.streams.get_mut(&self.stream)?;
            let was_brisk = window.is_brisk(now);
            window.last_answer = Some(now);
            Some(was_brisk)
        });
        self.leave();
        was_brisk.unwrap_or(false)
    }

    fn leave(&mut self) {
        if std::mem::replace(&mut self.landed, true) {
            return;
        }
        self.of.change(|counts| {
            if let Some(window) = counts.streams.get_mut(&self.stream) {
                window.sending -= 1;
                if window.sending == 0 {
                    counts.streams.remove(&self.stream);
                }
            }
            if let Some(host) = &self.host
                && let Some(sending) = counts.hosts.get_mut(host)
            {
                *sending -= 1;
                if *sending == 0 {
                    counts.hosts.remove(host);
                }
            }
        });
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.leave();
        self.of.change(|counts| counts.carried -= 1);
        self.of.0.changed.notify_waiters();
    }
}

/// Below this the next answer is worth waiting for.
const A_MOMENT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use ssf_common::random::SystemRandom;

    use super::*;

    #[test]
    fn a_landed_set_leaves_room_but_is_carried_until_it_is_settled() {
        let in_flight = InFlight::default();
        let stream = StreamKey::unguessable(&SystemRandom);
        let (mut one, two) =
            (in_flight.enter(stream, Some("rp.example".into())), in_flight.enter(stream, Some("rp.example".into())));
        assert!(!one.land(Timestamp::EPOCH), "the first answer says nothing of the pace");
        assert_eq!((in_flight.to(stream), in_flight.change(|counts| counts.carried)), (1, 2));
        let busy = in_flight.busy(Timestamp::from_unix_millis(19));
        assert_eq!((busy.counts, busy.brisk, busy.host_counts), (vec![1], vec![true], vec![1]));
        assert_eq!(in_flight.busy(Timestamp::from_unix_millis(20)).brisk, [false]);
        drop((one, two));
        let busy = in_flight.busy(Timestamp::EPOCH);
        assert!(busy.streams.is_empty() && busy.hosts.is_empty());
        assert_eq!(in_flight.change(|counts| counts.carried), 0);
    }
}
