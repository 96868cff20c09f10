//! Security Event Tokens (SSF 1.0 §4, RFC 8417, CAEP interop §2.6, §2.8, §3).

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{claims, opaque};

use super::{CAEP, Scene, header_of, text};

// SSF 1.0 §4.1.1 `typ`, RFC 7515 §4.1 `alg` and `kid` of a published key (MUST)
#[tokio::test]
async fn the_header_says_what_it_is_and_by_which_published_key() {
    let scene = Scene::start_with(&[("issuer.algorithm", "RS256")]).await;
    let header = header_of(&one(&scene, "session-revoked", &json!({})).await);
    let served = scene.send(Method::GET, &scene.endpoint("jwks_uri"), &[], "").await.json();
    let kids: Vec<&Value> = served["keys"].as_array().unwrap().iter().map(|key| &key["kid"]).collect();
    assert!(kids.contains(&&header["kid"]), "{header} {kids:?}");
    let expected = json!({"typ": "secevent+jwt", "alg": "RS256", "kid": header["kid"]});
    assert_eq!(header, expected, "exactly these");
}

// CAEP interop §2.6: RS256 with at least 2048 bits (MUST), which is what the defaults give
#[tokio::test]
async fn by_default_a_set_is_signed_with_rs256_and_2048_bits() {
    let defaults = ssf_transmitter::config::DEFAULTS;
    assert!(defaults.contains("algorithm = \"RS256\""));
    let scene = Scene::start_with(&[("issuer.algorithm", "RS256")]).await;
    let set = one(&scene, "session-revoked", &json!({})).await;
    let served = scene.send(Method::GET, &scene.endpoint("jwks_uri"), &[], "").await.json();
    let kid = header_of(&set)["kid"].clone();
    let key = served["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).unwrap().clone();
    let modulus = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text(&key, "n")).unwrap();
    assert!(modulus.len() >= 256 && modulus[0] >= 0x80, "{} bytes", modulus.len());
    assert_eq!(key["alg"], "RS256");
    scene.idp.verify(&set, &scene.rp).await;
}

// RFC 8417 §2.2, SSF 1.0 §4.1.6, §4.1.8: `iss` the issuer, `aud` the stream's, `jti` unique (MUST)
#[tokio::test]
async fn issuer_audience_and_id_are_the_streams_and_its_own() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    for session in ["a", "b", "c"] {
        scene.idp.revoke(&scene.producer, session).await;
    }
    let sets = scene.polled(&stream, &json!({})).await;
    let mut seen = HashSet::new();
    for (jti, set) in &sets {
        let claims = claims(set);
        assert_eq!((&claims["iss"], &claims["aud"]), (&stream["iss"], &stream["aud"]));
        assert_eq!(text(&claims, "jti"), jti, "the poll names it so");
        assert!(seen.insert(jti.clone()));
    }
    assert_eq!(seen.len(), 3);
}

// RFC 8417 §2.2 `iat`: whole seconds, never in the future (MUST)
#[tokio::test]
async fn the_time_of_issue_is_a_whole_second_and_not_in_the_future() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let mut more = json!({});
    for step in [0, 749, 1, 249, 1] {
        scene.idp.advance(Duration::from_millis(step));
        scene.idp.revoke(&scene.producer, "s").await;
        let [(jti, set)] = scene.polled(&stream, &more).await.try_into().unwrap();
        let now = ssf_common::clock::Clock::now(&*scene.idp.clock).unix_micros();
        let issued = claims(&set)["iat"].as_i64().expect("a whole number");
        assert!((now - 999_999..=now).contains(&(issued * 1_000_000)), "{issued} at {now} µs");
        more = json!({"ack": [jti]});
    }
}

