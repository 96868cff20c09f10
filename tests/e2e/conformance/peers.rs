//! Receivers in the field and what they are strict or careless about: each a story told from its side.

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{claims, opaque, uris};
use ssf_harness::sink::{Answer, Sink};
use ssf_transmitter::admin::NewClient;
use ssf_transmitter::client::Profile;

use super::{CAEP, POLL, PUSH, Scene, header_of, text};

// A Go client writes `max_events` in its polls, and cannot read any `moreAvailable`
#[tokio::test]
async fn a_client_that_writes_snake_case_and_knows_no_more_available_can_poll() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    for session in ["a", "b"] {
        scene.idp.revoke(&scene.producer, session).await;
    }
    scene.idp.fan_out().await;
    let url = text(&stream["delivery"], "endpoint_url");
    let one = scene.post(url, &json!({"max_events": 1, "return_immediately": true})).await.assert_json(200);
    assert_eq!(one["sets"].as_object().unwrap().len(), 1);
    let rest = json!({"max_events": 10, "return_immediately": true});
    let two = scene.post(url, &rest).await.assert_json(200);
    assert_eq!(two.as_object().unwrap().keys().collect::<Vec<_>>(), ["sets"], "nothing but what it can read");
    assert_eq!(two["sets"].as_object().unwrap().len(), 2);
}

// The same client decodes `event_timestamp` as an integer
#[tokio::test]
async fn a_client_that_reads_integers_gets_them_for_every_type() {
    let scene = Scene::start().await;
    let types =
        ["session-revoked", "credential-change", "device-compliance-change", "assurance-level-change", "revalidate"];
    let stream = scene.create_poll(&types).await;
    for (n, kind) in types.iter().enumerate() {
        let event = json!({"type": kind, "subject": opaque(&n.to_string()), "event_timestamp": 1_794_961_560.75,
            "credential_type": "password", "change_type": "update", "previous_status": "compliant",
            "current_status": "not-compliant", "namespace": "NIST-AAL", "current_level": "nist-aal1",
            "previous_level": "nist-aal2", "change_direction": "decrease"});
        scene.idp.emit(&scene.producer, &event).await;
    }
    let sets = scene.polled(&stream, &json!({})).await;
    assert_eq!(sets.len(), types.len());
    for (_, set) in sets {
        let claims = claims(&set);
        let (uri, payload) = claims["events"].as_object().unwrap().iter().next().unwrap();
        assert_eq!(payload["event_timestamp"].as_i64(), Some(1_794_961_560), "{uri}");
    }
}

// Receivers that know RS256 only, and look at `typ`
#[tokio::test]
async fn a_receiver_that_knows_rs256_only_can_read_every_set_of_the_defaults() {
    let scene = Scene::start_with(&[("issuer.algorithm", "RS256")]).await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    scene.verify(text(&stream, "stream_id"), "s").await;
    scene.idp.revoke(&scene.producer, "s").await;
    let sets = scene.polled(&stream, &json!({})).await;
    assert_eq!(sets.len(), 2);
    for (_, set) in sets {
        assert_eq!(header_of(&set)["alg"], "RS256");
        assert_eq!(header_of(&set)["typ"], "secevent+jwt");
    }
}

// A device manager supplies `aud` and `format` when it creates its stream
#[tokio::test]
async fn a_receiver_that_supplies_its_audience_and_a_format_is_taken_at_its_word_if_it_is_right() {
    let scene = Scene::start().await;
    let body = |aud: Value| json!({"aud": aud, "format": "iss_sub", "events_requested": uris(&["session-revoked"])});
    let refused = scene.configure(Method::POST, &body(json!("https://other.example"))).await;
    assert!(refused.assert_refused(400, "invalid_request").contains("aud"));
    for aud in [json!("https://rp.example"), json!(["https://rp.example"])] {
        let created = scene.configure(Method::POST, &body(aud)).await.assert_json(201);
        assert_eq!(created["aud"], "https://rp.example");
    }
}

