//! Time as an argument: [`Timestamp`] is a point in time, [`Clock`] is where it comes from.
//!
//! Every worker, handler and decision takes its time from a [`Clock`]; only [`SystemClock`] reads the wall clock, and
//! `clippy.toml` forbids doing so anywhere else. Tests hold a [`ManualClock`] and move it.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// A point in time: whole microseconds since the Unix epoch, UTC.
///
/// In JSON it is an RFC 3339 string (`"2026-11-21T10:00:00.123Z"`), in PostgreSQL a `timestamptz`. Members that
/// standards define as numbers (`iat`, `event_timestamp`) are converted explicitly with
/// [`from_unix_seconds`](Timestamp::from_unix_seconds) and [`unix_seconds`](Timestamp::unix_seconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// From microseconds since the Unix epoch.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the Unix epoch; saturates at the ends of time.
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// From whole seconds since the Unix epoch; saturates at the ends of time.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// From a date as HTTP writes it, such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
    pub fn from_http_date(text: &str) -> Option<Self> {
        let parsed = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        i64::try_from(parsed.unix_timestamp_nanos().div_euclid(1_000)).ok().map(Self)
    }

    /// Microseconds since the Unix epoch.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    pub const fn unix_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the Unix epoch, rounded down (as `iat` must be, SSF 1.0 §4.1).
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The time elapsed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This time moved forward.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This time moved back.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This time without its fraction of a millisecond.
    #[must_use]
    pub const fn floor_to_millis(self) -> Self {
        Self(self.0.div_euclid(1_000).saturating_mul(1_000))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .ok()
            .and_then(|t| t.format(&Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}µs", self.0),
        }
    }
}

/// The text is not an RFC 3339 date and time.
#[derive(Debug, thiserror::Error)]
#[error("not an RFC 3339 date and time")]
pub struct NotATimestamp;

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NotATimestamp)?;
        i64::try_from(parsed.unix_timestamp_nanos().div_euclid(1_000)).map(Self).map_err(|_| NotATimestamp)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

crate::described_as!(Timestamp, crate::schema::text(Some("date-time")));

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

mod postgres {
    //! `timestamptz` on the wire: microseconds since 2000-01-01.

    use sqlx::encode::IsNull;
    use sqlx::error::BoxDynError;
    use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef, Postgres};
    use sqlx::{Decode, Encode, Type};
    use time::OffsetDateTime;

    use super::Timestamp;

    impl Type<Postgres> for Timestamp {
        fn type_info() -> PgTypeInfo {
            <OffsetDateTime as Type<Postgres>>::type_info()
        }
    }

    impl PgHasArrayType for Timestamp {
        fn array_type_info() -> PgTypeInfo {
            <OffsetDateTime as PgHasArrayType>::array_type_info()
        }
    }

    impl Encode<'_, Postgres> for Timestamp {
        fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
            let micros = self.0.saturating_sub(MICROS_FROM_UNIX_TO_POSTGRES_EPOCH);
            <i64 as Encode<Postgres>>::encode_by_ref(&micros, buf)
        }

        fn size_hint(&self) -> usize {
            8
        }
    }

    impl<'r> Decode<'r, Postgres> for Timestamp {
        fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
            // `OffsetDateTime` would panic at the infinities and beyond the year 9999
            match value.format() {
                PgValueFormat::Binary => {
                    let micros = <i64 as Decode<Postgres>>::decode(value)?;
                    Ok(Self(micros.saturating_add(MICROS_FROM_UNIX_TO_POSTGRES_EPOCH)))
                }
                PgValueFormat::Text => {
                    let parsed = <OffsetDateTime as Decode<Postgres>>::decode(value)?;
                    Ok(Self(i64::try_from(parsed.unix_timestamp_nanos().div_euclid(1_000))?))
                }
            }
        }
    }

    const MICROS_FROM_UNIX_TO_POSTGRES_EPOCH: i64 = 946_684_800_000_000;
}

/// Where time comes from.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock: the only reader of it in the house.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until somebody moves it.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_its_text_form() {
        let t = Timestamp::from_unix_micros(1_795_000_000_123_456);
        assert_eq!(t.to_string().parse::<Timestamp>().unwrap(), t);
        assert_eq!(serde_json::from_str::<Timestamp>(&serde_json::to_string(&t).unwrap()).unwrap(), t);
    }

    #[test]
    fn seconds_are_rounded_down_even_before_the_epoch() {
        assert_eq!(Timestamp::from_unix_micros(1_999_999).unix_seconds(), 1);
        assert_eq!(Timestamp::from_unix_micros(-1).unix_seconds(), -1);
        assert_eq!(Timestamp::from_unix_micros(-1).unix_millis(), -1);
    }

    #[test]
    fn the_ends_of_time_saturate_instead_of_wrapping() {
        let end = Timestamp::from_unix_seconds(i64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(Timestamp::EPOCH.since(end), Duration::ZERO);
    }

    #[test]
    fn a_manual_clock_moves_only_when_moved() {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(10));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now(), Timestamp::from_unix_millis(11_500));
    }
}