// RFC 8417 §2.2, SSF 1.0 §4.1.9 `txn`: the same in all SETs of one cause (SHOULD)
#[tokio::test]
async fn all_sets_of_one_cause_share_their_txn() {
    let scene = Scene::start().await;
    let (one, two) = (scene.create_poll(&["session-revoked"]).await, scene.create_poll(&["session-revoked"]).await);
    scene.idp.revoke(&scene.producer, "a").await;
    let named = json!({"type": "session-revoked", "subject": opaque("b"), "txn": "case 7"});
    scene.idp.emit(&scene.producer, &named).await;
    let txn = |sets: &[(String, String)], subject: &str| -> Value {
        let all = sets.iter().map(|(_, set)| claims(set));
        all.into_iter().find(|claims| claims["sub_id"]["id"] == subject).unwrap()["txn"].clone()
    };
    let (at_one, at_two) = (scene.polled(&one, &json!({})).await, scene.polled(&two, &json!({})).await);
    assert_eq!(txn(&at_one, "a"), txn(&at_two, "a"));
    assert!(txn(&at_one, "a").is_string() && txn(&at_one, "a") != txn(&at_one, "b"), "another cause, another txn");
    assert_eq!((txn(&at_one, "b"), txn(&at_two, "b")), (json!("case 7"), json!("case 7")));
}

// SSF 1.0 §3.1, §4.1.3 `sub_id` at the top level (MUST), §4.1.2 no `sub`, §4.1.7 no `exp` (MUST NOT), and no subject
// inside `events`
#[tokio::test]
async fn the_subject_stands_at_the_top_as_it_was_handed_in_and_nowhere_else() {
    let subjects = [
        json!({"format": "account", "uri": "acct:example.user@service.example.com"}),
        json!({"format": "email", "email": "user@example.com"}),
        json!({"format": "iss_sub", "iss": "https://issuer.example.com/", "sub": "145234573"}),
        json!({"format": "opaque", "id": "11112222333344445555"}),
        json!({"format": "phone_number", "phone_number": "+12065550100"}),
        json!({"format": "did", "url": "did:example:123456"}),
        json!({"format": "uri", "uri": "https://user.example.com/"}),
        json!({"format": "aliases", "identifiers": [
            {"format": "email", "email": "user@example.com"},
            {"format": "phone_number", "phone_number": "+12065550100"},
        ]}),
        json!({"format": "jwt_id", "iss": "https://idp.example.com/123456789/", "jti": "B70BA622-9515-4353-A866-823539EECBC8"}),
        json!({"format": "saml_assertion_id", "issuer": "https://idp.example.com/123456789/", "assertion_id": "_8e8dc5f69a98cc4c1ff3427e5ce34606fd672f91e6"}),
        json!({"format": "ip-addresses", "ip-addresses": ["10.29.37.75", "2001:0db8:0000:0000:0000:8a2e:0370:7334"]}),
        json!({"format": "complex",
            "user": {"format": "email", "email": "jdoe@example.com"},
            "device": {"format": "opaque", "id": "d"},
            "session": {"format": "opaque", "id": "s"},
            "application": {"format": "opaque", "id": "a"},
            "tenant": {"format": "opaque", "id": "t"},
            "org_unit": {"format": "opaque", "id": "o"},
            "group": {"format": "opaque", "id": "g"},
            "further": {"format": "opaque", "id": "f"},
        }),
        json!({"format": "https://proprietary.example/format", "anything": {"as": ["it", "is"]}}),
    ];
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let mut more = json!({});
    for subject in subjects {
        scene.idp.emit(&scene.producer, &json!({"type": "session-revoked", "subject": subject})).await;
        let [(jti, set)] = scene.polled(&stream, &more).await.try_into().unwrap();
        let claims = claims(&set);
        assert_eq!(claims["sub_id"], subject);
        assert!(claims.get("sub").is_none() && claims.get("exp").is_none(), "{claims}");
        let event = &claims["events"][format!("{CAEP}session-revoked")];
        assert!(event.is_object() && event.get("subject").is_none() && event.get("sub_id").is_none(), "{event}");
        more = json!({"ack": [jti]});
    }
}

// RFC 8417 §2.2, CAEP interop §2.8.1: exactly one event type per SET (MUST), its value an object
#[tokio::test]
async fn a_set_has_exactly_one_event_whatever_is_handed_in() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked", "account-disabled", "revalidate"]).await;
    let batch = json!([
        {"type": "session-revoked", "subject": opaque("a")},
        {"type": "account-disabled", "subject": opaque("b"), "reason": "hijacking"},
        {"type": "revalidate", "subject": opaque("c")},
    ]);
    let url = format!("{}/events", scene.origin());
    assert_eq!(scene.call(Method::POST, &url, &scene.producer.token, Some(&batch)).await.status, 202);
    let sets = scene.polled(&stream, &json!({})).await;
    assert_eq!(sets.len(), 3);
    for (_, set) in &sets {
        let claims = claims(set);
        let events = claims["events"].as_object().unwrap();
        assert!(events.len() == 1 && events.values().all(Value::is_object), "{claims}");
    }
}

