//! All cut-offs in memory, close together: what [`Memory`](super::Memory) is made of.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use ssf_common::clock::Timestamp;

use crate::cutoff::{Registers, Standing};
use crate::session::SubjectKey;
use crate::upstream::IssuerId;

/// The registers of every subject key, issuer by issuer. An entry takes 32 bytes, with what a hash table leaves free at
/// most 75; one that was ever blocked has a second one.
///
/// Each issuer's keys are spread over many small tables, so that growing one of them takes a fraction of a
/// millisecond, during which nobody can look.
#[derive(Debug, Default)]
pub struct Cutoffs {
    issuers: HashMap<IssuerId, Box<[Shard]>>,
    count: usize,
}

impl Cutoffs {
    /// Takes in what is told of one key; it is merged with what is known, for registers only move forward.
    pub fn merge(&mut self, issuer: IssuerId, key: SubjectKey, told: &Registers) {
        let shards = self.issuers.entry(issuer).or_insert_with(empty);
        let shard = shard_of(shards, key);
        let is_new = !shard.knows(key);
        shard.cuts.entry(key).or_insert(Packed::NOTHING).merge([told.revoked_before, told.revalidate_before]);
        if told.blocked_at.is_some() || told.unblocked_at.is_some() {
            shard.blocks.entry(key).or_insert(Packed::NOTHING).merge([told.blocked_at, told.unblocked_at]);
        }
        self.count += usize::from(is_new);
    }

    /// Replaces what is known of one key: a row was removed, and this is what stands there now.
    pub fn replace(&mut self, issuer: IssuerId, key: SubjectKey, now: Option<&Registers>) {
        if let Some(shards) = self.issuers.get_mut(&issuer)
            && shard_of(shards, key).forget(key)
        {
            self.count -= 1;
        }
        if let Some(registers) = now {
            self.merge(issuer, key, registers);
        }
    }

    /// What all these keys of one issuer say together.
    pub fn standing(&self, issuer: IssuerId, keys: &[SubjectKey]) -> Standing {
        let Some(shards) = self.issuers.get(&issuer) else { return Standing::default() };
        let known = keys.iter().filter_map(|key| shards[place_of(*key)].registers(*key));
        known.fold(Standing::default(), |standing, registers| standing.with(&registers))
    }

    /// How many keys something is known of.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing is known of anybody.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// About how many bytes it takes, what the tables leave free included.
    pub fn bytes(&self) -> usize {
        let shards = self.issuers.values().flat_map(|shards| shards.iter());
        // a table fills at most seven of eight places, each of which has one more byte of its own
        shards.map(|shard| (shard.cuts.capacity() + shard.blocks.capacity()) * 8 / 7 * (ENTRY + 1)).sum()
    }
}

type Table = HashMap<SubjectKey, Packed, BuildHasherDefault<Uniform>>;

/// Most keys were never blocked, and need no room for it. Every key that is known stands among the cuts.
#[derive(Debug, Default)]
struct Shard {
    /// `revoked_before` and `revalidate_before`.
    cuts: Table,
    /// `blocked_at` and `unblocked_at`.
    blocks: Table,
}

impl Shard {
    fn knows(&self, key: SubjectKey) -> bool {
        self.cuts.contains_key(&key)
    }

    /// Whether anything was known.
    fn forget(&mut self, key: SubjectKey) -> bool {
        self.blocks.remove(&key);
        self.cuts.remove(&key).is_some()
    }

    fn registers(&self, key: SubjectKey) -> Option<Registers> {
        let [revoked_before, revalidate_before] = self.cuts.get(&key)?.times();
        let [blocked_at, unblocked_at] = self.blocks.get(&key).copied().unwrap_or(Packed::NOTHING).times();
        Some(Registers { revoked_before, revalidate_before, blocked_at, unblocked_at })
    }
}

fn empty() -> Box<[Shard]> {
    (0..SHARDS).map(|_| Shard::default()).collect()
}

const fn place_of(SubjectKey(bytes): SubjectKey) -> usize {
    bytes[15] as usize % SHARDS
}

