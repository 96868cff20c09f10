//! Subjects (SSF 1.0 §8.1.3, §9).

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{claims, opaque, uris};

use super::{Answer, Scene, text};

// SSF 1.0 §7.1 `add_subject_endpoint`, `remove_subject_endpoint` (MAY), §8.1.3.2: `{stream_id, subject, verified?}` → 200,
// empty (MUST)
#[tokio::test]
async fn adding_a_subject_is_200_with_nothing() {
    let (scene, stream) = listening("NONE").await;
    for more in [json!({}), json!({"verified": true}), json!({"verified": false})] {
        let mut body = json!({"stream_id": stream["stream_id"], "subject": email("example.user@example.com")});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene.post(&scene.endpoint("add_subject_endpoint"), &body).await.assert_empty(200);
    }
    assert!(hears_of(&scene, &stream, &email("example.user@example.com")).await);
    assert!(!hears_of(&scene, &stream, &email("somebody.else@example.com")).await);
}

// SSF 1.0 §8.1.3.3: `{stream_id, subject}` → 204, empty (MUST)
#[tokio::test]
async fn removing_a_subject_is_204_with_nothing() {
    let (scene, stream) = listening("ALL").await;
    let body = json!({"stream_id": stream["stream_id"], "subject": email("example.user@example.com")});
    scene.post(&scene.endpoint("remove_subject_endpoint"), &body).await.assert_empty(204);
    assert!(!hears_of(&scene, &stream, &email("example.user@example.com")).await);
    assert!(hears_of(&scene, &stream, &email("somebody.else@example.com")).await);
    scene.post(&scene.endpoint("add_subject_endpoint"), &body).await.assert_empty(200);
    assert!(hears_of(&scene, &stream, &email("example.user@example.com")).await, "added again");
}

// SSF 1.0 §8.1.3.2, §8.1.3.3, tables 8 and 9: 400, 401, 403, 404 (MUST)
#[tokio::test]
async fn what_is_wrong_with_a_subject_request_is_said() {
    let (scene, stream) = listening("ALL").await;
    let bearer = format!("Bearer {}", scene.rp.token);
    for member in ["add_subject_endpoint", "remove_subject_endpoint"] {
        let at = scene.endpoint(member);
        for body in ["", "{", "[]", "null", "{}", "{\"stream_id\": 7}", "{\"subject\": {}}"] {
            let answer = scene.send(Method::POST, &at, &[("authorization", &bearer)], body).await;
            answer.assert_refused(400, "invalid_request");
        }
        let id = &stream["stream_id"];
        for subject in [
            json!("user@example.com"),
            json!(null),
            json!([]),
            json!({}),
            json!({"format": 7}),
            json!({"format": "email"}),
            json!({"format": "email", "email": "nobody"}),
            json!({"format": "iss_sub", "iss": "https://issuer.example.com/"}),
            json!({"format": "complex"}),
            json!({"format": "complex", "user": "me"}),
            json!({"format": "aliases", "identifiers": []}),
        ] {
            let answer = scene.post(&at, &json!({"stream_id": id, "subject": subject})).await;
            let said = answer.assert_refused(400, "invalid_request");
            assert!(said.contains("subject") && !said.contains("nobody"), "{subject}: {said}");
        }
        let good = json!({"stream_id": id, "subject": email("a@example.com")});
        scene.call(Method::POST, &at, "wrong", Some(&good)).await.assert_refused(401, "invalid_token");
        let producer = &scene.producer.token;
        scene.call(Method::POST, &at, producer, Some(&good)).await.assert_refused(403, "insufficient_scope");
        let stranger = scene.idp.add_receiver(&format!("stranger at {member}")).await;
        scene.call(Method::POST, &at, &stranger.token, Some(&good)).await.assert_refused(404, "not_found");
        let unknown = json!({"stream_id": "018f0000-0000-4000-8000-000000000000", "subject": email("a@example.com")});
        scene.post(&at, &unknown).await.assert_refused(404, "not_found");
    }
}

// SSF 1.0 §9.1: a subject nobody knows is answered like one that everybody knows (SHOULD)
#[tokio::test]
async fn a_subject_cannot_be_probed() {
    let (scene, stream) = listening("NONE").await;
    scene.idp.emit(&scene.producer, &json!({"type": "session-revoked", "subject": email("known@example.com")})).await;
    scene.idp.fan_out().await;
    for (member, status) in [("add_subject_endpoint", 200), ("remove_subject_endpoint", 204)] {
        let seen = async |address: &str| -> (Vec<u8>, Vec<String>) {
            let body = json!({"stream_id": stream["stream_id"], "subject": email(address)});
            let answer: Answer = scene.post(&scene.endpoint(member), &body).await;
            answer.assert_empty(status);
            let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
            names.sort();
            (answer.bytes, names)
        };
        assert_eq!(seen("known@example.com").await, seen("unknown@example.com").await);
    }
}

// SSF 1.0 §9.3: after a removal events go on for a while (MAY; ours: 7 days)
#[tokio::test]
async fn a_removal_takes_effect_after_its_grace() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let body = json!({"stream_id": stream["stream_id"], "subject": email("a@example.com")});
    scene.post(&scene.endpoint("remove_subject_endpoint"), &body).await.assert_empty(204);
    assert!(hears_of(&scene, &stream, &email("a@example.com")).await);
    scene.idp.advance(Duration::from_hours(24 * 7) - Duration::from_secs(1));
    assert!(hears_of(&scene, &stream, &email("a@example.com")).await);
    scene.idp.advance(Duration::from_secs(1));
    assert!(!hears_of(&scene, &stream, &email("a@example.com")).await);
}

