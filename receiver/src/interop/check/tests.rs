//! What is caught, with its section, and what is not.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use ssf_common::id::{IssuerUrl, StreamId};
use ssf_common::protocol::PollRequest;

use super::super::Findings;
use super::*;
use crate::upstream::Answer;

fn answer(status: u16, body: &Value) -> Answer {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Answer { status: StatusCode::from_u16(status).unwrap(), headers, body }
}

type Check = fn(&Answer) -> Findings;

fn said(findings: &Findings) -> Vec<String> {
    findings.iter().map(|finding| format!("{:?} {finding}", finding.weight)).collect()
}

fn good() -> Value {
    json!({
        "stream_id": "s-1", "iss": "https://idp.example", "aud": ["rp"], "events_supported": ["urn:a", "urn:b"],
        "events_requested": ["urn:b", "urn:c"], "events_delivered": ["urn:b"], "min_verification_interval": 60,
        "delivery": {"method": "urn:ietf:rfc:8936", "endpoint_url": "https://idp.example/poll"}, "description": "d",
    })
}

/// A good answer with one member replaced; null takes it away.
fn with(path: &str, value: Value) -> Value {
    let mut configuration = good();
    let (parent, name) = path.rsplit_once('/').unwrap();
    let object = configuration.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        object.remove(name)
    } else {
        object.insert(name.to_owned(), value)
    };
    configuration
}

fn created(body: &Value, sent: &Value) -> Vec<String> {
    let issuer = IssuerUrl::from("https://idp.example");
    let asked = Asked { issuer: &issuer, is_development: false, stream_id: None, sent: Some(sent) };
    said(&create(&answer(201, body), asked))
}

// SSF 1.0 §8.1.1.1: 201 and the whole configuration.
#[test]
fn a_whole_configuration_is_found_faultless() {
    let sent = json!({"events_requested": ["urn:c", "urn:b"], "delivery": {"method": "urn:ietf:rfc:8936"}, "description": "d"});
    assert_eq!(created(&good(), &sent), Vec::<String>::new());
    assert_eq!(created(&with("/events_supported", Value::Null), &json!({})), Vec::<String>::new());
}

// SSF 1.0 §8.1.1: the members of a configuration.
#[test]
fn every_fault_of_a_configuration_is_named_with_its_member() {
    let faults = [
        ("/stream_id", Value::Null, "Breach SSF 1.0 §8.1.1: `stream_id` is missing"),
        ("/stream_id", json!(7), "Breach SSF 1.0 §8.1.1: `stream_id` must be a text that is not empty"),
        (
            "/stream_id",
            json!("a/b"),
            "Breach SSF 1.0 §8.1.1: `stream_id` must have unreserved characters only (RFC 3986 §2.3)",
        ),
        (
            "/iss",
            json!("https://idp.example/"),
            "Breach SSF 1.0 §8.1.1: `iss` must be identical to the `issuer` of the metadata",
        ),
        ("/aud", Value::Null, "Breach SSF 1.0 §8.1.1: `aud` is missing"),
        ("/aud", json!([]), "Breach SSF 1.0 §8.1.1: `aud` must be a text or an array of texts, not empty"),
        ("/events_delivered", Value::Null, "Breach SSF 1.0 §8.1.1: `events_delivered` is missing"),
        ("/events_delivered", json!("urn:b"), "Breach SSF 1.0 §8.1.1: `events_delivered` must be an array of texts"),
        (
            "/events_delivered",
            json!(["urn:a"]),
            "Breach SSF 1.0 §8.1.1: `events_delivered` must be a subset of what was requested",
        ),
        (
            "/events_delivered",
            json!(["urn:c"]),
            "Breach SSF 1.0 §8.1.1: `events_delivered` must be a subset of `events_supported`",
        ),
        (
            "/min_verification_interval",
            json!("60"),
            "Breach SSF 1.0 §8.1.1: `min_verification_interval` must be a whole number of seconds, not below 0",
        ),
        ("/delivery", Value::Null, "Breach SSF 1.0 §8.1.1: `delivery` is missing"),
        (
            "/delivery/method",
            json!("urn:x"),
            "Breach SSF 1.0 §6.1: `delivery.method` is not a delivery method of this specification",
        ),
        (
            "/delivery/method",
            json!("urn:ietf:rfc:8935"),
            "Breach SSF 1.0 §8.1.1.1: `delivery.method` is not the one that was asked for",
        ),
        (
            "/delivery/method",
            json!("https://schemas.openid.net/secevent/risc/delivery-method/poll"),
            "Known SSF 1.0 §6.1: `delivery.method` is the URI of an old draft",
        ),
        ("/delivery/endpoint_url", Value::Null, "Breach SSF 1.0 §6.1: `delivery.endpoint_url` is missing"),
        (
            "/delivery/endpoint_url",
            json!("http://idp.example/poll"),
            "Breach SSF 1.0 §6.1: `delivery.endpoint_url` must be an https URL",
        ),
        ("/description", json!("e"), "Warning SSF 1.0 §8.1.1.1: `description` is not the one that was sent"),
    ];
    let sent = json!({"delivery": {"method": "urn:ietf:rfc:8936"}, "description": "d"});
    for (path, value, fault) in faults {
        assert_eq!(created(&with(path, value), &sent), [fault]);
    }
}

