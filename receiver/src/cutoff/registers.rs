//! The registers of one subject key, how they merge, and what all matching keys say together.
//!
//! Times are stored so that comparing them in Rust or SQL *is* the comparison at the coarser precision of the two
//! (`common/src/moment.rs`): a cut-off as the last instant its time may mean, what is cut off by it as the first. So
//! `revoked_before`, `revalidate_before` and `blocked_at` are last instants; `unblocked_at` is a first instant, for it
//! is a block that it is compared with, and ties lose: enabled and disabled within the same second means disabled.

use ssf_common::clock::Timestamp;
use ssf_common::moment::Moment;

/// What an event does to a subject key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// Sessions asserted until then are over.
    Revoke,
    /// Sessions asserted until then must be asserted again.
    Revalidate,
    /// The subject is shut out until it is let in again, and its sessions are over.
    Block,
    /// The subject is let in again; sessions that were over stay over.
    Unblock,
}

/// What is known about one subject key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Sessions whose origin is not later are revoked.
    pub revoked_before: Option<Timestamp>,
    /// Sessions whose newest assertion is not later must be revalidated.
    pub revalidate_before: Option<Timestamp>,
    /// The last block.
    pub blocked_at: Option<Timestamp>,
    /// The last unblock.
    pub unblocked_at: Option<Timestamp>,
}

impl Registers {
    /// What one event says that was decided at `decided`. No register is set later than `latest`, whatever the issuer
    /// wrote: a time far ahead would outlive everything that comes after it.
    pub fn of(cut: Cut, decided: Moment, latest: Timestamp) -> Self {
        let (first, last) = (decided.first().min(latest), Some(decided.last().min(latest)));
        match cut {
            Cut::Revoke => Self { revoked_before: last, ..Self::default() },
            Cut::Revalidate => Self { revalidate_before: last, ..Self::default() },
            Cut::Block => Self { revoked_before: last, blocked_at: last, ..Self::default() },
            Cut::Unblock => Self { unblocked_at: Some(first), ..Self::default() },
        }
    }

    /// What both say about the same key. Commutative, associative and idempotent: neither the order of arrival nor
    /// repetition can matter.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            revoked_before: self.revoked_before.max(other.revoked_before),
            revalidate_before: self.revalidate_before.max(other.revalidate_before),
            blocked_at: self.blocked_at.max(other.blocked_at),
            unblocked_at: self.unblocked_at.max(other.unblocked_at),
        }
    }

    /// Can it touch nobody any more whose origin is later than `before`? Then it may be forgotten, if everything that began
    /// earlier is over anyway. What was ever blocked or let in again is kept: a block holds for ever, and an old one that
    /// arrives late must meet the unblock that came after it.
    pub fn is_spent(&self, before: Timestamp) -> bool {
        let is_old = |register: Option<Timestamp>| register.is_none_or(|at| at <= before);
        self.blocked_at.is_none()
            && self.unblocked_at.is_none()
            && is_old(self.revoked_before)
            && is_old(self.revalidate_before)
    }

    /// Is the subject shut out? It is from the last block on, unless it was let in strictly later.
    pub fn is_blocked(&self) -> bool {
        self.blocked_at.is_some() && self.blocked_at >= self.unblocked_at
    }
}

/// What all the keys that match a session say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The latest revocation of any of the keys.
    pub revoked_before: Option<Timestamp>,
    /// The latest call for revalidation of any of the keys.
    pub revalidate_before: Option<Timestamp>,
    /// Is any of the keys shut out?
    pub blocked: bool,
}

impl Standing {
    /// With one more matching key. A block is judged per key: letting the user in does not let a shut-out device in.
    #[must_use]
    pub fn with(self, key: &Registers) -> Self {
        Self {
            revoked_before: self.revoked_before.max(key.revoked_before),
            revalidate_before: self.revalidate_before.max(key.revalidate_before),
            blocked: self.blocked || key.is_blocked(),
        }
    }
}

impl<'a> FromIterator<&'a Registers> for Standing {
    fn from_iter<I: IntoIterator<Item = &'a Registers>>(keys: I) -> Self {
        keys.into_iter().fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn registers() -> impl Strategy<Value = Registers> {
        let time = || prop::option::of((0_i64..20).prop_map(Timestamp::from_unix_seconds));
        (time(), time(), time(), time()).prop_map(|(revoked_before, revalidate_before, blocked_at, unblocked_at)| {
            Registers { revoked_before, revalidate_before, blocked_at, unblocked_at }
        })
    }

    proptest! {
        #[test]
        fn merging_knows_no_order_and_no_repetition(a in registers(), b in registers(), c in registers()) {
            prop_assert_eq!(a.merged(b), b.merged(a));
            prop_assert_eq!(a.merged(b).merged(c), a.merged(b.merged(c)));
            prop_assert_eq!(a.merged(b).merged(b), a.merged(b));
            prop_assert_eq!(a.merged(Registers::default()), a);
        }
    }

    #[test]
    fn no_register_is_set_later_than_the_latest_time_allowed() {
        let (now, far) = (Timestamp::from_unix_seconds(100), Moment::second(Timestamp::from_unix_seconds(9_000)));
        for cut in [Cut::Revoke, Cut::Revalidate, Cut::Block, Cut::Unblock] {
            let r = Registers::of(cut, far, now);
            let set = [r.revoked_before, r.revalidate_before, r.blocked_at, r.unblocked_at];
            assert!(set.iter().flatten().all(|t| *t == now) && set.iter().any(Option::is_some), "{cut:?}");
        }
    }

    #[test]
    fn a_block_and_an_unblock_at_the_same_microsecond_is_a_block() {
        let at = Some(Timestamp::from_unix_seconds(10));
        assert!(Registers { blocked_at: at, unblocked_at: at, ..Registers::default() }.is_blocked());
    }

    #[test]
    fn a_block_and_an_unblock_within_the_same_second_is_a_block() {
        let at = |s| Moment::second(Timestamp::from_unix_seconds(s));
        let latest = Timestamp::from_unix_seconds(1_000);
        let (block, unblock) = (Registers::of(Cut::Block, at(10), latest), Registers::of(Cut::Unblock, at(10), latest));
        assert!(block.merged(unblock).is_blocked());
        assert!(!block.merged(Registers::of(Cut::Unblock, at(11), latest)).is_blocked());
    }
}
