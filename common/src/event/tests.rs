//! The documents' own examples as vectors, what is refused, and that nothing is lost on the way.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::moment::{Moment, Precision};

fn parse(name: &str, payload: &Value) -> Result<Event, EventError> {
    let event_type = EventType::from_name(name, &Vocabulary::default()).expect("a name");
    Event::parse(event_type, payload)
}

#[test]
fn the_examples_of_the_standards_are_read_and_written_back_unchanged() {
    let examples = [
        // CAEP 1.0 §3.1.2 to §3.8.2
        ("session-revoked", json!({"event_timestamp": 1_615_304_991})),
        (
            "session-revoked",
            json!({"initiating_entity": "policy", "reason_admin": {"en": "Landspeed Policy Violation: C076E82F"},
                "reason_user": {"en": "Access attempt from multiple regions.",
                    "es-410": "Intento de acceso desde varias regiones."},
                "event_timestamp": 1_615_304_991}),
        ),
        ("token-claims-change", json!({"event_timestamp": 1_615_304_991, "claims": {"role": "ro-admin"}})),
        (
            "token-claims-change",
            json!({"claims": {"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/role": "ro-admin"}}),
        ),
        (
            "credential-change",
            json!({"credential_type": "fido2-roaming", "change_type": "create",
                "fido2_aaguid": "accced6a-63f5-490a-9eea-e59bc1896cfc", "friendly_name": "Jane's USB authenticator",
                "initiating_entity": "user", "reason_admin": {"en": "User self-enrollment"},
                "event_timestamp": 1_615_304_991}),
        ),
        (
            "assurance-level-change",
            json!({"namespace": "NIST-AAL", "current_level": "nist-aal2", "previous_level": "nist-aal1",
                "change_direction": "increase", "initiating_entity": "user", "event_timestamp": 1_615_304_991}),
        ),
        ("assurance-level-change", json!({"namespace": "Retinal Scan", "current_level": "hi-res-scan"})),
        (
            "device-compliance-change",
            json!({"current_status": "not-compliant", "previous_status": "compliant", "initiating_entity": "policy",
                "reason_admin": {"en": "Location Policy Violation: C076E8A3"}, "event_timestamp": 1_615_304_991}),
        ),
        (
            "session-established",
            json!({"fp_ua": "abb0b6e7da81a42233f8f2b1a8ddb1b9a4c81611", "acr": "AAL2", "amr": ["otp"],
                "event_timestamp": 1_615_304_991}),
        ),
        (
            "session-presented",
            json!({"ips": ["192.168.1.12", "10.1.1.1"], "fp_ua": "abb0b6e7da81a42233f8f2b1a8ddb1b9a4c81611",
                "ext_id": "12345"}),
        ),
        (
            "risk-level-change",
            json!({"principal": "USER", "current_level": "LOW", "previous_level": "HIGH",
                "risk_reason": "PASSWORD_FOUND_IN_DATA_BREACH"}),
        ),
        // RISC 1.0
        ("account-credential-change-required", json!({})),
        ("account-disabled", json!({"reason": "hijacking"})),
        ("account-disabled", json!({})),
        ("identifier-changed", json!({"new-value": "john.roe@example.com"})),
        ("credential-compromise", json!({"credential_type": "password", "event_timestamp": 1_615_304_991})),
        // SSF 1.0 §8.1.4, §8.1.5
        ("verification", json!({"state": "VGhpcyBpcyBhbiBleGFtcGxlIHN0YXRlIHZhbHVlLgo="})),
        ("verification", json!({})),
        ("stream-updated", json!({"status": "paused", "reason": "Internal error"})),
        // ours
        (
            "revalidate",
            json!({"event_timestamp": 1_795_000_000, "background": "exempt", "reason_admin": {"en": "drill"},
                "requirement": {"interaction": "reauthenticate", "max_age": 0, "acr_values": ["aal3"], "more": 1}}),
        ),
        ("revalidate", json!({"event_timestamp": 1_795_000_000, "requirement": {}})),
        ("urn:ietf:params:scim:event:prov:delete", json!({"data": {"active": null}, "event_timestamp": "soon"})),
    ];
    for (name, payload) in examples {
        let event = parse(name, &payload).unwrap_or_else(|error| panic!("{name} {payload}: {error}"));
        assert_eq!(event.to_payload(), payload, "{name}");
    }
}

