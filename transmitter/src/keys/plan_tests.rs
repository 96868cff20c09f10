//! The life of a key as a table, and as properties over every course of time.

use std::collections::BTreeSet;
use std::time::Duration;

use Algorithm::{EdDsa, Es256, Rs256};
use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_hours(1);
const ROTATION: Rotation =
    Rotation { every: Duration::from_hours(100), ahead: Duration::from_hours(10), after: Duration::from_hours(50) };
const BY_HAND: Rotation = Rotation { every: Duration::ZERO, ..ROTATION };

fn at(hours: u64) -> Timestamp {
    Timestamp::EPOCH.plus(HOUR * u32::try_from(hours).unwrap())
}

fn key(kid: &str, algorithm: Algorithm, created: u64, state: KeyState) -> Key {
    Key { kid: kid.into(), algorithm, state, created_at: at(created) }
}

fn active(kid: &str, since: u64) -> Key {
    key(kid, Rs256, since, KeyState::Active { since: at(since) })
}

fn next(kid: &str, created: u64) -> Key {
    key(kid, Rs256, created, KeyState::Next)
}

fn retired(kid: &str, since: u64) -> Key {
    key(kid, Rs256, 0, KeyState::Retired { since: at(since) })
}

#[test]
fn what_is_due_is_due_at_its_hour_and_not_before() {
    let used = BTreeSet::from([Rs256]);
    let unused = BTreeSet::from([Es256]);
    let cases = [
        ("its follower is published ahead", vec![active("a", 0)], &used, ROTATION, 90, Step::Make(Rs256)),
        (
            "it signs when it was published long enough",
            vec![active("a", 0), next("b", 90)],
            &used,
            ROTATION,
            100,
            Step::Activate("b".into()),
        ),
        (
            "as soon as that, if the operator asked for it",
            vec![active("a", 0), next("b", 20)],
            &used,
            ROTATION,
            30,
            Step::Activate("b".into()),
        ),
        ("by hand too", vec![active("a", 0), next("b", 20)], &used, BY_HAND, 30, Step::Activate("b".into())),
        ("the first of an algorithm too", vec![next("b", 20)], &used, ROTATION, 30, Step::Activate("b".into())),
        (
            "the old one goes when nobody can need it",
            vec![active("b", 100), retired("a", 100)],
            &used,
            ROTATION,
            150,
            Step::Remove("a".into()),
        ),
        ("by hand too", vec![active("b", 100), retired("a", 100)], &used, BY_HAND, 150, Step::Remove("a".into())),
        (
            "a key nobody uses has no follower",
            vec![active("a", 0), key("e", Es256, 90, KeyState::Active { since: at(90) })],
            &unused,
            ROTATION,
            100,
            Step::Retire("a".into()),
        ),
    ];
    for (what, keys, in_use, rotation, hour, step) in cases {
        assert_eq!(due(&keys, in_use, &rotation, at(hour)), [step], "{what}");
        let before = Timestamp::from_unix_micros(at(hour).unix_micros() - 1);
        assert_eq!(due(&keys, in_use, &rotation, before), [], "{what}, not before");
    }
}

#[test]
fn what_is_up_to_the_operator_never_comes_by_itself() {
    let used = BTreeSet::from([Rs256]);
    let years = at(24 * 365 * 10);
    assert_eq!(due(&[active("a", 0)], &used, &BY_HAND, years), []);
    assert_eq!(due(&[active("a", 0)], &BTreeSet::new(), &BY_HAND, years), []);
    assert_eq!(outlook(&active("a", 0), &[active("a", 0)], &used, &BY_HAND), None);
}

#[test]
fn an_algorithm_that_comes_into_use_gets_a_key_at_once_and_others_are_left_alone() {
    let used = BTreeSet::from([Rs256, EdDsa]);
    assert_eq!(due(&[active("a", 0)], &used, &ROTATION, at(1)), [Step::Make(EdDsa)]);
    assert_eq!(due(&[], &BTreeSet::from([Rs256]), &BY_HAND, at(1)), [Step::Make(Rs256)]);
}

/// The keys of an issuer, moved as the worker moves them.
#[derive(Debug, Default)]
struct Model {
    keys: Vec<Key>,
    made: usize,
}

impl Model {
    fn make(&mut self, algorithm: Algorithm, now: Timestamp) {
        if next_of(&self.keys, algorithm).is_none() {
            self.made += 1;
            self.keys.push(Key {
                kid: format!("k{}", self.made).into(),
                algorithm,
                state: KeyState::Next,
                created_at: now,
            });
        }
    }

