//! Out of touch with an issuer: what its silence, or a gap in what was heard, makes of a verdict. Pure.
//!
//! A verdict is as good as the last sign of life of the issuer. Within the soft bound it stands as it is, within the hard
//! bound it stands and says that it is stale, and beyond that who would be active must be revalidated: suspended, never
//! ended, and without anything being written, so that it is over when the issuer is heard of again.

use std::time::Duration;

use ssf_common::clock::Timestamp;

use super::verdict::{Reason, State, Verdict};
use crate::config::Limits;
use crate::session::{Assertions, SubjectKey};

/// How well a process is in touch with one issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// How old the newest look at what is committed is.
    pub feed_age: Duration,
    /// How long ago the issuer was last heard of; `None` if nobody listens to it any more.
    pub issuer_age: Option<Duration>,
    /// An operator has said that neither silence nor gaps suspend anybody at present.
    pub is_overridden: bool,
}

impl Touch {
    /// The age that counts: an issuer that nobody listens to is infinitely old.
    pub fn age(&self) -> Duration {
        self.issuer_age.map_or(Duration::MAX, |age| age.max(self.feed_age))
    }

    /// Whether an answer says that it is stale.
    pub fn is_stale(&self, limits: Limits) -> bool {
        self.age() > limits.soft
    }

    /// What becomes of a verdict. `is_in_gap`: it is this one's turn to be revalidated after a gap.
    #[must_use]
    pub fn judge(&self, verdict: Verdict, limits: Limits, is_in_gap: bool) -> Verdict {
        let suspended = |reason| Verdict { state: State::RevalidateRequired, reason: Some(reason) };
        if verdict.state != State::Active || self.is_overridden {
            verdict
        } else if is_in_gap {
            suspended(Reason::Gap)
        } else if self.age() > limits.hard {
            suspended(Reason::OutOfTouch)
        } else {
            verdict
        }
    }
}

/// Whether it is this session's turn to be revalidated, because what an issuer decided may have been lost.
///
/// `gaps` are the times until which that was so. Everything asserted until the end of a gap must be asserted again, in its
/// turn: a fraction of `spread` after that end that only depends on the session and the gap, so that every process
/// says the same and the issuer is not asked by everybody at once.
pub fn is_due_after_a_gap(
    gaps: &[Timestamp],
    assertions: Assertions,
    keys: &[SubjectKey],
    spread: Duration,
    now: Timestamp,
) -> bool {
    let mut open = gaps.iter().filter(|end| assertions.validated <= **end).peekable();
    if open.peek().is_none() {
        return false;
    }
    let session = keys.iter().fold(0, |folded, key| folded ^ u128::from_le_bytes(key.0));
    open.any(|end| now >= end.plus(spread.mul_f64(turn(session, *end))))
}