#[test]
fn what_is_refused_is_told_by_member_and_fault() {
    let long = "x".repeat(members::MAX_TEXT + 1);
    let languages: serde_json::Map<_, _> =
        (0..=members::MAX_MEMBERS).map(|n| (format!("en-x{n}"), json!("x"))).collect();
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let unknown = |allowed| Fault::UnknownWord(UnknownWord { allowed });
    let cases = [
        ("session-revoked", json!([]), "events", Fault::NotA("an object")),
        (
            "session-revoked",
            json!({"event_timestamp": "2026-11-21T10:00:00Z"}),
            "event_timestamp",
            Fault::NotA("a number"),
        ),
        ("session-revoked", json!({"event_timestamp": -1}), "event_timestamp", Fault::NotATime),
        (
            "session-revoked",
            json!({"initiating_entity": "robot"}),
            "initiating_entity",
            unknown("admin, user, policy, system"),
        ),
        ("session-revoked", json!({"reason_admin": "because"}), "reason_admin", Fault::NotA("an object")),
        ("session-revoked", json!({"reason_admin": {}}), "reason_admin", Fault::Empty),
        ("session-revoked", json!({"reason_user": {"en": 1}}), "reason_user", Fault::NotA("a string")),
        ("session-revoked", json!({"reason_user": {"": "x"}}), "reason_user", Fault::NotALanguageTag),
        ("session-revoked", json!({"reason_user": {"en us": "x"}}), "reason_user", Fault::NotALanguageTag),
        ("session-revoked", json!({"reason_user": {"en": long}}), "reason_user", Fault::TooLong(members::MAX_TEXT)),
        ("session-revoked", json!({"reason_user": languages}), "reason_user", Fault::TooMany(members::MAX_MEMBERS)),
        ("session-revoked", json!({"more": deep}), "events", Fault::TooDeep(32)),
        ("session-revoked", json!({"more": {"a": ["\u{0}"]}}), "events", Fault::Nul),
        ("urn:x:unknown", json!({"\u{0}": 1}), "events", Fault::Nul),
        ("token-claims-change", json!({}), "claims", Fault::Missing),
        ("token-claims-change", json!({"claims": {}}), "claims", Fault::Empty),
        ("token-claims-change", json!({"claims": []}), "claims", Fault::NotA("an object")),
        ("credential-change", json!({"change_type": "create"}), "credential_type", Fault::Missing),
        ("credential-change", json!({"credential_type": "", "change_type": "create"}), "credential_type", Fault::Empty),
        ("credential-change", json!({"credential_type": "pin"}), "change_type", Fault::Missing),
        (
            "credential-change",
            json!({"credential_type": "pin", "change_type": "lost"}),
            "change_type",
            unknown("create, revoke, update, delete"),
        ),
        ("assurance-level-change", json!({"current_level": "1"}), "namespace", Fault::Missing),
        (
            "assurance-level-change",
            json!({"namespace": "NIST-AAL", "current_level": "1", "change_direction": "up"}),
            "change_direction",
            unknown("increase, decrease"),
        ),
        ("device-compliance-change", json!({"current_status": "compliant"}), "previous_status", Fault::Missing),
        ("session-established", json!({"amr": [1]}), "amr", Fault::NotA("a string")),
        ("session-presented", json!({"ext_id": 1}), "ext_id", Fault::NotA("a string")),
        ("risk-level-change", json!({"current_level": "LOW"}), "principal", Fault::Missing),
        (
            "risk-level-change",
            json!({"principal": "USER", "current_level": "low"}),
            "current_level",
            unknown("LOW, MEDIUM, HIGH"),
        ),
        ("credential-compromise", json!({}), "credential_type", Fault::Missing),
        ("verification", json!({"state": {}}), "state", Fault::NotA("a string")),
        ("stream-updated", json!({"status": "off"}), "status", unknown("enabled, paused, disabled")),
        ("revalidate", json!({}), "event_timestamp", Fault::Missing),
        ("revalidate", json!({"event_timestamp": 1, "background": "stop"}), "background", unknown("suspend, exempt")),
        (
            "revalidate",
            json!({"event_timestamp": 1, "requirement": {"max_age": -1}}),
            "max_age",
            Fault::NotA("a whole number"),
        ),
    ];
    for (name, payload, member, fault) in cases {
        assert_eq!(parse(name, &payload), Err(EventError { member, fault }), "{name} {payload}");
    }
}

