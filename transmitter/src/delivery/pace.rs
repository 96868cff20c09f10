//! How much one receiver is given at once: a width for everything, and a narrower one for bulk. Pure; kept per stream by
//! `in_flight`.
//!
//! The **width** widens while the receiver answers briskly, because what travels together shares its commits and ours, and
//! falls back to the first one at trouble.
//!
//! The **bulk width** is as wide as it can be without anything queueing behind it: a bulk job must not fill the road that
//! an urgent decision takes next, be it the receiver's, the network's or our own processor. What queues is told from how
//! long answers take beside how quick they were at best (the idea of TCP Vegas): of `w` on their way, `w × (1 − best/now)`
//! wait somewhere. Every few seconds the bulk width begins again with one, or the best time would be that of a road which
//! is never empty.

use std::time::Duration;

use ssf_common::clock::Timestamp;

/// Where widths begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// A receiver nothing is known about gets this much; bulk never gets more.
    pub(super) first: u32,
    /// Nobody gets more.
    pub(super) most: u32,
}

/// One receiver's widths, and what they were found from.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    bounds: Bounds,
    width: u32,
    bulk: u32,
    /// The quickest answer of the epoch before, and of this one.
    quickest: [Option<Duration>; 2],
    epoch_began: Timestamp,
    /// How long the last answer took, from being taken.
    last_took: Duration,
    /// Answers to bulk since its width was last looked at, and how long they took together.
    looked: (u32, Duration),
    last_answer: Option<Timestamp>,
}

/// An answer, and what else was on the way when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trip {
    /// From being taken up to the answer: it counts our own queues too.
    pub(super) took: Duration,
    /// Whether it was one of the bulk lane.
    pub(super) is_bulk: bool,
    /// How much was on the way, this one included …
    pub(super) sending: u32,
    /// … and how much of it was bulk.
    pub(super) bulk: u32,
}

impl Pace {
    pub(super) const fn new(bounds: Bounds, now: Timestamp) -> Self {
        Self {
            bounds,
            width: bounds.first,
            bulk: 1,
            quickest: [None, None],
            epoch_began: now,
            last_took: Duration::ZERO,
            looked: (0, Duration::ZERO),
            last_answer: None,
        }
    }

    /// The most on the way at once.
    pub(super) const fn width(&self) -> u32 {
        self.width
    }

    /// The most bulk on the way at once: where there is room for two, one place is kept for what is more urgent.
    pub(super) fn bulk(&self) -> u32 {
        self.bulk.min(self.width.saturating_sub(1)).max(1)
    }

    /// Whether the next answers are worth waiting for: the last one took little time, and came a moment ago.
    pub(super) fn is_brisk(&self, now: Timestamp) -> bool {
        self.answers_come(now) && self.last_took < BRISK
    }

    /// Whether the last answer came a moment ago, however long it took: a receiver that is far away can take much at once.
    fn answers_come(&self, now: Timestamp) -> bool {
        self.last_answer.is_some_and(|at| now.since(at) < A_MOMENT)
    }

    /// Whether nothing was heard for so long that what is known has no worth.
    pub(super) fn is_forgotten(&self, now: Timestamp) -> bool {
        now.since(self.last_answer.unwrap_or(self.epoch_began)) > FORGOTTEN
    }

    /// The receiver took a SET, or refused it for the SET's own sake.
    pub(super) fn answered(&mut self, trip: Trip, now: Timestamp) {
        if now.since(self.epoch_began) >= EPOCH {
            self.quickest = [self.quickest[1], None];
            self.epoch_began = now;
            self.bulk = 1;
            self.looked = (0, Duration::ZERO);
        }
        self.quickest[1] = Some(self.quickest[1].map_or(trip.took, |best| best.min(trip.took)));
        // only who uses the whole width has any use for a wider one
        if self.answers_come(now) && trip.sending > self.width / 2 {
            self.width = (self.width + 1).min(self.bounds.most);
        }
        self.last_answer = Some(now);
        self.last_took = trip.took;
        if trip.is_bulk {
            self.looked = (self.looked.0 + 1, self.looked.1 + trip.took);
            if self.looked.0 >= self.bulk {
                self.look(trip.bulk);
            }
        }
    }

    /// It failed, or answered what is trouble of the whole stream.
    pub(super) fn failed(&mut self) {
        self.width = self.bounds.first;
        self.bulk = 1;
    }

    fn look(&mut self, on_the_way: u32) {
        let (answers, together) = std::mem::take(&mut self.looked);
        let usual = together.as_secs_f64() / f64::from(answers);
        let best = self.quickest.iter().flatten().min().map_or(usual, Duration::as_secs_f64);
        let waiting = if usual > 0.0 { f64::from(self.bulk) * (1.0 - best / usual) } else { 0.0 };
        if waiting > MAY_WAIT {
            self.bulk = (self.bulk - 1).max(1);
        } else if waiting < MAY_WAIT / 2.0 && on_the_way >= self.bulk {
            self.bulk = (self.bulk + 1).min(self.bounds.first);
        }
    }
}