// Clients that refuse more than one stream, or that find theirs again after a 409
#[tokio::test]
async fn a_receiver_that_lost_its_stream_finds_it_after_a_409() {
    let scene = Scene::start().await;
    let at = scene.endpoint("configuration_endpoint");
    let new = NewClient { with_token: true, ..NewClient::receiver("single", "single") };
    let single = scene.idp.add_client(new).await;
    let created = scene.call(Method::POST, &at, &single.token, Some(&json!({}))).await.assert_json(201);
    scene.call(Method::POST, &at, &single.token, Some(&json!({}))).await.assert_refused(409, "conflict");
    let found = scene.call(Method::GET, &at, &single.token, None).await.assert_json(200);
    assert_eq!(found, json!([created]));
    let adopted = json!({"stream_id": found[0]["stream_id"], "delivery": {"method": POLL},
        "events_requested": uris(&["session-revoked"])});
    let adopted = scene.call(Method::PATCH, &at, &single.token, Some(&adopted)).await.assert_json(200);
    assert_eq!(adopted["events_delivered"], json!(uris(&["session-revoked"])));
}

// A workspace that knows session-revoked only, with an audience of its own and e-mail subjects
#[tokio::test]
async fn a_strict_receiver_is_offered_and_sent_only_what_it_knows() {
    let (scene, sink) = (Scene::start().await, Sink::start().await);
    let audience = "https://sharedsignals.example";
    let new =
        NewClient { events_supported: Some(uris(&["session-revoked"])), ..NewClient::receiver("strict", audience) };
    let strict = scene.idp.add_client(NewClient { with_token: true, ..new }).await;
    let body = json!({"events_requested": uris(&["session-revoked", "credential-change", "revalidate"]),
        "delivery": {"method": PUSH, "endpoint_url": sink.url}});
    let at = scene.endpoint("configuration_endpoint");
    let created = scene.call(Method::POST, &at, &strict.token, Some(&body)).await.assert_json(201);
    assert_eq!(created["events_supported"], json!(uris(&["session-revoked"])));
    let subject = json!({"format": "email", "email": "user@example.com"});
    for kind in ["revalidate", "session-revoked"] {
        scene.idp.emit(&scene.producer, &json!({"type": kind, "subject": subject})).await;
    }
    scene.idp.drain().await;
    let [request] = sink.requests().try_into().unwrap();
    let claims = request.claims();
    assert_eq!((&claims["aud"], &claims["sub_id"]), (&json!(audience), &subject));
    assert!(claims["events"].get(format!("{CAEP}session-revoked")).is_some());
}

// A receiver that needs `jti`, `iat`, `aud` and `events`, and answers 200 instead of 202
#[tokio::test]
async fn a_receiver_that_answers_200_is_done_with_its_set() {
    let (scene, sink) = (Scene::start().await, Sink::start().await);
    scene.create_push(&sink.url, &["session-revoked"]).await;
    sink.script(|_| Answer::status(200));
    let event = scene.idp.revoke(&scene.producer, "s").await;
    scene.idp.drain().await;
    let [request] = sink.requests().try_into().unwrap();
    for member in ["jti", "iat", "aud", "events"] {
        assert!(request.claims().get(member).is_some(), "{member}");
    }
    assert_eq!(scene.idp.progress(&scene.producer, &event).await["delivered"], 1);
}

// A device manager that speaks the words of old RISC, and asks for both scopes
#[tokio::test]
async fn a_receiver_of_the_legacy_profile_is_understood_and_answered_in_its_own_words() {
    let (scene, sink) = (Scene::start().await, Sink::start().await);
    let new = NewClient { profile: Profile::Legacy, ..NewClient::receiver("legacy", "https://legacy.example") };
    let legacy = scene.idp.add_client(NewClient { with_token: true, ..new }).await;
    let old = "https://schemas.openid.net/secevent/risc/delivery-method/push";
    let body = json!({"aud": "https://legacy.example", "format": "iss_sub",
        "delivery": {"method": old, "endpoint_url": sink.url}, "events_requested": uris(&["account-disabled"])});
    let at = scene.endpoint("configuration_endpoint");
    let created = scene.call(Method::POST, &at, &legacy.token, Some(&body)).await.assert_json(201);
    assert_eq!((&created["delivery"], &created["format"]), (&body["delivery"], &body["format"]));
    scene.idp.emit(&scene.producer, &json!({"type": "account-disabled", "subject": opaque("s")})).await;
    scene.idp.drain().await;
    assert_eq!(sink.subjects(), ["s"]);
    let refused = scene.configure(Method::POST, &json!({"delivery": {"method": old, "endpoint_url": sink.url}})).await;
    assert!(
        refused.assert_refused(400, "invalid_request").contains("method"),
        "a strict receiver is told the new words"
    );
}
