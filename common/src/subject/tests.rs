//! The documents' own examples as vectors, what is refused, and the properties of sameness.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

pub(super) fn parse(value: &Value) -> Subject {
    Subject::parse(value).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn fault(value: &Value) -> (String, Fault) {
    let error = Subject::parse(value).expect_err("should be refused");
    (error.member, error.fault)
}

#[test]
fn the_examples_of_the_standards_are_read_and_written_back_unchanged() {
    let examples = [
        // RFC 9493 §3.2.1 to §3.2.8
        json!({"format": "account", "uri": "acct:example.user@service.example.com"}),
        json!({"format": "email", "email": "user@example.com"}),
        json!({"format": "iss_sub", "iss": "https://issuer.example.com/", "sub": "145234573"}),
        json!({"format": "opaque", "id": "11112222333344445555"}),
        json!({"format": "phone_number", "phone_number": "+12065550100"}),
        json!({"format": "did", "url": "did:example:123456"}),
        json!({"format": "did", "url": "did:example:123456/did/url/path?versionId=1"}),
        json!({"format": "uri", "uri": "https://user.example.com/"}),
        json!({"format": "uri", "uri": "urn:uuid:4e851e98-83c4-4743-a5da-150ecb53042f"}),
        json!({"format": "aliases", "identifiers": [
            {"format": "email", "email": "user@example.com"},
            {"format": "phone_number", "phone_number": "+12065550100"},
            {"format": "email", "email": "user+qualifier@example.com"},
        ]}),
        // SSF 1.0 §3.3, §3.5.1 to §3.5.3, §5
        json!({"format": "complex",
            "tenant": {"format": "iss_sub", "iss": "https://example.com/idp1", "sub": "1234"},
            "user": {"format": "email", "email": "bar@example.com"},
        }),
        json!({"format": "jwt_id", "iss": "https://idp.example.com/123456789/",
            "jti": "B70BA622-9515-4353-A866-823539EECBC8"}),
        json!({"format": "saml_assertion_id", "issuer": "https://idp.example.com/123456789/",
            "assertion_id": "_8e8dc5f69a98cc4c1ff3427e5ce34606fd672f91e6"}),
        json!({"format": "ip-addresses", "ip-addresses": ["10.29.37.75", "2001:0db8:0000:0000:0000:8a2e:0370:7334"]}),
        json!({"format": "phone_number", "phone_number": "+1 206 555 0123"}),
        json!({"format": "catalog_item", "catalog_id": "c0384/winter/2354122"}),
    ];
    for example in examples {
        let subject = parse(&example);
        assert_eq!(subject.to_value(), example);
        assert_eq!(subject.format(), example["format"]);
        assert_eq!(serde_json::from_str::<Subject>(&serde_json::to_string(&subject).unwrap()).unwrap(), subject);
    }
}

#[test]
fn what_is_refused_is_told_by_member_and_fault() {
    let long = "x".repeat(MAX_TEXT + 1);
    let many: Vec<_> = (0..=MAX_MEMBERS).map(|n| json!({"format": "opaque", "id": n.to_string()})).collect();
    let deep = (0..=MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
    let cases = [
        (json!("user@example.com"), "sub_id", Fault::NotA("an object")),
        (json!({}), "format", Fault::Missing),
        (json!({"format": 1}), "format", Fault::NotA("a string")),
        (json!({"format": ""}), "format", Fault::Empty),
        (json!({"user": {"format": "opaque", "id": "1"}}), "format", Fault::Missing),
        (json!({"subject_type": "iss_sub", "iss": "i", "sub": "s"}), "format", Fault::Missing),
        (json!({"format": "complex"}), "sub_id", Fault::Empty),
        (json!({"format": "complex", "user": "jane"}), "user", Fault::NotA("an object")),
        (json!({"format": "complex", "user": {"format": "email"}}), "user.email", Fault::Missing),
        (
            json!({"format": "complex", "user": {"format": "complex", "user": {"format": "opaque", "id": "1"}}}),
            "user",
            Fault::NotHere("complex"),
        ),
        (json!({"format": "complex", "+1206": 1}), "(a name not shown)", Fault::NotA("an object")),
        (json!({"format": "account", "uri": "https://example.com/"}), "uri", Fault::Syntax("an acct: URI")),
        (json!({"format": "account", "uri": "acct:example.com"}), "uri", Fault::Syntax("an acct: URI")),
        (json!({"format": "email", "email": "example.com"}), "email", Fault::Syntax("an e-mail address")),
        (json!({"format": "email", "email": "@example.com"}), "email", Fault::Syntax("an e-mail address")),
        (json!({"format": "email", "email": null}), "email", Fault::NotA("a string")),
        (json!({"format": "iss_sub", "iss": "https://i/"}), "sub", Fault::Missing),
        (json!({"format": "iss_sub", "iss": "https://i/", "sub": ""}), "sub", Fault::Empty),
        (json!({"format": "opaque", "id": 7}), "id", Fault::NotA("a string")),
        (json!({"format": "opaque", "id": "a\u{0}b"}), "id", Fault::Nul),
        (json!({"format": "opaque", "id": long}), "id", Fault::TooLong(MAX_TEXT)),
        (
            json!({"format": "phone_number", "phone_number": "206 555 0100"}),
            "phone_number",
            Fault::Syntax("an E.164 number"),
        ),
        (json!({"format": "phone_number", "phone_number": "+0206"}), "phone_number", Fault::Syntax("an E.164 number")),
        (json!({"format": "did", "url": "did:example"}), "url", Fault::Syntax("a DID URL")),
        (json!({"format": "uri", "uri": "no scheme"}), "uri", Fault::Syntax("a URI")),
        (json!({"format": "aliases", "identifiers": []}), "identifiers", Fault::Empty),
        (json!({"format": "aliases", "identifiers": many}), "identifiers", Fault::TooMany(MAX_MEMBERS)),
        (
            json!({"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": []}]}),
            "identifiers[0]",
            Fault::NotHere("aliases"),
        ),
        (
            json!({"format": "aliases", "identifiers": [{"format": "opaque", "id": "1"}, {"format": "email"}]}),
            "identifiers[1].email",
            Fault::Missing,
        ),
        (
            json!({"format": "ip-addresses", "ip-addresses": ["10.0.0.256"]}),
            "ip-addresses",
            Fault::Syntax("an IP address"),
        ),
        (json!({"format": "ours", "deep": deep}), "deep", Fault::TooDeep(MAX_DEPTH)),
        (json!({"format": "ours", "long": [long]}), "long", Fault::TooLong(MAX_TEXT)),
        (json!({"format": "ours", "nul": {"\u{0}": 1}}), "nul", Fault::Nul),
    ];
    for (value, member, expected) in cases {
        assert_eq!(fault(&value), (member.to_owned(), expected), "{value}");
    }
}

