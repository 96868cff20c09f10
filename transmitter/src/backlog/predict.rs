//! When what waits will be settled: pure functions of a queue as it was seen.
//!
//! A receiver is one pipe: its lanes are taken one after the other, so what waits in a lane waits for all more urgent
//! ones too. How fast the pipe is shows only while something waits, so a rate counts from then.

use std::time::Duration;

/// How fast a receiver takes SETs, measured while something waited for it.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// `settled` SETs over the time in which there was something to settle. `None` if that was too short to say, or
    /// nothing was settled: then nobody knows.
    pub fn measured(settled: u64, over: Duration) -> Option<Self> {
        (settled > 0 && over >= SHORTEST_MEASURE).then(|| Self(as_f64(settled) / over.as_secs_f64()))
    }

    /// SETs per second.
    pub const fn per_second(self) -> f64 {
        self.0
    }

    /// How long so many take.
    pub fn time_for(self, sets: u64) -> Duration {
        Duration::try_from_secs_f64(as_f64(sets) / self.0).unwrap_or(Duration::MAX)
    }
}

/// What waits in one lane of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// How much.
    pub waiting: u64,
    /// How long ago the oldest of it was decided.
    pub oldest: Option<Duration>,
    /// How long ago the newest was.
    pub newest: Option<Duration>,
}

/// A stream's queue: its lanes, the most urgent first, and how it is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    /// What waits.
    pub lanes: [Lane; 3],
    /// How fast it is taken, if that is known.
    pub rate: Option<Rate>,
    /// Its receiver fails: in how long it is tried again.
    pub retry_in: Option<Duration>,
    /// Its stream is paused.
    pub is_held: bool,
}

/// Why a lane is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its stream is paused.
    Held,
    /// Its receiver is in trouble.
    Failing,
    /// Nothing is taken.
    Stalled,
    /// It is taken more slowly than needed.
    Slow,
    /// Its decisions are not fanned out.
    FanOut,
}

impl Cause {
    /// As the database keeps it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Failing => "failing",
            Self::Stalled => "stalled",
            Self::Slow => "slow",
            Self::FanOut => "fan_out",
        }
    }
}

impl Queue {
    /// How long until nothing waits, if nothing comes; `None` if nobody knows.
    pub fn time_to_empty(&self) -> Option<Duration> {
        let waiting = self.through(2);
        if waiting == 0 { Some(Duration::ZERO) } else { self.rate.map(|rate| rate.time_for(waiting)) }
    }

    /// How long after its decision the slowest of a lane will be settled, as far as can be said: the oldest when its turn
    /// comes, or the newest when everything before it is gone, whichever is later. It is never less than the age of the
    /// oldest. `None` if nothing waits there.
    pub fn predicted(&self, lane: usize) -> Option<Duration> {
        let here = self.lanes.get(lane)?;
        let oldest = here.oldest?;
        let rate = self.rate.filter(|_| !self.is_held);
        let turn = |before: u64| rate.map_or(Duration::ZERO, |rate| rate.time_for(before));
        let pause = self.retry_in.unwrap_or_default();
        let first = turn(self.through(lane) - here.waiting).max(pause);
        let head = oldest.saturating_add(first);
        let tail = here.newest.unwrap_or(oldest).saturating_add(turn(self.through(lane)).max(pause));
        Some(head.max(tail))
    }

    /// Why what waits does.
    pub const fn cause(&self) -> Cause {
        if self.is_held {
            Cause::Held
        } else if self.retry_in.is_some() {
            Cause::Failing
        } else if self.rate.is_none() {
            Cause::Stalled
        } else {
            Cause::Slow
        }
    }

    /// How much waits in a lane and all more urgent ones.
    fn through(&self, lane: usize) -> u64 {
        self.lanes.iter().take(lane + 1).map(|lane| lane.waiting).sum()
    }
}

/// What becomes of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It rings from now on.
    Raise,
    /// It rings no more.
    Clear,
    /// It stays as it is.
    Stay,
}

/// Whether an alarm that rings (or not) changes. It is raised when more than `share` of the window is expected to pass, and
/// cleared only well below that, so that it does not flutter.
pub fn verdict(rings: bool, predicted: Option<Duration>, window: Duration, share: f64) -> Verdict {
    let limit = window.mul_f64(share);
    match (rings, predicted) {
        (false, Some(predicted)) if predicted > limit => Verdict::Raise,
        (true, None) => Verdict::Clear,
        (true, Some(predicted)) if predicted < limit.mul_f64(CLEARED_BELOW) => Verdict::Clear,
        _ => Verdict::Stay,
    }
}

