//! [`Witness`]: when each session or token was last answered `active`, in memory, and the moments at which that ended.
//!
//! [`Validity`](crate::validity::Validity) tells it of every answer. An allowed one costs a digest and an atomic store; a denied one of
//! something that was allowed before becomes a [`Denial`], which [`super::DenialLog`] writes down later. What is remembered
//! is bounded: a shard that is full forgets what was not asked for since it was half as old. Who is forgotten leaves no
//! last time behind; nothing else depends on it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hash as _, Hasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use sha2::{Digest as _, Sha256};
use ssf_common::clock::Timestamp;

use crate::config::API;
use crate::session::Assertions;
use crate::validity::{Answer, Asserted, Question, Reason, State};

/// The name of an enforcement point.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Point(pub Arc<str>);

impl Default for Point {
    fn default() -> Self {
        Self(API.into())
    }
}

/// What a point asked for, as it is remembered: a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct Asked(pub [u8; 16]);

/// A point was allowed something, and then denied it by an issuer's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Who asked.
    pub point: Point,
    /// For what, as a digest.
    pub asked: Asked,
    /// For what: kept until it is known which decision it was, and never written.
    pub question: Question,
    /// When it was asserted as it was denied; a newer login may follow at once.
    pub assertions: Assertions,
    /// The last yes, by our clock.
    pub last_allowed: Timestamp,
    /// The first no, by our clock.
    pub first_denied: Timestamp,
    /// Whether the subject is shut out: then it does not matter when it was asserted.
    pub is_blocked: bool,
}

/// Remembers when what was last allowed.
#[derive(Debug)]
pub struct Witness {
    /// What is remembered is found by two hashes that only this process knows: nobody can choose what shares a place, and they
    /// cost a tenth of a digest.
    hashes: [RandomState; 2],
    shards: Box<[RwLock<Shard>]>,
    per_shard: usize,
    denials: Mutex<Vec<Denial>>,
    dropped: AtomicU64,
}

/// Two generations: what is asked for again moves to the young one.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Place, AtomicI64, BuildHasherDefault<First>>,
    old: HashMap<Place, AtomicI64, BuildHasherDefault<First>>,
}

impl Default for Witness {
    fn default() -> Self {
        Self::remembering(REMEMBERED)
    }
}

impl Witness {
    /// Remembers at least this many, and at most twice as many.
    pub fn remembering(this_many: usize) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let per_shard = this_many.div_ceil(SHARDS).max(1);
        Self {
            hashes: [RandomState::new(), RandomState::new()],
            shards,
            per_shard,
            denials: Mutex::default(),
            dropped: AtomicU64::new(0),
        }
    }

    /// An answer was given at `now`.
    pub fn saw(&self, point: &Point, question: &Question, answer: &Answer, now: Timestamp) {
        let verdict = answer.verdict;
        if verdict.state == State::Active {
            self.allowed(self.place(point, question), now);
        } else if let (
            Some(reason @ (Reason::Blocked | Reason::RevokedByIssuer | Reason::RevalidateByIssuer)),
            Some(Asserted { assertions, .. }),
        ) = (verdict.reason, answer.asserted)
            && let Some(last_allowed) = self.forget(self.place(point, question))
        {
            let asked = asked(point, question);
            let (point, question) = (point.clone(), question.clone());
            let is_blocked = reason == Reason::Blocked;
            self.note(vec![Denial { point, asked, question, assertions, last_allowed, first_denied: now, is_blocked }]);
        }
    }

    /// What waits to be written down, at most `limit`; to be [noted](Self::note) again if that fails.
    pub fn take(&self, limit: usize) -> Vec<Denial> {
        let mut waiting = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.len().min(limit);
        waiting.drain(..taken).collect()
    }

    /// Notes denials to be written down; those for which there is no room are counted.
    pub fn note(&self, denials: Vec<Denial>) {
        let mut waiting = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_WAITING.saturating_sub(waiting.len());
        let lost = denials.len().saturating_sub(room);
        waiting.extend(denials.into_iter().take(room));
        drop(waiting);
        self.dropped.fetch_add(lost as u64, Ordering::Relaxed);
    }

    /// How many denials there was no room for since this was last asked.
    pub fn dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    fn allowed(&self, place: Place, now: Timestamp) {
        let shard = self.shard(place);
        let known = shard.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = known.young.get(&place) {
            last.fetch_max(now.unix_micros(), Ordering::Relaxed);
            return;
        }
        drop(known);
        let mut known = shard.write().unwrap_or_else(PoisonError::into_inner);
        known.old.remove(&place);
        if known.young.len() >= self.per_shard {
            known.old = std::mem::take(&mut known.young);
        }
        known.young.entry(place).or_default().fetch_max(now.unix_micros(), Ordering::Relaxed);
    }

    fn place(&self, point: &Point, question: &Question) -> Place {
        let half = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            point.0.hash(&mut hasher);
            tell(question, |part| hasher.write(part));
            hasher.finish()
        };
        Place([half(&self.hashes[0]), half(&self.hashes[1])])
    }

    /// The last yes; the next no is not the first one any more.
    fn forget(&self, place: Place) -> Option<Timestamp> {
        let shard = self.shard(place);
        let known = shard.read().unwrap_or_else(PoisonError::into_inner);
        if !known.young.contains_key(&place) && !known.old.contains_key(&place) {
            return None;
        }
        drop(known);
        let mut known = shard.write().unwrap_or_else(PoisonError::into_inner);
        let (young, old) = (known.young.remove(&place), known.old.remove(&place));
        young.or(old).map(|last| Timestamp::from_unix_micros(last.into_inner()))
    }

    fn shard(&self, place: Place) -> &RwLock<Shard> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let number = place.0[1] as usize;
        &self.shards[number % SHARDS]
    }
}