/// From 0.0 up to but not including 1.0: the same for the same session and gap, and evenly spread over sessions.
fn turn(session: u128, end: Timestamp) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "the halves are folded into one")]
    let folded = (session as u64) ^ ((session >> 64) as u64) ^ end.unix_micros().cast_unsigned();
    // splitmix64: keys are even already, but what differs between two gaps is a few low bits
    let mixed = folded.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(u32::MAX);
    f64::from(high) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ssf_common::random::{Random as _, SeededRandom};

    use super::*;

    const LIMITS: Limits = Limits { soft: Duration::from_secs(30), hard: Duration::from_mins(1) };
    const ACTIVE: Verdict = Verdict { state: State::Active, reason: None };

    fn heard(seconds_ago: u64) -> Touch {
        let issuer_age = Some(Duration::from_secs(seconds_ago));
        Touch { feed_age: Duration::ZERO, issuer_age, is_overridden: false }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn silence_is_told_first_and_then_suspends() {
        let said = |touch: Touch| (touch.judge(ACTIVE, LIMITS, false).reason, touch.is_stale(LIMITS));
        assert_eq!(said(heard(30)), (None, false));
        assert_eq!(said(heard(31)), (None, true));
        assert_eq!(said(heard(60)), (None, true));
        assert_eq!(said(heard(61)), (Some(Reason::OutOfTouch), true));
        assert_eq!(said(Touch { issuer_age: None, ..heard(0) }), (Some(Reason::OutOfTouch), true));
        assert_eq!(said(Touch { feed_age: Duration::from_secs(61), ..heard(0) }), (Some(Reason::OutOfTouch), true));
    }

    #[test]
    fn an_override_lifts_suspensions_and_nothing_else() {
        let touch = Touch { is_overridden: true, ..heard(1_000) };
        assert_eq!(touch.judge(ACTIVE, LIMITS, true), ACTIVE);
        assert!(touch.is_stale(LIMITS));
        for (state, reason) in [(State::Revoked, Reason::Blocked), (State::RevalidateRequired, Reason::Expired)] {
            let verdict = Verdict { state, reason: Some(reason) };
            assert_eq!(touch.judge(verdict, LIMITS, true), verdict);
        }
    }

    proptest! {
        /// Touch never makes a verdict better, and never worse than suspended.
        #[test]
        fn it_only_ever_suspends_who_was_active(ago in 0_u64..200, is_in_gap: bool, is_overridden: bool, which in 0_usize..4) {
            let verdict = [
                ACTIVE,
                Verdict { state: State::RevalidateRequired, reason: Some(Reason::Expired) },
                Verdict { state: State::Revoked, reason: Some(Reason::Blocked) },
                Verdict::unknown(Reason::NotRegistered),
            ][which];
            let judged = Touch { is_overridden, ..heard(ago) }.judge(verdict, LIMITS, is_in_gap);
            prop_assert!(judged == verdict || (verdict == ACTIVE && judged.state == State::RevalidateRequired));
        }

        /// Nobody before the end of the gap, everybody by the end of the spread, and who is due stays due until it is
        /// asserted anew.
        #[test]
        fn a_turn_comes_once_and_in_time(key: [u8; 16], end in 0_i64..1_000_000, spread in 1_u64..3_600, ahead in 1_i64..9) {
            let (gaps, keys) = ([at(end)], [SubjectKey(key)]);
            let of = |validated| Assertions { origin: at(-9), validated };
            let due = |validated, now| is_due_after_a_gap(&gaps, of(validated), &keys, Duration::from_secs(spread), now);
            let last = at(end).plus(Duration::from_secs(spread));
            prop_assert!(!due(at(end), at(end - 1)));
            prop_assert!(due(at(end), last));
            prop_assert!(!due(at(end + ahead), last.plus(Duration::from_hours(1))));
            let steps: Vec<bool> = (0..=spread).map(|s| due(at(end), at(end).plus(Duration::from_secs(s)))).collect();
            prop_assert!(steps.is_sorted());
        }
    }

    #[test]
    fn turns_are_spread_evenly_and_anew_for_each_gap() {
        let random = SeededRandom::new(7);
        let keys: Vec<SubjectKey> = (0..10_000)
            .map(|_| {
                let mut key = [0; 16];
                random.fill(&mut key);
                SubjectKey(key)
            })
            .collect();
        let spread = Duration::from_secs(100);
        let assertions = Assertions { origin: at(0), validated: at(0) };
        let due = |gap: i64, now: i64| -> Vec<bool> {
            keys.iter().map(|key| is_due_after_a_gap(&[at(gap)], assertions, &[*key], spread, at(now))).collect()
        };
        for tenth in 1..=10_i64 {
            let count = due(1_000, 1_000 + 10 * tenth).iter().filter(|is_due| **is_due).count();
            let expected = usize::try_from(tenth).unwrap() * 1_000;
            assert!(count.abs_diff(expected) < 200, "{tenth}: {count}");
        }
        let (one, other) = (due(1_000, 1_050), due(1_001, 1_051));
        let same = one.iter().zip(&other).filter(|(one, other)| one == other).count();
        assert!(same.abs_diff(5_000) < 300, "{same}");
    }

    #[test]
    fn of_several_gaps_the_first_whose_turn_has_come_counts() {
        let keys = [SubjectKey([3; 16])];
        let assertions = Assertions { origin: at(0), validated: at(150) };
        let due =
            |gaps: &[Timestamp], now| is_due_after_a_gap(gaps, assertions, &keys, Duration::from_secs(10), at(now));
        assert!(!due(&[at(100)], 1_000), "asserted after it");
        assert!(due(&[at(200), at(100)], 210));
        assert!(due(&[at(2_000), at(200), at(100)], 300), "the turn of the older gap has come long ago");
    }
}
