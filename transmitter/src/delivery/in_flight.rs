//! How much is being sent, per stream, per host and altogether, and at what pace each receiver takes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ssf_common::clock::Timestamp;
use tokio::sync::Notify;

use super::pace::{Bounds, Pace, Trip};
use crate::stream::StreamKey;

/// The count. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct InFlight(Arc<State>);

#[derive(Debug)]
struct State {
    bounds: Bounds,
    per_host: u32,
    altogether: u32,
    counts: Mutex<Counts>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    /// Per stream; no entry where nothing is on the wire and nothing is known.
    streams: HashMap<StreamKey, Window>,
    /// On the wire, per host; no entry where nothing is.
    hosts: HashMap<String, u32>,
    /// On the wire, altogether.
    sending: u32,
    /// Held, on the wire or being settled, altogether.
    carried: usize,
}

#[derive(Debug)]
struct Window {
    sending: u32,
    bulk: u32,
    pace: Pace,
}

/// What is on the wire to one stream, and how much may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy {
    pub(super) stream: StreamKey,
    pub(super) sending: u32,
    pub(super) width: u32,
    pub(super) bulk: u32,
    pub(super) bulk_width: u32,
    /// Whether its answers are worth waiting for.
    pub(super) is_brisk: bool,
}

impl InFlight {
    /// At most `per_host` to one host, and `altogether` to all.
    pub(super) fn new(bounds: Bounds, per_host: u32, altogether: u32) -> Self {
        Self(Arc::new(State { bounds, per_host, altogether, counts: Mutex::default(), changed: Notify::new() }))
    }

    /// Something is carried until the guard is dropped.
    pub(super) fn carry(&self) -> Carried {
        self.change(|counts| counts.carried += 1);
        Carried(self.clone())
    }

    /// `carried` goes on the wire to `stream`, at `host`, whether or not there is room: it was asked for by room.
    pub(super) fn enter(&self, carried: Carried, lane: Room, now: Timestamp) -> Flight {
        let bounds = self.0.bounds;
        self.change(|counts| counts.enter(&lane, bounds, now));
        Flight { carried, of: lane, taken_at: now, landed: false }
    }

    /// Puts one more bulk SET on the wire, if its stream, its host and all together have room, beside what is kept for more
    /// urgent ones: `carried` comes back if they have not.
    pub(super) fn enter_if_room(&self, carried: Carried, lane: Room, now: Timestamp) -> Result<Flight, Carried> {
        let bounds = self.0.bounds;
        let (per_host, altogether) = (for_bulk(self.0.per_host), for_bulk(self.0.altogether));
        let entered = self.change(|counts| {
            let has_room = counts.sending < altogether
                && counts.streams.get(&lane.stream).is_none_or(Window::has_room_for_bulk)
                && lane.host.as_ref().is_none_or(|host| counts.hosts.get(host).is_none_or(|n| *n < per_host));
            if has_room {
                counts.enter(&lane, bounds, now);
            }
            has_room
        });
        if entered { Ok(Flight { carried, of: lane, taken_at: now, landed: false }) } else { Err(carried) }
    }

    /// Every stream with something on the wire, or with a pace of its own.
    pub(super) fn busy(&self, now: Timestamp) -> Vec<Busy> {
        self.change(|counts| {
            counts.streams.retain(|_, window| window.sending > 0 || !window.pace.is_forgotten(now));
            counts.streams.iter().map(|(stream, window)| window.busy(*stream, now)).collect()
        })
    }

    /// Every busy host, and how much is on the wire to it.
    pub(super) fn hosts(&self) -> (Vec<String>, Vec<i32>) {
        self.change(|counts| {
            counts.hosts.iter().map(|(host, n)| (host.clone(), i32::try_from(*n).unwrap_or(i32::MAX))).unzip()
        })
    }

    /// The same of one stream.
    pub(super) fn to(&self, stream: StreamKey, now: Timestamp) -> Option<Busy> {
        self.change(|counts| counts.streams.get(&stream).map(|window| window.busy(stream, now)))
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

impl Counts {
    fn enter(&mut self, room: &Room, bounds: Bounds, now: Timestamp) {
        let window = || Window { sending: 0, bulk: 0, pace: Pace::new(bounds, now) };
        let window = self.streams.entry(room.stream).or_insert_with(window);
        window.sending += 1;
        window.bulk += u32::from(room.is_bulk);
        self.sending += 1;
        if let Some(host) = &room.host {
            *self.hosts.entry(host.clone()).or_default() += 1;
        }
    }
}

impl Window {
    fn has_room_for_bulk(&self) -> bool {
        // one place is kept for what is more urgent
        self.sending < self.pace.width().saturating_sub(1).max(1) && self.bulk < self.pace.bulk()
    }

    fn busy(&self, stream: StreamKey, now: Timestamp) -> Busy {
        Busy {
            stream,
            sending: self.sending,
            width: self.pace.width(),
            bulk: self.bulk,
            bulk_width: self.pace.bulk(),
            is_brisk: self.pace.is_brisk(now),
        }
    }
}

/// Something this process has taken and not yet settled.
#[derive(Debug)]
pub(super) struct Carried(InFlight);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.change(|counts| counts.carried -= 1);
        self.0.0.changed.notify_waiters();
    }
}

/// Whose room a SET takes.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) stream: StreamKey,
    pub(super) host: Option<String>,
    pub(super) is_bulk: bool,
}

/// One SET on its way.
#[derive(Debug)]
pub(super) struct Flight {
    carried: Carried,
    of: Room,
    taken_at: Timestamp,
    landed: bool,
}