#[test]
fn an_error_reads_as_a_sentence_and_shows_no_value() {
    let error = parse("session-revoked", &json!({"initiating_entity": "jane@example.com"})).unwrap_err();
    assert_eq!(error.to_string(), "event member initiating_entity: is not one of: admin, user, policy, system");
}

#[test]
fn members_of_caep_in_an_event_of_risc_are_read_if_well_formed_and_kept_otherwise() {
    let event = parse("account-disabled", &json!({"event_timestamp": 1_795_000_000, "reason_admin": "text"})).unwrap();
    assert_eq!(event.common.event_timestamp, Some(Moment::second(Timestamp::from_unix_seconds(1_795_000_000))));
    assert_eq!(event.common.reason_admin, None);
    assert_eq!(event.extra["reason_admin"], "text");
}

#[test]
fn careless_peers_are_understood() {
    let absent = parse("session-revoked", &json!({"reason_admin": null, "event_timestamp": null})).unwrap();
    assert_eq!(absent.to_payload(), json!({}));
    let single = parse("session-established", &json!({"amr": "otp"})).unwrap();
    assert_eq!(single.to_payload(), json!({"amr": ["otp"]}));
    let millis = parse("session-revoked", &json!({"event_timestamp": 1_615_304_991_643_i64})).unwrap();
    assert_eq!(millis.to_payload(), json!({"event_timestamp": 1_615_304_991.643}));
    let other_reason = parse("account-disabled", &json!({"reason": "administrative"})).unwrap();
    assert_eq!(other_reason.detail, Detail::AccountDisabled { reason: Some("administrative".to_owned()) });
}

#[test]
fn a_transmitter_can_write_whole_seconds() {
    let event = parse("session-revoked", &json!({"event_timestamp": 1_795_000_000.75})).unwrap();
    assert_eq!(event.common.event_timestamp.map(Moment::precision), Some(Precision::Millisecond));
    assert_eq!(event.with_whole_second_timestamp().to_payload(), json!({"event_timestamp": 1_795_000_000}));
}

#[test]
fn every_known_type_survives_its_name_and_its_uri() {
    let vocabulary = Vocabulary::default();
    for known in EventType::known() {
        assert_eq!(EventType::from_name(known.name(), &vocabulary).as_ref(), Some(known));
        assert_eq!(EventType::from_name(known.uri(&vocabulary), &vocabulary).as_ref(), Some(known));
        assert_eq!(EventType::from_uri(known.uri(&vocabulary), &vocabulary), *known);
        assert!(known.uri(&vocabulary).ends_with(known.name()) || *known == EventType::Revalidate);
    }
    let uris: HashSet<_> = EventType::known().iter().map(|known| known.uri(&vocabulary)).collect();
    let of = |family: &str| uris.iter().filter(|uri| uri.contains(&format!("/secevent/{family}/event-type/"))).count();
    assert_eq!((of("caep"), of("risc"), of("ssf"), uris.len()), (8, 14, 2, 25));
}

#[test]
fn a_type_we_do_not_know_is_its_uri() {
    let vocabulary = Vocabulary::default();
    let uri = "https://schemas.openid.net/secevent/caep/event-type/session-invented";
    let other = EventType::from_uri(uri, &vocabulary);
    assert_eq!((other.name(), other.uri(&vocabulary), other.to_string().as_str()), (uri, uri, uri));
    assert_eq!(EventType::from_name("session-invented", &vocabulary), None);
}