// SSF 1.0 §8.1.1.3, §8.1.1.4
#[test]
fn a_change_must_show_and_a_replacement_must_take_away() {
    let (issuer, stream) = (IssuerUrl::from("https://idp.example"), StreamId::from("s-1"));
    let sent = json!({"stream_id": "s-1", "description": "new"});
    let asked = Asked { issuer: &issuer, is_development: false, stream_id: Some(&stream), sent: Some(&sent) };
    assert_eq!(
        said(&update(&answer(200, &good()), asked)),
        ["Breach SSF 1.0 §8.1.1.3: `description` is not the one that was sent"]
    );
    assert_eq!(
        said(&replace(&answer(200, &with("/description", json!("new"))), asked)),
        ["Breach SSF 1.0 §8.1.1.4: `events_requested` was left out of the request, and is still there"]
    );
    let later = "the request is accepted and not carried out yet (202); ask again later";
    assert_eq!(said(&update(&answer(202, &Value::Null), asked)), [format!("Warning SSF 1.0 §8.1.1.3: {later}")]);
    assert_eq!(
        said(&read(&answer(202, &good()), Asked { sent: None, ..asked })),
        ["Known SSF 1.0 §8.1.1.2: the status must be 200, and is 202"]
    );
    let other = StreamId::from("s-2");
    assert_eq!(
        said(&read(&answer(200, &good()), Asked { stream_id: Some(&other), sent: None, ..asked })),
        ["Breach SSF 1.0 §8.1.1.2: `stream_id` is not that of the stream that was asked for"]
    );
}

// SSF 1.0 §8.1.1.2: an array, also of one or none.
#[test]
fn a_list_is_an_array_of_different_streams() {
    let issuer = IssuerUrl::from("https://idp.example");
    let asked = Asked { issuer: &issuer, is_development: false, stream_id: None, sent: None };
    assert!(said(&list(&answer(200, &json!([])), asked)).is_empty());
    assert!(said(&list(&answer(200, &json!([good()])), asked)).is_empty());
    let found = |body: &Value| said(&list(&answer(200, body), asked));
    assert_eq!(found(&good()), ["Known SSF 1.0 §8.1.1.2: the body must be an array, and is a single object"]);
    assert_eq!(found(&json!([good(), good()])), ["Breach SSF 1.0 §8.1.1.2: two streams have the same `stream_id`"]);
    assert_eq!(found(&json!("s")), ["Breach SSF 1.0 §8.1.1.2: the body must be an array"]);
    assert_eq!(found(&Value::Null), ["Breach SSF 1.0 §8.1.1.2: the body must be JSON, and is empty"]);
}

// SSF 1.0 §8.1.1.5, §8.1.3.2, §8.1.3.3, §8.1.4.2
#[test]
fn an_answer_without_a_body_has_its_status_and_no_body() {
    let checks: [(Check, u16, &str); 4] = [
        (delete, 204, "§8.1.1.5"),
        (add_subject, 200, "§8.1.3.2"),
        (remove_subject, 204, "§8.1.3.3"),
        (verify, 204, "§8.1.4.2"),
    ];
    for (check, due, section) in checks {
        assert!(said(&check(&answer(due, &Value::Null))).is_empty());
        assert_eq!(
            said(&check(&answer(202, &json!({})))),
            [
                format!("Known SSF 1.0 {section}: the status must be {due}, and is 202"),
                format!("Known SSF 1.0 {section}: the body must be empty, and is not")
            ]
        );
        assert_eq!(
            said(&check(&answer(302, &Value::Null))),
            [format!("Breach SSF 1.0 {section}: the status must be {due}, and is 302")]
        );
        let mut cached = answer(due, &Value::Null);
        cached.headers.remove(header::CACHE_CONTROL);
        assert_eq!(
            said(&check(&cached)),
            [format!("Warning SSF 1.0 {section}: the answer should be `Cache-Control: no-store`")]
        );
    }
}