fn shard_of(shards: &mut [Shard], key: SubjectKey) -> &mut Shard {
    &mut shards[place_of(key)]
}

/// Two registers in microseconds since 1970; what is not set is earlier than every time.
#[derive(Clone, Copy, Debug)]
struct Packed([i64; 2]);

impl Packed {
    const NOTHING: Self = Self([NEVER; 2]);

    fn merge(&mut self, told: [Option<Timestamp>; 2]) {
        for (known, told) in self.0.iter_mut().zip(told) {
            *known = told.map_or(*known, |at| at.unix_micros().max(*known));
        }
    }

    fn times(self) -> [Option<Timestamp>; 2] {
        self.0.map(|micros| (micros != NEVER).then(|| Timestamp::from_unix_micros(micros)))
    }
}

/// Subject keys are digests already: any eight bytes of one are as good as a hash, and nobody can choose them.
#[derive(Clone, Copy, Debug, Default)]
struct Uniform(u64);

impl Hasher for Uniform {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length that stands before an array.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

const SHARDS: usize = 64;
const NEVER: i64 = i64::MIN;
const ENTRY: usize = size_of::<(SubjectKey, Packed)>();

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use ssf_common::random::{Random as _, SeededRandom};

    use super::*;

    fn issuer(number: u128) -> IssuerId {
        IssuerId(uuid::Uuid::from_u128(number))
    }

    fn registers() -> impl Strategy<Value = Registers> {
        let time = || prop::option::of((0_i64..20).prop_map(Timestamp::from_unix_seconds));
        (time(), time(), time(), time()).prop_map(|(revoked_before, revalidate_before, blocked_at, unblocked_at)| {
            Registers { revoked_before, revalidate_before, blocked_at, unblocked_at }
        })
    }

    /// Keys that meet in one place of the hash table, in one shard, and in neither.
    fn key() -> impl Strategy<Value = SubjectKey> {
        (0_u8..3, 0_u8..3, 0_u8..3).prop_map(|(first, middle, last)| {
            let mut bytes = [0; 16];
            (bytes[0], bytes[9], bytes[15]) = (first, middle, last);
            SubjectKey(bytes)
        })
    }

    proptest! {
        #[test]
        fn it_says_what_a_plain_map_of_registers_says(
            told in prop::collection::vec((0_u128..3, key(), registers(), prop::bool::weighted(0.1)), 0..60),
            asked in prop::collection::vec(key(), 0..6),
        ) {
            let (mut cutoffs, mut model) = (Cutoffs::default(), BTreeMap::<(u128, SubjectKey), Registers>::new());
            for (of, key, told, is_replaced) in &told {
                if *is_replaced {
                    let now = (*told != Registers::default()).then_some(told);
                    cutoffs.replace(issuer(*of), *key, now);
                    match now {
                        Some(now) => model.insert((*of, *key), *now),
                        None => model.remove(&(*of, *key)),
                    };
                } else {
                    cutoffs.merge(issuer(*of), *key, told);
                    let known = model.entry((*of, *key)).or_default();
                    *known = known.merged(*told);
                }
            }
            prop_assert_eq!(cutoffs.len(), model.len());
            for of in 0..3 {
                let expected: Standing = asked.iter().filter_map(|key| model.get(&(of, *key))).collect();
                prop_assert_eq!(cutoffs.standing(issuer(of), &asked), expected);
            }
        }
    }

    #[test]
    fn a_cut_off_never_takes_more_than_80_bytes() {
        assert_eq!(ENTRY, 32);
        let (mut cutoffs, random) = (Cutoffs::default(), SeededRandom::new(1));
        let at = Registers { revoked_before: Some(Timestamp::EPOCH), ..Registers::default() };
        for number in 1..=300_000 {
            let mut key = [0; 16];
            random.fill(&mut key);
            cutoffs.merge(issuer(1), SubjectKey(key), &at);
            if number >= 10_000 && number % 997 == 0 {
                assert!(cutoffs.bytes() <= 80 * number, "{number}: {} bytes", cutoffs.bytes());
            }
        }
        assert_eq!(cutoffs.len(), 300_000);
    }
}
