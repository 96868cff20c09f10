//! Subject matching (SSF 1.0 §8.1.3.1): symmetric and reflexive, but not transitive: an absent member is a wildcard.

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

    /// What this subject stands for: its identifiers if it is `aliases`, otherwise itself.
    fn identifiers(&self) -> &[Self] {
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
}