#[test]
fn an_error_never_shows_a_value() {
    for value in [
        json!({"format": "email", "email": "jane.smith"}),
        json!({"format": "complex", "jane.smith": {"format": "jane.smith", "jane.smith": ["jane.smith\u{0}"]}}),
        json!({"format": "complex", "user": {"format": "account", "uri": "jane.smith"}}),
    ] {
        let error = Subject::parse(&value).unwrap_err().to_string();
        assert!(!error.contains("jane"), "{error}");
    }
}

#[test]
fn members_a_format_does_not_define_are_ignored() {
    let subject = parse(&json!({"format": "opaque", "id": "1", "note": {"a": []}}));
    assert_eq!(subject.to_value(), json!({"format": "opaque", "id": "1"}));
}

#[test]
fn shapes_from_before_rfc_9493_are_read_where_asked_for() {
    let cases = [
        (
            json!({"subject_type": "iss-sub", "iss": "i", "sub": "s"}),
            json!({"format": "iss_sub", "iss": "i", "sub": "s"}),
        ),
        (
            json!({"subject_type": "iss_sub", "iss": "i", "sub": "s"}),
            json!({"format": "iss_sub", "iss": "i", "sub": "s"}),
        ),
        (
            json!({"subject_type": "id_token_claims", "iss": "i", "sub": "s", "email": "a@b"}),
            json!({"format": "iss_sub", "iss": "i", "sub": "s"}),
        ),
        (
            json!({"subject_type": "id-token-claims", "iss": "i", "email": "a@b"}),
            json!({"format": "email", "email": "a@b"}),
        ),
        (json!({"subject_type": "phone", "phone": "+12"}), json!({"format": "phone_number", "phone_number": "+12"})),
        (
            json!({"subject_type": "oauth_token", "token_type": "refresh_token", "token": "t"}),
            json!({"format": "oauth_token", "token_type": "refresh_token", "token": "t"}),
        ),
        (
            json!({"format": "complex", "user": {"subject_type": "email", "email": "a@b"}}),
            json!({"format": "complex", "user": {"format": "email", "email": "a@b"}}),
        ),
        (json!({"format": "opaque", "subject_type": "email", "id": "1"}), json!({"format": "opaque", "id": "1"})),
    ];
    for (old, new) in cases {
        assert_eq!(Subject::parse_legacy(&old).unwrap().to_value(), new, "{old}");
    }
    assert!(Subject::parse_legacy(&json!({"user": {"subject_type": "email", "email": "a@b"}})).is_err());
}

