//! The keys answer what the rule says: over random lists and events, and at the bounds.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use ssf_common::id::StreamId;
use ssf_common::subject::{Complex, Simple};

use super::filter::{Digests, Event, Filter};
use super::keys::{Digester, Key, MAX_KEYS};
use super::store::filter::Probe;
use super::*;
use crate::issuer::IssuerId;
use crate::stream::StreamKey;

fn digester() -> Digester {
    Digester::new(b"a secret of the tests")
}

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

fn parse(value: &Value) -> Subject {
    Subject::parse(value).unwrap()
}

/// A list as the database has it, answered as the database answers.
struct List {
    default: DefaultSubjects,
    included: HashSet<Key>,
    excluded: HashSet<Key>,
    filter: Filter,
}

impl List {
    fn of(default: DefaultSubjects, added: &[Subject], removed: &[Subject]) -> Self {
        let digester = digester();
        let mut shapes = HashMap::new();
        let mut keys = |subjects: &[Subject]| {
            let mut keys = HashSet::new();
            for subject in subjects {
                let entry = digester.entry(subject).unwrap();
                keys.extend(entry.keys);
                shapes.extend(entry.shape.map(|shape| (shape.id, shape)));
            }
            keys
        };
        let (included, excluded) = (keys(added), keys(removed));
        let filter = Filter { default, excludes: !removed.is_empty(), shapes: shapes.into_values().collect() };
        Self { default, included, excluded, filter }
    }

    fn wants(&self, event: &Value) -> bool {
        let issuer = IssuerId(uuid::Uuid::nil());
        let digesters = HashMap::from([(issuer, Digests::By(digester()))]);
        let stream = StreamKey(uuid::Uuid::nil());
        let asked = Asked { issuer, seq: 1, subject: Some(event), stream };
        let mut probes: Vec<Probe> = Vec::new();
        if !Event::of(&asked, &digesters).asks(&self.filter, stream, &mut probes) {
            return true;
        }
        let yes = |hides: bool, keys: &HashSet<Key>| probes.iter().any(|p| p.hides == hides && keys.contains(&p.key));
        yes(false, &self.included) || (self.default == DefaultSubjects::All && !yes(true, &self.excluded))
    }
}

#[test]
fn the_subject_of_the_stream_itself_is_always_wanted() {
    let none = List::of(DefaultSubjects::None, &[], &[]);
    let own = StreamId(uuid::Uuid::nil().to_string());
    assert!(none.wants(&Subject::stream(&own).to_value()));
    assert!(!none.wants(&opaque("another")));
}

#[test]
fn a_subject_that_cannot_be_read_is_wanted() {
    assert!(List::of(DefaultSubjects::None, &[], &[]).wants(&json!({"format": 1})));
}

#[test]
fn what_was_added_outweighs_what_was_removed() {
    let tenant = parse(&json!({"format": "complex", "tenant": opaque("t")}));
    let user = json!({"format": "complex", "tenant": opaque("t"), "user": opaque("u")});
    let other = json!({"format": "complex", "tenant": opaque("t"), "user": opaque("v")});
    let list = List::of(DefaultSubjects::All, &[parse(&user)], &[tenant]);
    assert!(list.wants(&user) && !list.wants(&other));
}

#[test]
fn the_members_the_standard_names_fit_together_and_far_more_do_not() {
    let named = |names: &[&str]| {
        let members: BTreeMap<String, Simple> =
            names.iter().map(|name| ((*name).to_owned(), Simple::Opaque { id: "x".into() })).collect();
        digester().entry(&Subject::Complex(Complex::new(members).unwrap()))
    };
    let known = ssf_common::subject::KNOWN_MEMBERS;
    assert_eq!(named(known).unwrap().keys.len(), 129, "128 sets; the seven alone are one identifier here");
    let further = [known, &["workload"]].concat();
    assert!(named(&further).unwrap().keys.len() <= MAX_KEYS);
    assert_eq!(named(&[&further[..], &["a", "b"]].concat()), Err(TooManyKeys));
    let all: Vec<String> = (0..32).map(|n| n.to_string()).collect();
    assert_eq!(named(&all.iter().map(String::as_str).collect::<Vec<_>>()), Err(TooManyKeys), "and it takes no time");
}

#[test]
fn an_event_of_too_many_combinations_is_wanted_by_whom_it_may_concern() {
    let many: Vec<Value> = (0..32).map(|n| opaque(&n.to_string())).collect();
    let aliases = json!({"format": "aliases", "identifiers": many});
    let event = json!({"format": "complex", "user": aliases, "device": aliases, "tenant": aliases});
    let entry = parse(&json!({"format": "complex", "user": opaque("1"), "device": opaque("2"), "tenant": opaque("x")}));
    assert!(List::of(DefaultSubjects::None, &[entry], &[]).wants(&event), "it cannot be told, so it is sent");
    let entry = parse(&json!({"format": "complex", "user": opaque("1"), "device": opaque("2"), "tenant": opaque("3")}));
    assert!(List::of(DefaultSubjects::All, &[], &[entry]).wants(&event));
}

#[test]
fn keys_never_change_from_one_version_to_the_next() {
    // They stand in databases: if this fails, every list is lost.
    let entry = digester().entry(&parse(&json!({"format": "email", "email": "a@example.com"}))).unwrap();
    assert_eq!(entry.digest.hex(), "49c00db03871afea1ffbbcc104e1de2b");
    assert_eq!(entry.keys[0].hex(), "b4b77a576b4f495dd1265c7bc1faac0b");
    let complex = digester().entry(&parse(&json!({"format": "complex", "user": opaque("u")}))).unwrap();
    let keys: Vec<String> = complex.keys.iter().map(|key| key.hex()).collect();
    // computed once with Python's hmac
    let expected =
        ["02c7b4b419578f8b6feecbc4da2ef4e4", "2769829812d813db5734817b978c6272", "d21fddee3025fe86395175f0e7fa4ca2"];
    assert_eq!(keys, expected);
}

fn any_single() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-b]".prop_map(|id| opaque(&id)),
        "[a-b]@[ab]".prop_map(|email| json!({"format": "email", "email": email})),
        "[a-b]@[AB]".prop_map(|email| json!({"format": "email", "email": email})),
        "\\+[12][ -]?1".prop_map(|number| json!({"format": "phone_number", "phone_number": number})),
        "[a-b]".prop_map(|id| json!({"format": "ours", "id": id})),
    ]
}

fn any_simple() -> impl Strategy<Value = Value> {
    let aliases = prop::collection::vec(any_single(), 1..4)
        .prop_map(|identifiers| json!({"format": "aliases", "identifiers": identifiers}));
    prop_oneof![5 => any_single(), 1 => aliases]
}

fn any_subject() -> impl Strategy<Value = Value> {
    let complex = prop::collection::btree_map("user|device|tenant|ours", any_simple(), 1..4).prop_map(|members| {
        let format = [("format".to_owned(), json!("complex"))];
        Value::Object(format.into_iter().chain(members).collect())
    });
    prop_oneof![any_simple(), complex]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn equality_of_keys_is_the_rule(
        added in prop::collection::vec(any_subject(), 0..4),
        removed in prop::collection::vec(any_subject(), 0..4),
        event in any_subject(),
        all in any::<bool>(),
    ) {
        let default = if all { DefaultSubjects::All } else { DefaultSubjects::None };
        let (added, removed): (Vec<_>, Vec<_>) = (added.iter().map(parse).collect(), removed.iter().map(parse).collect());
        let says = wanted(default, &added, &removed, &parse(&event));
        prop_assert_eq!(List::of(default, &added, &removed).wants(&event), says);
    }
}
