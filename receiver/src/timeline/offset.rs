//! How far the issuer's clock is ahead of ours: two bounds, from the four times of a verification round trip.

use serde::{Deserialize, Serialize};
use ssf_common::clock::Timestamp;

/// A verification from our question to the answer. What the issuer says happened in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// When we asked, by our clock.
    pub asked: Timestamp,
    /// When the transmitter took the question, by its clock: not before we asked.
    pub occurred: Timestamp,
    /// When it took the SET up to send it, by its clock: not after the SET arrived.
    pub taken: Timestamp,
    /// When the SET arrived, by our clock.
    pub answered: Timestamp,
}

/// The issuer's clock is ahead of ours by no less than `min` and no more than `max` milliseconds; negative is behind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// The lower bound.
    pub min: f64,
    /// The upper bound.
    pub max: f64,
}

impl ClockOffset {
    /// What a round trip proves, whatever the delays on the way were. `None`: no offset explains these times, so a clock
    /// was set meanwhile.
    pub fn during(trip: &RoundTrip) -> Option<Self> {
        let micros = |issuers: Timestamp, ours: Timestamp| issuers.unix_micros() - ours.unix_micros();
        let (min, max) = (micros(trip.taken, trip.answered), micros(trip.occurred, trip.asked));
        (min <= max).then(|| Self { min: millis(min), max: millis(max) })
    }
}

#[expect(clippy::cast_precision_loss, reason = "two clocks are apart by far less than 2^52 microseconds")]
fn millis(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASKED: i64 = 1_795_000_000_000_000;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_unix_micros(micros)
    }

    /// A round trip in which the issuer's clock is ahead by `offset`, with these delays: there, inside, back.
    fn trip(offset: i64, [there, inside, back]: [i64; 3]) -> RoundTrip {
        RoundTrip {
            asked: at(ASKED),
            occurred: at(ASKED + there + offset),
            taken: at(ASKED + there + inside + offset),
            answered: at(ASKED + there + inside + back),
        }
    }

    #[test]
    fn a_clock_that_is_set_apart_shows_although_the_round_trip_is_short() {
        // An hour ahead, and 3 ms on the way: the length of the round trip alone says nothing about the hour.
        let offset = ClockOffset::during(&trip(3_600_000_000, [1_000, 500, 2_000])).unwrap();
        assert_eq!(offset, ClockOffset { min: 3_599_998.0, max: 3_600_001.0 });
        let behind = ClockOffset::during(&trip(-3_600_000_000, [1_000, 500, 2_000])).unwrap();
        assert_eq!(behind, ClockOffset { min: -3_600_002.0, max: -3_599_999.0 });
    }

    #[test]
    fn times_that_no_offset_explains_prove_nothing() {
        let set_back = RoundTrip { answered: at(ASKED - 1), ..trip(0, [0, 0, 0]) };
        assert_eq!(ClockOffset::during(&set_back), None);
    }

    proptest! {
        #[test]
        fn the_true_offset_always_lies_inside(
            offset in -10_000_000_000_000_i64..=10_000_000_000_000,
            delays in prop::array::uniform3(0_i64..=1_000_000_000_000),
        ) {
            let bounds = ClockOffset::during(&trip(offset, delays)).unwrap();
            prop_assert!(bounds.min <= millis(offset) && millis(offset) <= bounds.max, "{bounds:?}");
        }

        #[test]
        fn the_bounds_are_as_far_apart_as_the_delays_on_the_way(
            offset in -10_000_000_000_i64..=10_000_000_000, delays in prop::array::uniform3(0_i64..=1_000_000_000),
        ) {
            let ClockOffset { min, max } = ClockOffset::during(&trip(offset, delays)).unwrap();
            prop_assert!((max - min - millis(delays[0] + delays[2])).abs() < 0.001);
        }
    }
}
