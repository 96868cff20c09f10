//! Two relations between subjects (SSF 1.0 §8.1.3.1): *matches*, which decides what is sent because somebody asked for it,
//! and *covers*, which decides what is not sent because somebody no longer wants it.
//!
//! The text defines one relation, for subjects that were added, and leaves two questions open. Both are answered so that
//! no event is missed, for a revocation that does not arrive is the worse fault, and receivers must bear events about
//! subjects they removed (§9.3):
//!
//! * *A simple subject and a complex one* match if any member of the complex one is the simple one. Whoever added the
//!   plain user hears that `{user, session}` was revoked, and whoever added `{user, device}` that the plain user was.
//! * *A removal* hides an event only where it lies inside what was removed for certain: a removed simple subject hides
//!   events about exactly that subject, a removed complex one those that say all it says. A removed `{user, device}` does
//!   not hide the revocation of everything of that user, though the two match.
//!
//! `matches` is symmetric and reflexive, but not transitive: an absent member is a wildcard. `covers` is reflexive, and
//! whatever it covers it matches.

use std::slice;

use super::{Complex, Simple};

impl Simple {
    /// Whether the two are identical, or an identifier of one is identical with an identifier of the other where they
    /// are `aliases`.
    pub fn matches(&self, other: &Self) -> bool {
        self.identifiers().iter().any(|one| other.identifiers().iter().any(|two| one.is_identical_to(two)))
    }

    /// Whether the two are the same subject: equal in their canonical text.
    pub fn is_identical_to(&self, other: &Self) -> bool {
        self == other || (self.format() == other.format() && self.canonical() == other.canonical())
    }

    /// What this subject stands for: its identifiers if it is `aliases` (several names of one subject, RFC 9493 §3.2.8),
    /// otherwise itself.
    pub fn identifiers(&self) -> &[Self] {
        match self {
            Self::Aliases { identifiers } => identifiers,
            single => slice::from_ref(single),
        }
    }
}

impl Complex {
    /// Whether the two agree in every member that both have. Without a common member they match.
    pub fn matches(&self, other: &Self) -> bool {
        self.members()
            .iter()
            .all(|(name, member)| other.members().get(name).is_none_or(|theirs| member.matches(theirs)))
    }

    /// Whether `other` has every member of this one, and agrees in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.members()
            .iter()
            .all(|(name, member)| other.members().get(name).is_some_and(|theirs| member.matches(theirs)))
    }

    /// Whether one of the members is this subject.
    pub fn names(&self, simple: &Simple) -> bool {
        self.members().values().any(|member| member.matches(simple))
    }
}