/// How a flight ended, as far as the pace is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// The receiver took it, or refused it for its own sake.
    Answered,
    /// The receiver failed, or the stream is in trouble.
    Failed,
    /// It never went out.
    Unsent,
}

impl Flight {
    /// Whose room it takes.
    pub(super) const fn room(&self) -> &Room {
        &self.of
    }

    /// The receiver has answered, or will not: there is room in its window again. Says whether it answered briskly: the
    /// answer before this one came within the last moment too.
    pub(super) fn land(&mut self, landing: Landing, now: Timestamp) -> bool {
        let trip = |window: &Window| Trip {
            took: now.since(self.taken_at),
            is_bulk: self.of.is_bulk,
            sending: window.sending,
            bulk: window.bulk,
        };
        let was_brisk = self.carried.0.change(|counts| {
            let window = counts.streams.get_mut(&self.of.stream)?;
            let was_brisk = window.pace.is_brisk(now);
            match landing {
                Landing::Answered => window.pace.answered(trip(window), now),
                Landing::Failed => window.pace.failed(),
                Landing::Unsent => {}
            }
            Some(was_brisk)
        });
        self.leave();
        was_brisk.unwrap_or(false)
    }

    fn leave(&mut self) {
        if std::mem::replace(&mut self.landed, true) {
            return;
        }
        self.carried.0.change(|counts| {
            counts.sending -= 1;
            if let Some(window) = counts.streams.get_mut(&self.of.stream) {
                window.sending -= 1;
                window.bulk -= u32::from(self.of.is_bulk);
            }
            if let Some(host) = &self.of.host
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
    }
}

/// How many of so many places bulk may take: some are kept for what is more urgent.
pub(super) fn for_bulk(places: u32) -> u32 {
    (places - places / KEPT.min(places).max(1)).max(1)
}

/// How long a SET in the hand may wait for room: what is left of its lease is enough to send it, and to write down what
/// came of that, which may wait for the database.
pub(super) fn may_wait(lease: Duration, timeout: Duration) -> Duration {
    lease.saturating_sub(timeout) / 2
}

/// One place of so many is kept for what is more urgent than bulk.
const KEPT: u32 = 8;

#[cfg(test)]
mod tests {
    use ssf_common::random::SystemRandom;

    use super::*;

    const BOUNDS: Bounds = Bounds { first: 2, most: 4 };

    fn room(stream: StreamKey, is_bulk: bool) -> Room {
        Room { stream, host: Some("rp.example".into()), is_bulk }
    }

    #[test]
    fn a_landed_set_leaves_room_but_is_carried_until_it_is_settled() {
        let in_flight = InFlight::new(BOUNDS, 10, 100);
        let (stream, now) = (StreamKey::unguessable(&SystemRandom), Timestamp::EPOCH);
        let enter = || in_flight.enter(in_flight.carry(), room(stream, false), now);
        let (mut one, two) = (enter(), enter());
        assert!(!one.land(Landing::Answered, now), "the first answer says nothing of the pace");
        let busy = in_flight.to(stream, Timestamp::from_unix_millis(19)).unwrap();
        assert_eq!((busy.sending, busy.is_brisk), (1, true));
        assert_eq!(in_flight.hosts(), (vec!["rp.example".to_owned()], vec![1]));
        assert_eq!(in_flight.change(|counts| counts.carried), 2);
        assert!(!in_flight.busy(Timestamp::from_unix_millis(20))[0].is_brisk);
        drop((one, two));
        assert_eq!((in_flight.hosts(), in_flight.change(|counts| counts.carried)), ((vec![], vec![]), 0));
        let forgotten = Timestamp::from_unix_millis(60_001);
        assert_eq!((in_flight.busy(now).len(), in_flight.busy(forgotten).len()), (1, 0));
    }

    #[test]
    fn bulk_gets_the_room_that_is_left_for_it_and_no_more() {
        let in_flight = InFlight::new(BOUNDS, 3, 100);
        let (stream, now) = (StreamKey::unguessable(&SystemRandom), Timestamp::EPOCH);
        let bulk = |stream| in_flight.enter_if_room(in_flight.carry(), room(stream, true), now);
        let first = bulk(stream).unwrap();
        let refused = bulk(stream).unwrap_err();
        let other = bulk(StreamKey::unguessable(&SystemRandom)).unwrap();
        assert!(bulk(StreamKey::unguessable(&SystemRandom)).is_err(), "their host has no room");
        let urgent = in_flight.enter(in_flight.carry(), room(stream, false), now);
        assert_eq!(in_flight.hosts().1, [3], "what is more urgent takes the last place of a host");
        drop((first, other, urgent));
        assert!(bulk(stream).is_ok());
        drop(refused);
        assert_eq!(in_flight.change(|counts| (counts.carried, counts.sending)), (0, 0));
    }

    #[test]
    fn bulk_leaves_some_of_all_places_to_what_is_more_urgent() {
        assert_eq!([1, 2, 3, 8, 9, 16, 256].map(for_bulk), [1, 1, 2, 7, 8, 14, 224]);
        let in_flight = InFlight::new(BOUNDS, 100, 2);
        let bulk = || {
            let stream = StreamKey::unguessable(&SystemRandom);
            in_flight.enter_if_room(in_flight.carry(), room(stream, true), Timestamp::EPOCH)
        };
        let first = bulk().unwrap();
        assert!(bulk().is_err());
        drop(first);
        assert!(bulk().is_ok());
    }

    #[test]
    fn what_waits_to_the_end_in_the_hand_and_is_answered_last_is_settled_within_its_lease() {
        let (lease, timeout) = (Duration::from_secs(15), Duration::from_secs(5));
        assert!(may_wait(lease, timeout) + timeout + Duration::from_secs(5) <= lease);
    }
}