/// A rate from less than this says nothing: one slow answer would look like a stopped receiver.
pub const SHORTEST_MEASURE: Duration = Duration::from_secs(5);
/// A rate is that of the last minute at most.
pub const LONGEST_MEASURE: Duration = Duration::from_mins(1);
const CLEARED_BELOW: f64 = 0.8;

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lane(waiting: u64, oldest: u64, newest: u64) -> Lane {
        Lane { waiting, oldest: Some(secs(oldest)), newest: Some(secs(newest)) }
    }

    fn queue(lanes: [Lane; 3], per_second: Option<u64>) -> Queue {
        let rate = per_second.map(|rate| Rate::measured(rate * 10, secs(10)).unwrap());
        Queue { lanes, rate, retry_in: None, is_held: false }
    }

    #[test]
    fn a_rate_is_known_only_after_a_while_in_which_something_was_settled() {
        assert_eq!(Rate::measured(100, secs(4)), None);
        assert_eq!(Rate::measured(0, secs(60)), None);
        let rate = Rate::measured(600, secs(60)).unwrap();
        assert!((rate.per_second() - 10.0).abs() < f64::EPSILON);
        assert_eq!(rate.time_for(50), secs(5));
    }

    #[test]
    fn the_slowest_of_a_lane_waits_for_all_that_is_before_it() {
        let none = Lane::default();
        let table = [
            ("the newest of a mass revocation", queue([lane(1_000, 2, 2), none, none], Some(10)), 0, 102),
            ("the oldest, whose turn it is", queue([lane(10, 40, 1), none, none], Some(10)), 0, 40),
            ("what is less urgent waits longer", queue([lane(100, 1, 1), lane(10, 5, 5), none], Some(10)), 1, 16),
            ("what is more urgent does not", queue([lane(10, 1, 1), none, lane(5_000, 9, 9)], Some(10)), 0, 2),
            ("as long as no rate is known, what has passed", queue([lane(9_999, 7, 3), none, none], None), 0, 7),
        ];
        for (what, queue, lane, seconds) in table {
            assert_eq!(queue.predicted(lane), Some(secs(seconds)), "{what}");
        }
        let failing = Queue { retry_in: Some(secs(10)), ..queue([lane(1, 20, 20), none, none], None) };
        assert_eq!((failing.predicted(0), failing.cause()), (Some(secs(30)), Cause::Failing));
        assert_eq!(failing.predicted(1), None, "nothing waits there");
        let held = Queue { is_held: true, ..queue([lane(1_000, 20, 20), none, none], Some(1)) };
        assert_eq!((held.predicted(0), held.cause()), (Some(secs(20)), Cause::Held));
    }

    #[test]
    fn what_empties_when() {
        assert_eq!(queue([lane(30, 1, 1), Lane::default(), lane(20, 1, 1)], Some(10)).time_to_empty(), Some(secs(5)));
        assert_eq!(queue([lane(30, 1, 1); 3], None).time_to_empty(), None);
        assert_eq!(queue([Lane::default(); 3], None).time_to_empty(), Some(Duration::ZERO));
    }

    #[test]
    fn an_alarm_is_raised_above_the_share_and_cleared_well_below_it() {
        let at = |rings, seconds: u64| verdict(rings, Some(secs(seconds)), secs(300), 0.5);
        assert_eq!([at(false, 150), at(false, 151)], [Verdict::Stay, Verdict::Raise]);
        assert_eq!([at(true, 120), at(true, 119)], [Verdict::Stay, Verdict::Clear]);
        assert_eq!(verdict(true, None, secs(300), 0.5), Verdict::Clear);
        assert_eq!(verdict(false, None, secs(300), 0.5), Verdict::Stay);
    }

    fn any_lane() -> impl Strategy<Value = Lane> {
        (0_u64..100_000, 0_u64..10_000, 0_u64..10_000)
            .prop_map(|(waiting, a, b)| if waiting == 0 { Lane::default() } else { lane(waiting, a.max(b), a.min(b)) })
    }

    proptest! {
        #[test]
        fn a_prediction_is_never_less_than_the_age_of_the_oldest_nor_better_for_more_or_for_slower(
            lanes in [any_lane(), any_lane(), any_lane()], rate in proptest::option::of(1_u64..1_000), place in 0_usize..3, more in 0_u64..1_000,
        ) {
            let seen = queue(lanes, rate);
            let Some(predicted) = seen.predicted(place) else {
                prop_assert_eq!(lanes[place].waiting, 0);
                return Ok(());
            };
            prop_assert!(predicted >= lanes[place].oldest.unwrap());
            let mut fuller = seen;
            fuller.lanes[0].waiting += more;
            prop_assert!(fuller.predicted(place).unwrap() >= predicted);
            if let Some(rate) = rate.filter(|rate| *rate > 1) {
                prop_assert!(queue(lanes, Some(rate - 1)).predicted(place).unwrap() >= predicted);
            }
        }

        /// Before a window is missed somebody has heard of it: when its time comes, the alarm rings.
        #[test]
        fn nothing_misses_its_window_without_an_alarm_before(
            lanes in [any_lane(), any_lane(), any_lane()], rate in proptest::option::of(1_u64..1_000), place in 0_usize..3,
        ) {
            let window = secs(300);
            let is_late = lanes[place].oldest.is_some_and(|oldest| oldest > window.mul_f64(0.5));
            let seen = queue(lanes, rate).predicted(place);
            prop_assert_eq!(is_late && verdict(false, seen, window, 0.5) != Verdict::Raise, false);
        }

        #[test]
        fn what_was_just_raised_is_not_cleared_by_the_same_figures(seconds in 0_u64..1_000, share in 0.01_f64..0.99) {
            let predicted = Some(secs(seconds));
            if verdict(false, predicted, secs(300), share) == Verdict::Raise {
                prop_assert_eq!(verdict(true, predicted, secs(300), share), Verdict::Stay);
            }
        }
    }
}
