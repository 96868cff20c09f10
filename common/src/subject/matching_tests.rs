//! Which subjects match and which cover which: the standard's examples, our answers where it is silent, the properties.

use proptest::prelude::*;
use serde_json::json;

use super::tests::{any_subject, parse};

#[test]
fn a_member_that_one_of_two_complex_subjects_lacks_is_a_wildcard() {
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    let tenant = parse(&json!({"format": "complex", "tenant": opaque("t")}));
    let user = parse(&json!({"format": "complex", "tenant": opaque("t"), "user": opaque("u")}));
    let stranger = parse(&json!({"format": "complex", "tenant": opaque("t2"), "user": opaque("u")}));
    let device = parse(&json!({"format": "complex", "device": opaque("d")}));
    assert!(tenant.matches(&user) && user.matches(&tenant));
    assert!(!stranger.matches(&user) && !stranger.matches(&tenant));
    assert!(device.matches(&user), "no member in common: all of them are wildcards");
}

/// SSF 1.0 §8.1.3.1: its three examples, with the added subject first.
#[test]
fn the_examples_of_matching_are_answered_as_the_standard_says() {
    let (tenant, user) = (
        json!({"format": "opaque", "id": "example-a38h4792-uw2"}),
        json!({"format": "email", "email": "jdoe@example.com"}),
    );
    let device = json!({"format": "ip-addresses", "ip-addresses": ["10.29.37.75"]});
    let group = |url: &str| json!({"format": "did", "url": url});
    let less = parse(&json!({"format": "complex", "tenant": tenant}));
    assert!(less.matches(&parse(&json!({"format": "complex", "tenant": tenant, "user": user}))));
    let more = parse(&json!({"format": "complex", "user": user, "device": device}));
    assert!(more.matches(&parse(&json!({"format": "complex", "user": user}))));
    let other = parse(&json!({"format": "complex", "user": user, "group": group("did:example:123456")}));
    let event = json!({"format": "complex", "user": user, "group": group("did:example:9999999")});
    assert!(!other.matches(&parse(&event)));
}

#[test]
fn a_simple_subject_matches_a_complex_one_that_names_it() {
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    let session = parse(&json!({"format": "complex", "user": opaque("u"), "session": opaque("s")}));
    for named in ["u", "s"] {
        assert!(parse(&opaque(named)).matches(&session) && session.matches(&parse(&opaque(named))));
    }
    assert!(!parse(&opaque("v")).matches(&session));
    let known_as = parse(&json!({"format": "aliases", "identifiers": [opaque("v"), opaque("u")]}));
    assert!(known_as.matches(&session));
}

#[test]
fn only_what_lies_inside_for_certain_is_covered() {
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    let user = parse(&json!({"format": "complex", "user": opaque("u")}));
    let session = parse(&json!({"format": "complex", "user": opaque("u"), "session": opaque("s")}));
    let device = parse(&json!({"format": "complex", "device": opaque("d")}));
    let plain = parse(&opaque("u"));
    assert!(user.covers(&session) && plain.covers(&plain));
    assert!(!session.covers(&user), "an event about all of the user concerns more than one session");
    assert!(!device.covers(&user) && !user.covers(&device), "a wildcard covers nothing");
    assert!(!plain.covers(&session) && !user.covers(&plain), "no standard says that they are the same");
    let known_as = parse(&json!({"format": "aliases", "identifiers": [opaque("v"), opaque("u")]}));
    assert!(known_as.covers(&plain) && plain.covers(&known_as), "aliases are names of one subject");
}

#[test]
fn aliases_match_what_one_of_their_identifiers_matches() {
    let email = |name: &str| json!({"format": "email", "email": format!("{name}@example.com")});
    let aliases = |names: [&str; 2]| parse(&json!({"format": "aliases", "identifiers": names.map(email).to_vec()}));
    assert!(aliases(["a", "b"]).matches(&parse(&email("b"))));
    assert!(!aliases(["a", "b"]).matches(&parse(&email("c"))));
    assert!(aliases(["a", "b"]).matches(&aliases(["b", "c"])));
    assert!(!aliases(["a", "b"]).matches(&aliases(["c", "d"])));
    assert_ne!(aliases(["a", "b"]).canonical(), parse(&email("a")).canonical());
}

proptest! {
    #[test]
    fn matching_is_reflexive_and_symmetric(one in any_subject(), two in any_subject()) {
        prop_assert!(one.matches(&one));
        prop_assert_eq!(one.matches(&two), two.matches(&one));
    }

    #[test]
    fn covering_is_reflexive_and_never_more_than_matching(one in any_subject(), two in any_subject()) {
        prop_assert!(one.covers(&one));
        if one.covers(&two) {
            prop_assert!(one.matches(&two));
        }
    }
}
