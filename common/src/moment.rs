//! A point in time that knows how precisely it was told.
//!
//! Issuers write `event_timestamp`, `iat` and `auth_time` in whole seconds, or with a fraction. A whole second *covers*
//! the second: [`Moment::first`] is the first instant it may mean, [`Moment::last`] the last one. Two moments are
//! compared at the coarser precision of the two ([`Moment::is_at_or_before`]); that is the same as comparing the first
//! instant of the earlier one with the last instant of the later one, so a store needs to keep no precision: cut-offs
//! are kept as their last instant, origins as their first.

use std::time::Duration;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Number;

use crate::clock::Timestamp;

/// How precisely a [`Moment`] was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// To the millisecond.
    Millisecond,
    /// To the second.
    Second,
}

/// A point in time with its [`Precision`].
///
/// In JSON a NumericDate (RFC 7519 §2): `1795000000` is a whole second, `1795000000.25` is precise to the millisecond.
/// It also reads RFC 3339 text: `"2026-11-21T10:00:00Z"` and `"2026-11-21T10:00:00.250Z"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    at: Timestamp,
    precision: Precision,
}

impl Moment {
    /// The whole second in which `at` lies.
    pub const fn second(at: Timestamp) -> Self {
        Self { at: Timestamp::from_unix_seconds(at.unix_seconds()), precision: Precision::Second }
    }

    /// The millisecond in which `at` lies.
    pub const fn millisecond(at: Timestamp) -> Self {
        Self { at: at.floor_to_millis(), precision: Precision::Millisecond }
    }

    /// A number from the wire: seconds since the epoch, whole or with a fraction; careless peers send milliseconds, so
    /// a value over 10^11 is read as such. `None` if it is negative or beyond the year 9999.
    pub fn from_number(number: &Number) -> Option<Self> {
        if let Some(whole) = number.as_i64() {
            return match whole {
                0..=FIRST_READ_AS_MILLIS => Some(Self::second(Timestamp::from_unix_seconds(whole))),
                whole if whole > 0 && whole <= LAST_MILLIS => {
                    Some(Self::millisecond(Timestamp::from_unix_millis(whole)))
                }
                _ => None,
            };
        }
        let seconds = number.as_f64().filter(|s| s.is_finite() && *s >= 0.0)?;
        #[expect(clippy::cast_precision_loss, reason = "both bounds are far below 2^52")]
        let (threshold, last) = (FIRST_READ_AS_MILLIS as f64, LAST_MILLIS as f64);
        let millis = if seconds > threshold { seconds } else { seconds * 1_000.0 };
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the year 9999 just before")]
        (millis <= last).then(|| {
            let at = Timestamp::from_unix_millis((millis + 1e-3).floor() as i64);
            if seconds.fract() == 0.0 && seconds <= threshold { Self::second(at) } else { Self::millisecond(at) }
        })
    }

    /// The first instant this moment may mean.
    pub const fn first(self) -> Timestamp {
        self.at
    }

    /// The last instant this moment may mean.
    pub fn last(self) -> Timestamp {
        match self.precision {
            Precision::Millisecond => self.at.plus(Duration::from_micros(999)),
            Precision::Second => self.at.plus(Duration::from_micros(999_999)),
        }
    }

    /// How precisely it was told.
    pub const fn precision(self) -> Precision {
        self.precision
    }

    /// The definition of "not later than": both at the coarser precision of the two, ties included.
    pub fn is_at_or_before(self, other: Self) -> bool {
        match self.precision.max(other.precision) {
            Precision::Second => self.at.unix_seconds() <= other.at.unix_seconds(),
            Precision::Millisecond => self.at.unix_millis() <= other.at.unix_millis(),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.precision {
            Precision::Second => serializer.serialize_i64(self.at.unix_seconds()),
            #[expect(clippy::cast_precision_loss, reason = "milliseconds until the year 9999 are below 2^52")]
            Precision::Millisecond => serializer.serialize_f64(self.at.unix_millis() as f64 / 1_000.0),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Number(Number),
            Text(String),
        }
        match Wire::deserialize(deserializer)? {
            Wire::Number(number) => Self::from_number(&number).ok_or_else(|| D::Error::custom(NOT_A_MOMENT)),
            Wire::Text(text) => {
                let at: Timestamp = text.parse().map_err(|_| D::Error::custom(NOT_A_MOMENT))?;
                Ok(if text.contains('.') { Self::millisecond(at) } else { Self::second(at) })
            }
        }
    }
}

const FIRST_READ_AS_MILLIS: i64 = 100_000_000_000;
const LAST_MILLIS: i64 = 253_402_300_799_999;
const NOT_A_MOMENT: &str = "not a time: give seconds since 1970 as a number, or RFC 3339 text";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(value: serde_json::Value) -> Option<Moment> {
        serde_json::from_value(value).ok()
    }

    #[test]
    fn a_whole_second_covers_its_second_and_a_fraction_its_millisecond() {
        let whole = parse(json!(1_795_000_000)).unwrap();
        assert_eq!(
            (whole.first().unix_micros(), whole.last().unix_micros()),
            (1_795_000_000_000_000, 1_795_000_000_999_999)
        );
        let fraction = parse(json!(1_795_000_000.25)).unwrap();
        assert_eq!(fraction.first().unix_micros(), 1_795_000_000_250_000);
        assert_eq!(fraction.last().unix_micros(), 1_795_000_000_250_999);
    }

    #[test]
    fn text_and_careless_milliseconds_are_read_too() {
        assert_eq!(parse(json!("2026-11-21T10:00:00Z")).unwrap().precision(), Precision::Second);
        assert_eq!(parse(json!("2026-11-21T10:00:00.5Z")).unwrap().precision(), Precision::Millisecond);
        assert_eq!(parse(json!(1_795_000_000_123_i64)).unwrap().first().unix_millis(), 1_795_000_000_123);
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for bad in [json!(-1), json!(1e300), json!("soon"), json!(null), json!(i64::MAX), json!(-0.5)] {
            assert!(parse(bad.clone()).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn first_against_last_is_the_comparison_at_the_coarser_precision(
            a in 0_i64..5_000, b in 0_i64..5_000, a_whole: bool, b_whole: bool,
        ) {
            let make = |ms, whole| {
                let at = Timestamp::from_unix_millis(ms);
                if whole { Moment::second(at) } else { Moment::millisecond(at) }
            };
            let (a, b) = (make(a, a_whole), make(b, b_whole));
            prop_assert_eq!(a.is_at_or_before(b), a.first() <= b.last());
        }
    }
}