// SSF 1.0 §8.1.3.1: simple subjects match if identical, complex ones if what both have is identical (SHOULD); the
// specification's own examples
#[tokio::test]
async fn subjects_match_as_in_the_examples_of_the_specification() {
    let tenant = json!({"format": "opaque", "id": "example-a38h4792-uw2"});
    let user = email("jdoe@example.com");
    let did = |url: &str| json!({"format": "did", "url": url});
    let address = json!({"format": "ip-addresses", "ip-addresses": ["10.29.37.75"]});
    let cases = [
        (complex(&[("tenant", &tenant)]), complex(&[("tenant", &tenant), ("user", &user)]), true),
        (complex(&[("user", &user), ("device", &address)]), complex(&[("user", &user)]), true),
        (
            complex(&[("user", &user), ("group", &did("did:example:123456"))]),
            complex(&[("user", &user), ("group", &did("did:example:9999999"))]),
            false,
        ),
        (user.clone(), user.clone(), true),
        (user.clone(), email("jane@example.com"), false),
        (user.clone(), json!({"format": "opaque", "id": "jdoe@example.com"}), false),
    ];
    for (added, event, matches) in cases {
        let (scene, stream) = listening("NONE").await;
        let body = json!({"stream_id": stream["stream_id"], "subject": added});
        scene.post(&scene.endpoint("add_subject_endpoint"), &body).await.assert_empty(200);
        assert_eq!(hears_of(&scene, &stream, &event).await, matches, "{added} and {event}");
    }
}

// RFC 9493, SSF 1.0 §3: every format can be added and is heard of, proprietary ones as they are (MUST)
#[tokio::test]
async fn every_format_can_be_added_and_is_then_heard_of() {
    let (scene, stream) = listening("NONE").await;
    for subject in [
        json!({"format": "account", "uri": "acct:example.user@service.example.com"}),
        email("user@example.com"),
        json!({"format": "iss_sub", "iss": "https://issuer.example.com/", "sub": "145234573"}),
        opaque("11112222333344445555"),
        json!({"format": "phone_number", "phone_number": "+12065550100"}),
        json!({"format": "did", "url": "did:example:123456/did/url/path?versionId=1"}),
        json!({"format": "uri", "uri": "urn:uuid:4e851e98-83c4-4743-a5da-150ecb53042f"}),
        json!({"format": "aliases", "identifiers": [email("one@example.com"), {"format": "phone_number", "phone_number": "+12065550101"}]}),
        json!({"format": "jwt_id", "iss": "https://idp.example.com/", "jti": "B70BA622"}),
        json!({"format": "saml_assertion_id", "issuer": "https://idp.example.com/", "assertion_id": "_8e8dc5f69a98"}),
        json!({"format": "ip-addresses", "ip-addresses": ["10.29.37.75", "2001:db8::8a2e:370:7334"]}),
        complex(&[
            ("user", &email("u@example.com")),
            ("application", &opaque("a")),
            ("org_unit", &opaque("o")),
            ("further", &opaque("f")),
        ]),
        json!({"format": "https://proprietary.example/format", "anything": {"as": ["it", "is"]}}),
    ] {
        assert!(!hears_of(&scene, &stream, &subject).await, "before: {subject}");
        let body = json!({"stream_id": stream["stream_id"], "subject": subject});
        scene.post(&scene.endpoint("add_subject_endpoint"), &body).await.assert_empty(200);
        assert!(hears_of(&scene, &stream, &subject).await, "{subject}");
    }
}

// SSF 1.0 §8.1.4.1, §8.1.5: the subject that names the stream is always included, and cannot be removed (MAY NOT)
#[tokio::test]
async fn the_stream_itself_is_always_a_subject_of_its_own() {
    let (scene, stream) = listening("NONE").await;
    let id = text(&stream, "stream_id");
    let body = json!({"stream_id": id, "subject": opaque(id)});
    let refused = scene.post(&scene.endpoint("remove_subject_endpoint"), &body).await;
    assert_eq!(refused.status, 403, "{refused}");
    scene.verify(id, "s").await;
    assert_eq!(scene.polled(&stream, &json!({})).await.len(), 1);
}

/// A stream whose removals take effect at once.
async fn listening(default: &str) -> (Scene, Value) {
    let overrides = [("streams.default_subjects", default), ("streams.removal_grace", "0s")];
    let scene = Scene::start_with(&overrides).await;
    let stream = scene.create(&json!({"events_requested": uris(&["session-revoked"])})).await;
    (scene, stream)
}

/// Whether an event about this subject is sent.
async fn hears_of(scene: &Scene, stream: &Value, subject: &Value) -> bool {
    let event = scene.idp.emit(&scene.producer, &json!({"type": "session-revoked", "subject": subject})).await;
    let sets = scene.polled(stream, &json!({})).await;
    let heard = sets.iter().any(|(_, set)| text(&claims(set), "txn") == event);
    let acked: Vec<&String> = sets.iter().map(|(jti, _)| jti).collect();
    scene.polled(stream, &json!({"ack": acked, "maxEvents": 0})).await;
    heard
}

fn email(address: &str) -> Value {
    json!({"format": "email", "email": address})
}

fn complex(members: &[(&str, &Value)]) -> Value {
    let mut subject = json!({"format": "complex"});
    for (name, value) in members {
        subject[*name] = (*value).clone();
    }
    subject
}