/// The digest that is written down, the same in every process.
fn asked(point: &Point, question: &Question) -> Asked {
    let mut digest = Sha256::new();
    digest.update(point.0.as_bytes());
    tell(question, |part| digest.update(part));
    let mut cut = [0; 16];
    cut.copy_from_slice(&digest.finalize()[..16]);
    Asked(cut)
}

/// What makes a question another one. The same description at other times is another token: what was minted from a new
/// login is not what was cut off.
fn tell(question: &Question, mut to: impl FnMut(&[u8])) {
    match question {
        Question::Named(sid, shown) => {
            to(&[0]);
            to(shown.class().as_str().as_bytes());
            to(sid.as_str().as_bytes());
        }
        Question::Described(described) => {
            to(&[1]);
            to(described.binding.class().as_str().as_bytes());
            to(described.issuer.as_str().as_bytes());
            to(&described.keys.first().map(|key| key.0).unwrap_or_default());
            to(&described.assertions.origin.unix_micros().to_be_bytes());
            to(&described.assertions.validated.unix_micros().to_be_bytes());
        }
    }
}

/// Where what was asked for is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place([u64; 2]);

/// A place is two hashes already: the first is as good as a further one.
#[derive(Clone, Copy, Debug, Default)]
struct First(u64);

impl Hasher for First {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    /// The length that stands before an array.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

const SHARDS: usize = 64;
/// About 100 bytes each, twice over.
const REMEMBERED: usize = 500_000;
const MOST_WAITING: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BindingClass;
    use crate::validity::Verdict;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn answer(state: State, reason: Option<Reason>) -> Answer {
        let assertions = Assertions { origin: at(0), validated: at(0) };
        let asserted = Some(Asserted { assertions, expires_at: None });
        Answer {
            verdict: Verdict { state, reason },
            as_of: at(0),
            asserted,
            class: BindingClass::Bearer,
            touch: None,
            is_stale: false,
        }
    }

    fn named(sid: &str) -> Question {
        Question::named(sid.into())
    }

    fn yes(witness: &Witness, sid: &str, seconds: i64) {
        witness.saw(&Point::default(), &named(sid), &answer(State::Active, None), at(seconds));
    }

    fn no(witness: &Witness, sid: &str, seconds: i64) {
        let revoked = answer(State::Revoked, Some(Reason::RevokedByIssuer));
        witness.saw(&Point::default(), &named(sid), &revoked, at(seconds));
    }

    fn told(witness: &Witness) -> Vec<(i64, i64)> {
        let seconds = |d: &Denial| (d.last_allowed.unix_seconds(), d.first_denied.unix_seconds());
        witness.take(100).iter().map(seconds).collect()
    }

    #[test]
    fn only_the_first_no_after_a_yes_is_told_and_with_the_last_yes() {
        let witness = Witness::default();
        no(&witness, "never allowed", 1);
        yes(&witness, "s", 5);
        yes(&witness, "s", 7);
        yes(&witness, "s", 6);
        no(&witness, "s", 9);
        no(&witness, "s", 10);
        assert_eq!(told(&witness), [(7, 9)]);
        yes(&witness, "s", 20);
        no(&witness, "s", 21);
        assert_eq!(told(&witness), [(20, 21)]);
    }

    #[test]
    fn a_no_that_is_no_decision_of_the_issuer_is_not_told() {
        let witness = Witness::default();
        yes(&witness, "s", 5);
        let expired = answer(State::RevalidateRequired, Some(Reason::Expired));
        witness.saw(&Point::default(), &named("s"), &expired, at(6));
        assert_eq!(told(&witness), []);
        no(&witness, "s", 8);
        assert_eq!(told(&witness), [(5, 8)]);
    }

    #[test]
    fn points_are_witnessed_apart() {
        let witness = Witness::default();
        yes(&witness, "s", 5);
        let gateway = Point("gateway".into());
        witness.saw(&gateway, &named("s"), &answer(State::Revoked, Some(Reason::Blocked)), at(6));
        assert_eq!(told(&witness), [], "the gateway was never allowed");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_who_is_asked_for_stays() {
        let witness = Witness::remembering(SHARDS * 4);
        for n in 0..10_000 {
            yes(&witness, "busy", n);
            yes(&witness, &format!("once-{n}"), n);
        }
        let held = |shard: &RwLock<Shard>| shard.read().map(|s| s.young.len() + s.old.len()).unwrap();
        assert!(witness.shards.iter().map(held).max().unwrap() <= 2 * 4);
        no(&witness, "busy", 10_000);
        no(&witness, "once-0", 10_000);
        assert_eq!(told(&witness), [(9_999, 10_000)]);
    }

    #[test]
    fn denials_for_which_there_is_no_room_are_counted() {
        let witness = Witness::default();
        yes(&witness, "s", 1);
        no(&witness, "s", 2);
        let one = witness.take(1);
        witness.note(vec![one[0].clone(); MOST_WAITING + 3]);
        assert_eq!((witness.dropped(), witness.dropped()), (3, 0));
        assert_eq!(witness.take(usize::MAX).len(), MOST_WAITING);
    }
}