// CAEP interop §3.1–§3.3 `reason_admin`: not empty (MUST), given or filled in
#[tokio::test]
async fn caep_events_have_a_reason_for_administrators() {
    let scene = Scene::start().await;
    let types = ["session-revoked", "credential-change", "device-compliance-change"];
    let stream = scene.create_poll(&types).await;
    let handed_in = [
        json!({"type": types[0], "subject": opaque("a")}),
        json!({"type": types[1], "subject": opaque("b"), "credential_type": "password", "change_type": "revoke"}),
        json!({"type": types[2], "subject": opaque("c"), "previous_status": "compliant", "current_status": "not-compliant",
            "reason_admin": {"en": "Landspeed Policy Violation: C076E82F", "de-CH": "ü"}}),
    ];
    for event in &handed_in {
        scene.idp.emit(&scene.producer, event).await;
    }
    let sets = scene.polled(&stream, &json!({})).await;
    assert_eq!(sets.len(), 3);
    for (_, set) in &sets {
        let claims = claims(set);
        let (uri, event) = claims["events"].as_object().unwrap().iter().next().unwrap();
        let reasons = event["reason_admin"].as_object().unwrap();
        assert!(
            !reasons.is_empty() && reasons.values().all(|text| text.as_str().is_some_and(|t| !t.is_empty())),
            "{uri}"
        );
        if uri.ends_with(types[2]) {
            assert_eq!(event["reason_admin"], handed_in[2]["reason_admin"]);
        }
    }
    for empty in [json!({}), json!("text"), json!({"en": 7})] {
        let event = json!({"type": types[0], "subject": opaque("a"), "reason_admin": empty});
        let url = format!("{}/events", scene.origin());
        let refused = scene.call(Method::POST, &url, &scene.producer.token, Some(&event)).await;
        assert_eq!(refused.status, 400, "{empty}: {refused}");
    }
}

// CAEP 1.0 §2 `event_timestamp`: written in whole seconds, for deployed clients decode an integer; the milliseconds
// travel in the timeline claim (ours)
#[tokio::test]
async fn the_event_timestamp_is_an_integer_and_the_milliseconds_are_in_the_timeline() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let mut more = json!({});
    for (handed_in, seconds, millis) in [
        (json!({"occurred_at": "2026-11-18T00:26:00.500Z"}), 1_794_961_560, 1_794_961_560_500.0),
        (json!({"event_timestamp": 1_794_961_560.25}), 1_794_961_560, 1_794_961_560_250.0),
    ] {
        let mut event = json!({"type": "session-revoked", "subject": opaque("s")});
        event.as_object_mut().unwrap().extend(handed_in.as_object().unwrap().clone());
        scene.idp.emit(&scene.producer, &event).await;
        let [(jti, set)] = scene.polled(&stream, &more).await.try_into().unwrap();
        let claims = claims(&set);
        let stamped = &claims["events"][format!("{CAEP}session-revoked")]["event_timestamp"];
        let occurred = claims["ssf_timeline"]["occurred"].as_f64().map(f64::floor);
        assert_eq!((stamped.as_i64(), occurred), (Some(seconds), Some(millis)), "the last instant that it may mean");
        more = json!({"ack": [jti]});
    }
    let none = Scene::start_with(&[("timeline.claim", "")]).await;
    let set = one(&none, "session-revoked", &json!({})).await;
    let known: HashSet<&str> = HashSet::from(["iss", "aud", "jti", "iat", "txn", "sub_id", "events"]);
    let members = claims(&set);
    assert_eq!(members.as_object().unwrap().keys().map(String::as_str).collect::<HashSet<_>>(), known);
}

/// The SET of one decision of this type, polled on a stream of its own.
async fn one(scene: &Scene, kind: &str, more: &Value) -> String {
    let stream = scene.create_poll(&[kind]).await;
    let mut event = json!({"type": kind, "subject": opaque("s")});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    scene.idp.emit(&scene.producer, &event).await;
    let [(_, set)] = scene.polled(&stream, &json!({})).await.try_into().unwrap();
    set
}
