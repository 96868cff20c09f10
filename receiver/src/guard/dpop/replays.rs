//! [`Replays`]: which proofs were seen (RFC 9449 §11.1), in bounded memory.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};
use ssf_common::clock::Timestamp;

/// The proofs seen, each until nobody would accept it any more because of its age. At most so many: when they are too many
/// the oldest are forgotten, and from then on no proof as old as those is accepted. So a flood shortens the time a proof
/// is good for and never lets one through twice.
#[derive(Debug)]
pub struct Replays {
    seen: HashMap<Mark, Timestamp>,
    by_age: BTreeSet<(Timestamp, Mark)>,
    most: usize,
    floor: Timestamp,
}

/// A key's thumbprint and its `jti`, digested: how long a stranger's `jti` is costs no memory (§11.1).
type Mark = [u8; 16];

impl Replays {
    /// Remembers up to `most` proofs, 16 bytes and about 100 of overhead each.
    pub fn new(most: usize) -> Self {
        Self { seen: HashMap::new(), by_age: BTreeSet::new(), most: most.max(1), floor: Timestamp::EPOCH }
    }

    /// Notes a proof. `false`: it was seen before, or may have been.
    pub fn is_new(&mut self, thumbprint: &str, jti: &str, issued_at: Timestamp, oldest: Timestamp) -> bool {
        // what is older than the oldest that would be accepted need not be remembered
        while self.by_age.first().is_some_and(|(at, _)| *at < oldest) {
            self.forget();
        }
        let mark = mark(thumbprint, jti);
        if issued_at <= self.floor || self.seen.contains_key(&mark) {
            return false;
        }
        self.seen.insert(mark, issued_at);
        self.by_age.insert((issued_at, mark));
        while self.seen.len() > self.most {
            if let Some(forgotten) = self.forget() {
                self.floor = self.floor.max(forgotten);
            }
        }
        true
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    fn forget(&mut self) -> Option<Timestamp> {
        let (at, mark) = self.by_age.pop_first()?;
        self.seen.remove(&mark);
        Some(at)
    }
}

/// A thumbprint has no NUL, so no two pairs are written the same.
fn mark(thumbprint: &str, jti: &str) -> Mark {
    let digest = Sha256::new().chain_update(thumbprint).chain_update([0]).chain_update(jti).finalize();
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest[..16]);
    mark
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn one_jti_of_one_key_counts_once() {
        let mut replays = Replays::new(10);
        assert!(replays.is_new("k", "j", at(100), at(40)));
        assert!(!replays.is_new("k", "j", at(100), at(40)));
        assert!(!replays.is_new("k", "j", at(101), at(41)), "the same name again, whenever it says it was made");
        assert!(replays.is_new("other", "j", at(100), at(41)), "a stranger's choice of names is its own");
        assert!(replays.is_new("k", "other", at(100), at(41)));
        assert_eq!(replays.len(), 3);
        assert!(replays.is_new("k", "new", at(200), at(140)));
        assert_eq!(replays.len(), 1, "what nobody would accept is forgotten");
    }

    proptest! {
        #[test]
        fn nothing_is_let_through_twice_and_memory_is_bounded(
            most in 1_usize..5,
            shown in prop::collection::vec(0_i64..6, 0..60),
        ) {
            let mut replays = Replays::new(most);
            let mut accepted = std::collections::HashSet::new();
            for jti in shown {
                // the same name is the same proof, made at its own time; they come in any order
                let issued_at = at(jti * 7 % 6 + 1);
                if replays.is_new("k", &jti.to_string(), issued_at, at(0)) {
                    prop_assert!(accepted.insert(jti), "{jti} twice");
                }
                prop_assert!(replays.len() <= most);
                prop_assert_eq!(replays.seen.len(), replays.by_age.len());
            }
        }
    }
}