    fn take(&mut self, step: &Step, in_use: &BTreeSet<Algorithm>, rotation: &Rotation, now: Timestamp) {
        match step {
            Step::Make(algorithm) => {
                assert!(next_of(&self.keys, *algorithm).is_none(), "one next key at a time");
                self.make(*algorithm, now);
            }
            Step::Activate(kid) => {
                let algorithm = self.find(kid).algorithm;
                for key in self.keys.iter_mut().filter(|key| key.algorithm == algorithm && key.is_active()) {
                    key.state = KeyState::Retired { since: now };
                }
                let key = self.find(kid);
                assert_eq!(key.state, KeyState::Next);
                assert!(now.since(key.created_at) >= rotation.ahead, "published long enough");
                key.state = KeyState::Active { since: now };
            }
            Step::Retire(kid) => {
                let key = self.find(kid);
                assert!(key.is_active() && !in_use.contains(&key.algorithm), "nobody uses it");
                key.state = KeyState::Retired { since: now };
            }
            Step::Remove(kid) => {
                let KeyState::Retired { since } = self.find(kid).state else { panic!("only a retired key goes") };
                assert!(now.since(since) >= rotation.after, "nobody can need it any more");
                self.keys.retain(|key| key.kid != *kid);
            }
        }
    }

    fn find(&mut self, kid: &KeyId) -> &mut Key {
        self.keys.iter_mut().find(|key| key.kid == *kid).unwrap()
    }

    /// Ticks until nothing is due.
    fn settle(&mut self, in_use: &BTreeSet<Algorithm>, rotation: &Rotation, now: Timestamp) {
        for _ in 0..4 {
            let steps = due(&self.keys, in_use, rotation, now);
            if steps.is_empty() {
                return;
            }
            for step in &steps {
                self.take(step, in_use, rotation, now);
            }
        }
        panic!("always something is due: {:?}", self.keys);
    }
}

/// What happens to an issuer.
#[derive(Clone, Debug)]
enum Act {
    Wait(u64),
    Use(Algorithm),
    Leave(Algorithm),
    Rotate(Algorithm),
}

fn act() -> impl Strategy<Value = Act> {
    let algorithm = || prop_oneof![Just(Rs256), Just(Es256), Just(EdDsa)];
    prop_oneof![
        4 => (0_u64..60).prop_map(Act::Wait),
        1 => algorithm().prop_map(Act::Use),
        1 => algorithm().prop_map(Act::Leave),
        1 => algorithm().prop_map(Act::Rotate),
    ]
}

/// Settings that pass the check at start-up.
fn rotation() -> impl Strategy<Value = Rotation> {
    (2_u64..30, 2_u64..60, 0_u64..100, any::<bool>()).prop_map(|(ahead, after, more, by_hand)| Rotation {
        every: if by_hand { Duration::ZERO } else { Duration::from_hours((ahead + more).max(after.div_ceil(10))) },
        ahead: Duration::from_hours(ahead),
        after: Duration::from_hours(after),
    })
}

proptest! {
    #[test]
    fn over_every_course_of_time_what_is_used_can_be_signed_and_nothing_is_signed_or_removed_too_early(
        rotation in rotation(),
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let (mut model, mut now, mut in_use) = (Model::default(), at(1), BTreeSet::from([Rs256]));
        model.settle(&in_use, &rotation, now);
        // since when each algorithm is in use without a break
        let mut used_since = std::collections::BTreeMap::from([(Rs256, now)]);
        for act in acts {
            match act {
                Act::Wait(hours) => {
                    // ticks come all the time; a long pause of all processes only makes everything later
                    for _ in 0..hours {
                        now = now.plus(HOUR);
                        model.settle(&in_use, &rotation, now);
                    }
                }
                Act::Use(algorithm) => {
                    if in_use.insert(algorithm) {
                        used_since.insert(algorithm, now);
                    }
                    model.settle(&in_use, &rotation, now);
                }
                Act::Leave(algorithm) => {
                    in_use.remove(&algorithm);
                    used_since.remove(&algorithm);
                    model.settle(&in_use, &rotation, now);
                }
                Act::Rotate(algorithm) => model.make(algorithm, now),
            }
            for algorithm in [Rs256, Es256, EdDsa] {
                let count = |of: fn(&Key) -> bool| model.keys.iter().filter(|key| key.algorithm == algorithm && of(key)).count();
                prop_assert!(count(Key::is_active) <= 1 && count(Key::is_next) <= 1);
            }
            for (algorithm, since) in &used_since {
                if now.since(*since) >= rotation.ahead {
                    prop_assert!(active_of(&model.keys, *algorithm).is_some(), "{} can be signed", algorithm);
                }
            }
            for key in &model.keys {
                if let (KeyState::Active { since }, false) = (key.state, rotation.every.is_zero()) {
                    prop_assert!(now.since(since) < rotation.every + rotation.ahead, "{:?} signs too long", key);
                }
                let outlook = outlook(key, &model.keys, &in_use, &rotation);
                prop_assert!(outlook.is_none_or(|outlook| outlook.at > now), "what was due is done: {:?}", key);
            }
        }
    }
}