#[test]
fn revalidate_is_understood_under_every_alias_and_sent_under_one_uri() {
    let vocabulary = Vocabulary {
        revalidate_uri: "https://schemas.example.com/revalidate".to_owned(),
        revalidate_aliases: vec![Vocabulary::default().revalidate_uri],
        ..Vocabulary::default()
    };
    assert_eq!(vocabulary.check(), Ok(()));
    for uri in ["https://schemas.example.com/revalidate", "urn:uuid:0d607c6e-95de-5e8e-bc1d-e33d8059032c"] {
        assert_eq!(EventType::from_uri(uri, &vocabulary), EventType::Revalidate);
    }
    assert_eq!(EventType::Revalidate.uri(&vocabulary), "https://schemas.example.com/revalidate");
}

#[test]
fn a_vocabulary_cannot_take_the_name_of_a_standard_type() {
    let session_revoked = EventType::SessionRevoked.uri(&Vocabulary::default()).to_owned();
    let taken = Vocabulary { revalidate_aliases: vec![session_revoked.clone()], ..Vocabulary::default() };
    assert_eq!(taken.check(), Err(VocabularyError::Taken(session_revoked.clone())));
    assert_eq!(EventType::from_uri(&session_revoked, &taken), EventType::SessionRevoked);
    let nameless = Vocabulary { revalidate_uri: "revalidate".to_owned(), ..Vocabulary::default() };
    assert!(matches!(nameless.check(), Err(VocabularyError::NotAUri(_))));
}

fn any_payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_i64..3_000_000_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "create|compliant|HIGH|LOW|enabled|increase|admin|any|exempt|[a-c]{0,2}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("en|de-CH|interaction|max_age|[a-c]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    let names = "event_timestamp|initiating_entity|reason_admin|reason_user|claims|credential_type|change_type\
        |namespace|current_level|previous_level|change_direction|current_status|previous_status|acr|amr|principal\
        |reason|new-value|state|status|requirement|background|[a-c]";
    prop::collection::btree_map(names, value, 0..8).prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn any_type() -> impl Strategy<Value = EventType> {
    let other = Just(EventType::Other("urn:x:unknown".to_owned()));
    prop_oneof![8 => prop::sample::select(EventType::known()), 1 => other]
}

/// A payload its type accepts, with members it does not know.
fn any_event() -> impl Strategy<Value = (EventType, Value)> {
    (any_type(), any_payload()).prop_map(|(event_type, payload)| {
        let mut payload = payload;
        let required = match event_type {
            EventType::TokenClaimsChange => json!({"claims": {"role": "x"}}),
            EventType::CredentialChange => json!({"credential_type": "pin", "change_type": "delete"}),
            EventType::AssuranceLevelChange => json!({"namespace": "n", "current_level": "1"}),
            EventType::DeviceComplianceChange => json!({"previous_status": "compliant", "current_status": "compliant"}),
            EventType::RiskLevelChange => json!({"principal": "USER", "current_level": "HIGH"}),
            EventType::CredentialCompromise => json!({"credential_type": "pin"}),
            EventType::StreamUpdated => json!({"status": "paused"}),
            EventType::Revalidate => json!({"event_timestamp": 1_795_000_000}),
            _ => json!({}),
        };
        if let (Value::Object(payload), Value::Object(required)) = (&mut payload, required) {
            payload.extend(required);
        }
        (event_type, payload)
    })
}

proptest! {
    #[test]
    fn any_payload_is_read_or_refused_and_nothing_is_lost((event_type, payload) in any_event()) {
        if let Ok(event) = Event::parse(event_type.clone(), &payload) {
            let written = event.to_payload();
            for (name, value) in payload.as_object().unwrap() {
                let kept = written.get(name) == Some(value);
                let rewritten = ["event_timestamp", "amr", "requirement"].contains(&name.as_str());
                prop_assert!(kept || rewritten || value.is_null(), "{} lost", name);
            }
            // A number does not tell 10 seconds from 10.000 seconds: the precision of a whole second may be lost.
            let again = Event::parse(event_type, &written).unwrap().with_whole_second_timestamp();
            prop_assert_eq!(again, event.with_whole_second_timestamp());
        }
    }
}