// SSF 1.0 §8.1.2.1, §8.1.2.2
#[test]
fn a_status_is_one_of_three_and_after_a_change_the_new_one() {
    let stream = StreamId::from("s-1");
    let body = json!({"stream_id": "s-1", "status": "paused", "reason": "night"});
    assert!(said(&status(&answer(200, &body), &stream)).is_empty());
    assert!(said(&set_status(&answer(200, &body), &stream, "paused")).is_empty());
    assert_eq!(
        said(&set_status(&answer(200, &body), &stream, "enabled")),
        ["Breach SSF 1.0 §8.1.2.2: `status` is not the one that was asked for"]
    );
    let odd = json!({"status": "asleep", "reason": 7});
    assert_eq!(
        said(&status(&answer(200, &odd), &stream)),
        [
            "Breach SSF 1.0 §8.1.2.1: `stream_id` is missing",
            "Breach SSF 1.0 §8.1.2.1: `status` must be enabled, paused or disabled",
            "Breach SSF 1.0 §8.1.2.1: `reason` must be a text"
        ]
    );
}

// RFC 8936 §2.3
#[test]
fn a_poll_is_answered_with_sets_under_their_own_names() {
    let found = |body: &Value| {
        said(&polled(&answer(200, body), &PollRequest { max_events: Some(1), ..PollRequest::default() }))
    };
    // {"jti":"a"}
    let set = "e30.eyJqdGkiOiJhIn0.x";
    assert!(found(&json!({"sets": {}})).is_empty());
    assert!(found(&json!({"sets": {"a": set}, "moreAvailable": true})).is_empty());
    assert_eq!(
        found(&json!({"sets": {"b": set}, "moreAvailable": "true"})),
        [
            "Breach RFC 8936 §2.3: `moreAvailable` must be true or false",
            "Breach RFC 8936 §2.3: a SET stands in `sets` under another name than its `jti`"
        ]
    );
    assert_eq!(
        found(&json!({"sets": {"a": set, "b": 7}})),
        [
            "Breach RFC 8936 §2.2: `sets` has more SETs than `maxEvents` allows",
            "Breach RFC 8936 §2.3: every member of `sets` must be a text"
        ]
    );
    assert_eq!(found(&json!({})), ["Breach RFC 8936 §2.3: `sets` is missing; it must be there also if it is empty"]);
    assert_eq!(found(&json!({"sets": []})), ["Breach RFC 8936 §2.3: `sets` must be an object"]);
    assert_eq!(
        found(&Value::Null),
        ["Known RFC 8936 §2.3: the body must be a JSON object also if there is nothing, and is empty"]
    );
}

// SSF 1.0 §7.1, CAEP interop §2.3
#[test]
fn metadata_are_held_against_the_framework_and_the_profile() {
    let whole = json!({
        "issuer": "https://idp.example", "spec_version": "1_0", "jwks_uri": "https://idp.example/jwks",
        "delivery_methods_supported": ["urn:ietf:rfc:8935"], "configuration_endpoint": "https://idp.example/s",
        "status_endpoint": "https://idp.example/st", "verification_endpoint": "https://idp.example/v", "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
    });
    assert!(said(&metadata(&answer(200, &whole), false)).is_empty());
    let mut odd = whole;
    for (name, value) in [
        ("spec_version", json!("1_0-ID2")),
        ("jwks_uri", json!("http://127.0.0.1/jwks")),
        ("default_subjects", json!("SOME")),
        ("authorization_schemes", json!(["urn:ietf:rfc:6749"])),
        (
            "delivery_methods_supported",
            json!(["https://schemas.openid.net/secevent/risc/delivery-method/push", "urn:x"]),
        ),
    ] {
        odd[name] = value;
    }
    odd.as_object_mut().unwrap().remove("verification_endpoint");
    let mut expected = [
        "Breach SSF 1.0 §7.1: `jwks_uri` must be an https URL",
        "Known SSF 1.0 §7.1: `delivery_methods_supported` has a URI of an old draft",
        "Warning SSF 1.0 §7.1: `delivery_methods_supported` has a method that is not known here",
        "Breach SSF 1.0 §7.1: `default_subjects` must be ALL or NONE",
        "Breach SSF 1.0 §7.1.1: `authorization_schemes` must be an array of objects with a `spec_urn`",
        "Warning CAEP interop §2.3.1: `spec_version` should be 1_0",
        "Warning CAEP interop §2.3.6: `verification_endpoint` should be there",
    ]
    .to_vec();
    assert_eq!(said(&metadata(&answer(200, &odd), false)), expected);
    expected.remove(0);
    assert_eq!(said(&metadata(&answer(200, &odd), true)), expected, "plain http on loopback, for development");
}