/// Answers that take less are worth waiting for: half a window, or what is taken ahead, is gone in a short while.
const BRISK: Duration = Duration::from_millis(100);
/// Between answers.
const A_MOMENT: Duration = Duration::from_millis(20);
/// How long a best time counts, at most twice.
const EPOCH: Duration = Duration::from_secs(5);
/// How much bulk may stand in a queue on the way to one receiver.
const MAY_WAIT: f64 = 2.0;
const FORGOTTEN: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { first: 32, most: 128 };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A road that serves one after the other, `each` long, with `way` there and back: rounds of bulk, and the width in
    /// the end.
    fn after(rounds: u32, way: Duration, each: Duration) -> u32 {
        let mut pace = Pace::new(BOUNDS, Timestamp::EPOCH);
        let mut now = Timestamp::EPOCH;
        for _ in 0..rounds {
            let on_the_way = pace.bulk();
            for place in 1..=on_the_way {
                let took = way + each * place;
                let trip = Trip { took, is_bulk: true, sending: on_the_way, bulk: on_the_way };
                pace.answered(trip, now.plus(took));
            }
            now = now.plus(way + each * on_the_way);
        }
        pace.bulk()
    }

    #[test]
    fn bulk_widens_where_nothing_queues_and_stays_narrow_where_it_does() {
        assert_eq!(after(60, ms(50), Duration::ZERO), 32, "a long way with room for all of them");
        let narrow = after(200, ms(1), ms(1));
        assert!((2..=6).contains(&narrow), "a server that takes one after the other: {narrow}");
        let between = after(200, ms(20), ms(1));
        assert!((6..=20).contains(&between), "a long way to such a server: {between}");
    }

    #[test]
    fn a_road_that_is_never_empty_is_measured_anew() {
        // 10 s of bulk at a server that takes one after the other: the best time is still that of an empty road
        let pace_after_long = after(5_000, ms(1), ms(1));
        assert!((1..=6).contains(&pace_after_long), "{pace_after_long}");
    }

    #[test]
    fn the_width_grows_with_brisk_answers_that_use_it_and_falls_back_at_trouble() {
        let mut pace = Pace::new(BOUNDS, Timestamp::EPOCH);
        let trip = |sending| Trip { took: ms(2), is_bulk: false, sending, bulk: 0 };
        let at = |millis| Timestamp::from_unix_millis(millis);
        for answer in 0..10 {
            pace.answered(trip(1), at(answer));
        }
        assert_eq!(pace.width(), 32, "who sends one at a time needs no more");
        for answer in 10..500 {
            pace.answered(trip(pace.width()), at(answer));
        }
        assert_eq!((pace.width(), pace.bulk()), (128, 1));
        pace.failed();
        assert_eq!(pace.width(), 32);
        for answer in 1..100 {
            pace.answered(trip(pace.width()), at(1_000 + answer * 20));
        }
        assert_eq!(pace.width(), 32, "20 ms between answers is not brisk");
        assert!(pace.is_brisk(at(3_000 - 1)) && !pace.is_forgotten(at(62_980)) && pace.is_forgotten(at(62_981)));
    }

    #[test]
    fn who_takes_long_for_an_answer_is_not_brisk_however_often_one_comes() {
        let mut pace = Pace::new(BOUNDS, Timestamp::EPOCH);
        let trip = |took| Trip { took, is_bulk: false, sending: 128, bulk: 0 };
        let at = |millis| Timestamp::from_unix_millis(millis);
        for answer in 0..200 {
            pace.answered(trip(ms(400)), at(answer * 10));
        }
        assert!(!pace.is_brisk(at(1_990)));
        assert_eq!(pace.width(), 128, "but it can take much at once");
        pace.answered(trip(ms(99)), at(2_000));
        assert!(pace.is_brisk(at(2_019)) && !pace.is_brisk(at(2_020)));
    }

    proptest! {
        #[test]
        fn widths_keep_within_their_bounds(
            trips in prop::collection::vec((0_u64..200, any::<bool>(), 1_u32..200, 0_i64..300, any::<bool>()), 1..200),
            first in 1_u32..64, more in 0_u32..128,
        ) {
            let bounds = Bounds { first, most: first + more };
            let (mut pace, mut now) = (Pace::new(bounds, Timestamp::EPOCH), 0);
            for (took, is_bulk, sending, later, fails) in trips {
                now += later;
                if fails { pace.failed() }
                pace.answered(Trip { took: ms(took), is_bulk, sending, bulk: sending }, Timestamp::from_unix_millis(now));
                prop_assert!((first..=bounds.most).contains(&pace.width()));
                prop_assert!((1..=first).contains(&pace.bulk()));
            }
        }
    }
}