#[test]
fn what_standards_call_equal_has_one_canonical_text() {
    let same = [
        (
            json!({"format": "email", "email": "Jane@Example.COM"}),
            json!({"email": "Jane@example.com", "format": "email"}),
        ),
        (
            json!({"format": "account", "uri": "ACCT:jane@Example.com"}),
            json!({"format": "account", "uri": "acct:jane@example.com"}),
        ),
        (
            json!({"format": "phone_number", "phone_number": "+1 (206) 555-0100"}),
            json!({"format": "phone_number", "phone_number": "+12065550100"}),
        ),
        (
            json!({"format": "ip-addresses", "ip-addresses": ["2001:0DB8::0001", "10.0.0.1"]}),
            json!({"format": "ip-addresses", "ip-addresses": ["10.0.0.1", "2001:db8::1", "10.0.0.1"]}),
        ),
        (
            json!({"format": "aliases",
                "identifiers": [{"format": "did", "url": "did:a:b"}, {"format": "uri", "uri": "a:b"}]}),
            json!({"format": "aliases",
                "identifiers": [{"format": "uri", "uri": "a:b"}, {"format": "did", "url": "did:a:b"}]}),
        ),
        (
            json!({"format": "ours", "b": {"y": 1, "x": 2}, "a": 0}),
            json!({"a": 0, "b": {"x": 2, "y": 1}, "format": "ours"}),
        ),
    ];
    for (one, two) in same {
        assert_eq!(parse(&one).canonical(), parse(&two).canonical());
        assert!(parse(&one).matches(&parse(&two)));
    }
    let different = [
        (
            json!({"format": "email", "email": "Jane@example.com"}),
            json!({"format": "email", "email": "jane@example.com"}),
        ),
        (json!({"format": "opaque", "id": "1"}), json!({"format": "uri", "uri": "x:1"})),
        (
            json!({"format": "iss_sub", "iss": "a\",\"sub\":\"b", "sub": "c"}),
            json!({"format": "iss_sub", "iss": "a", "sub": "b"}),
        ),
        (json!({"format": "ours", "a": 1}), json!({"format": "ours", "a": "1"})),
    ];
    for (one, two) in different {
        assert_ne!(parse(&one).canonical(), parse(&two).canonical());
        assert!(!parse(&one).matches(&parse(&two)));
    }
}

/// Stored hashes depend on these texts: a change here is a migration.
#[test]
fn the_canonical_text_is_json_with_its_members_sorted() {
    let email = parse(&json!({"format": "email", "email": "Jane@Example.com"}));
    assert_eq!(email.canonical(), r#"{"email":"Jane@example.com","format":"email"}"#);
    let complex = parse(&json!({"format": "complex",
        "user": {"format": "iss_sub", "sub": "1\"2", "iss": "https://idp.example.com/"},
        "device": {"format": "ours", "serial": [1, null]},
    }));
    assert_eq!(
        complex.canonical(),
        concat!(
            r#"{"device":{"format":"ours","serial":[1,null]},"format":"complex","#,
            r#""user":{"format":"iss_sub","iss":"https://idp.example.com/","sub":"1\"2"}}"#
        )
    );
}

#[test]
fn a_critical_member_we_do_not_understand_refuses_the_subject() {
    let id = json!({"format": "opaque", "id": "1"});
    let subject = parse(&json!({"format": "complex", "user": id, "workload": id}));
    let check = |critical: &[&str]| {
        let critical: Vec<_> = critical.iter().map(ToString::to_string).collect();
        subject.check_critical(&critical, KNOWN_MEMBERS)
    };
    assert_eq!(check(&[]), Ok(()));
    assert_eq!(check(&["user", "tenant", "absent"]), Ok(()));
    assert_eq!(
        check(&["workload"]).unwrap_err().to_string(),
        "subject member workload: is critical and not understood"
    );
}

#[test]
fn the_formats_of_the_standards_are_the_ones_that_are_read_as_such() {
    for format in Simple::FORMATS {
        // none of them can do without its own member
        assert!(Simple::parse(&json!({"format": format})).is_err(), "{format}");
    }
    assert_eq!(Simple::parse(&json!({"format": "x-own"})).unwrap().format(), "x-own");
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,2}", "[^\u{0}]{1,6}"]
}

fn any_single() -> impl Strategy<Value = Simple> {
    let address = prop_oneof!["10\\.0\\.0\\.[1-3]", "2001:db8::[1-3]", "2001:0db8:0:0::[1-3]"];
    let raw = prop::collection::btree_map("[a-c]", any_json(), 0..3);
    prop_oneof![
        "[a-b]{1,2}@[a-bA-B]{1,2}".prop_map(|email| Simple::Email { email }),
        "acct:[a-b]@[a-bA-B]{1,2}".prop_map(|uri| Simple::Account { uri }),
        "\\+[1-2]{1,2}[ -]?[1-2]".prop_map(|phone_number| Simple::PhoneNumber { phone_number }),
        any_text().prop_map(|id| Simple::Opaque { id }),
        (any_text(), any_text()).prop_map(|(iss, sub)| Simple::IssSub { iss, sub }),
        (any_text(), any_text()).prop_map(|(iss, jti)| Simple::JwtId { iss, jti }),
        prop::collection::vec(address, 1..3).prop_map(|ip_addresses| Simple::IpAddresses { ip_addresses }),
        ("x-[a-b]", raw).prop_map(|(format, raw)| Simple::Proprietary { format, members: raw.into_iter().collect() }),
    ]
}

fn any_simple() -> impl Strategy<Value = Simple> {
    let aliases = prop::collection::vec(any_single(), 1..4).prop_map(|identifiers| Simple::Aliases { identifiers });
    prop_oneof![4 => any_single(), 1 => aliases]
}

pub(super) fn any_subject() -> impl Strategy<Value = Subject> {
    let complex = prop::collection::btree_map("user|device|tenant", any_simple(), 1..4)
        .prop_map(|members| Subject::Complex(Complex::new(members).expect("at least one member")));
    prop_oneof![any_simple().prop_map(Subject::Simple), complex]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "format|complex|aliases|email|[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let names = "format|subject_type|identifiers|email|uri|iss|sub|ip-addresses|[a-c]{1,2}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same JSON with the members of every object in the opposite order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().rev().map(|(name, value)| (name.clone(), reversed(value))).collect(),
        Value::Array(entries) => entries.iter().map(reversed).collect(),
        leaf => leaf.clone(),
    }
}

proptest! {
    #[test]
    fn a_subject_survives_its_json(subject in any_subject()) {
        prop_assert_eq!(Subject::parse(&subject.to_value()), Ok(subject));
    }

    #[test]
    fn the_canonical_text_says_everything_and_nothing_of_member_order(subject in any_subject()) {
        let canonical = subject.canonical();
        let from_canonical = Subject::parse(&serde_json::from_str(&canonical).unwrap()).unwrap();
        prop_assert_eq!(from_canonical.canonical(), canonical.clone());
        prop_assert_eq!(Subject::parse(&reversed(&subject.to_value())).unwrap().canonical(), canonical);
    }

    #[test]
    fn equal_canonical_texts_are_the_same_subject(one in any_subject(), two in any_subject()) {
        if one == two {
            prop_assert_eq!(one.canonical(), two.canonical());
        }
        if one.canonical() == two.canonical() {
            prop_assert!(one.matches(&two));
            prop_assert_eq!(one.format(), two.format());
        }
        if let (Subject::Simple(a), Subject::Simple(b)) = (&one, &two) {
            prop_assert_eq!(a.is_identical_to(b), one.canonical() == two.canonical());
        }
    }

    #[test]
    fn any_json_is_read_or_refused(value in any_json()) {
        for read in [Subject::parse, Subject::parse_legacy] {
            if let Ok(subject) = read(&value) {
                prop_assert_eq!(Subject::parse(&subject.to_value()), Ok(subject));
            }
        }
    }
}
