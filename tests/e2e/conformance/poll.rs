//! Poll delivery (RFC 8936, SSF 1.0 §6.1.2).

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::claims;

use super::{Scene, text};

// RFC 8936 §2.3, §2.5: 200, JSON, `sets` always, `moreAvailable` only if true (ours); nothing is `{"sets": {}}` (MUST)
#[tokio::test]
async fn an_answer_always_has_sets_and_says_more_only_if_there_is() {
    let (scene, stream) = polling(&[("poll.max_events", "2")]).await;
    assert_eq!(scene.poll(&stream, &json!({})).await.assert_json(200), json!({"sets": {}}));
    for session in ["a", "b", "c"] {
        scene.idp.revoke(&scene.producer, session).await;
    }
    scene.idp.fan_out().await;
    let two = scene.poll(&stream, &json!({})).await.assert_json(200);
    assert_eq!((two["sets"].as_object().unwrap().len(), &two["moreAvailable"]), (2, &json!(true)));
    let acked: Vec<&String> = two["sets"].as_object().unwrap().keys().collect();
    let rest = scene.poll(&stream, &json!({"ack": acked})).await.assert_json(200);
    assert_eq!(rest["sets"].as_object().unwrap().len(), 1);
    assert!(rest.get("moreAvailable").is_none(), "{rest}");
}

// RFC 8936 §2.2 `maxEvents`: no more than asked for (MUST); 0 only acknowledges, also without waiting
#[tokio::test]
async fn no_more_sets_are_handed_out_than_were_asked_for() {
    let (scene, stream) = polling(&[("poll.wait", "60s")]).await;
    for session in ["a", "b", "c"] {
        scene.idp.revoke(&scene.producer, session).await;
    }
    for (most, handed_out) in [(0, 0), (1, 1), (2, 2), (3, 3), (1_000_000, 3)] {
        assert_eq!(scene.polled(&stream, &json!({"maxEvents": most})).await.len(), handed_out, "{most}");
    }
    let may_wait = json!({"maxEvents": 0, "returnImmediately": false});
    let answer = tokio::time::timeout(Duration::from_secs(10), scene.poll(&stream, &may_wait)).await;
    assert_eq!(answer.expect("it does not wait").assert_json(200), json!({"sets": {}}));
}

// RFC 8936 §2.2, §2.5 `returnImmediately`: false or missing waits for the first SET or the end of the interval (SHALL)
#[tokio::test]
async fn a_poll_that_may_wait_is_answered_by_the_first_set_or_in_the_end_with_none() {
    let (scene, stream) = polling(&[("poll.wait", "20ms")]).await;
    let address = text(&stream["delivery"], "endpoint_url");
    for body in [json!({}), json!({"returnImmediately": false})] {
        assert_eq!(scene.post(address, &body).await.assert_json(200), json!({"sets": {}}));
    }
    let (scene, stream) = polling(&[("poll.wait", "60s")]).await;
    let address = text(&stream["delivery"], "endpoint_url");
    let waits = json!({"maxEvents": 10});
    let (polled, ()) = tokio::join!(scene.post(address, &waits), async {
        scene.idp.revoke(&scene.producer, "s").await;
        scene.idp.fan_out().await;
    });
    assert_eq!(polled.assert_json(200)["sets"].as_object().unwrap().len(), 1);
}

// RFC 8936 §2.4: unacknowledged SETs are handed out again, with the same claims (ours)
#[tokio::test]
async fn what_is_not_acknowledged_is_handed_out_again() {
    let (scene, stream) = polling(&[]).await;
    scene.idp.revoke(&scene.producer, "s").await;
    let [first] = scene.polled(&stream, &json!({})).await.try_into().unwrap();
    scene.idp.advance(Duration::from_hours(1));
    let [again] = scene.polled(&stream, &json!({})).await.try_into().unwrap();
    assert_eq!((first.0, claims(&first.1)), (again.0, claims(&again.1)));
}

// RFC 8936 §2.4.2, §2.4.3: acknowledgements take effect before SETs are selected (ours); unknown ids are ignored
#[tokio::test]
async fn an_acknowledgement_takes_effect_before_the_same_answers_sets() {
    let (scene, stream) = polling(&[]).await;
    let first = scene.idp.revoke(&scene.producer, "s").await;
    let second = scene.idp.revoke(&scene.producer, "s").await;
    let [(jti, set)] = scene.polled(&stream, &json!({})).await.try_into().unwrap();
    assert_eq!(text(&claims(&set), "txn"), first, "a subject's second waits for its first");
    let strangers = json!({"ack": ["unknown", "", "018f0000-0000-7000-8000-000000000000", jti, jti]});
    let [(_, set)] = scene.polled(&stream, &strangers).await.try_into().unwrap();
    assert_eq!(text(&claims(&set), "txn"), second);
    assert_eq!(scene.idp.progress(&scene.producer, &first).await["delivered"], 1);
}

// RFC 8936 §2.4.4, §2.6 `setErrs`: an error of the SET ends its delivery with its code; trouble of the stream keeps it
#[tokio::test]
async fn an_error_takes_effect_before_the_same_answers_sets() {
    let (scene, stream) = polling(&[]).await;
    let bad = scene.idp.revoke(&scene.producer, "s").await;
    let good = scene.idp.revoke(&scene.producer, "s").await;
    let [(jti, _)] = scene.polled(&stream, &json!({})).await.try_into().unwrap();
    let errors = json!({"setErrs": {
        jti.clone(): {"err": "invalid_request", "description": "not a SET of ours"},
        "unknown": {"err": "invalid_key"},
    }});
    let [(next, set)] = scene.polled(&stream, &errors).await.try_into().unwrap();
    assert_eq!(text(&claims(&set), "txn"), good);
    assert_eq!(scene.idp.progress(&scene.producer, &bad).await["refused"], 1);
    let trouble = json!({"setErrs": {next: {"err": "authentication_failed"}}, "maxEvents": 0});
    assert_eq!(scene.polled(&stream, &trouble).await, []);
    assert_eq!(scene.idp.progress(&scene.producer, &good).await["pending"], 1, "kept");
    scene.idp.advance(Duration::from_secs(10));
    assert_eq!(scene.polled(&stream, &json!({})).await.len(), 1, "and it comes again");
}

// RFC 8936 §2.6, ours: a code or description that cannot even be kept ends the delivery all the same
#[tokio::test]
async fn an_error_that_cannot_be_kept_ends_its_delivery_all_the_same() {
    let (scene, stream) = polling(&[]).await;
    for err in ["a\0b", "", "\u{7}", "x\u{1f600}"] {
        let event = scene.idp.revoke(&scene.producer, "s").await;
        let [(jti, _)] = scene.polled(&stream, &json!({})).await.try_into().unwrap();
        let errors = json!({"setErrs": {jti: {"err": err, "description": "\0\n"}}});
        assert_eq!(scene.polled(&stream, &errors).await, [], "{err:?}");
        assert_eq!(scene.idp.progress(&scene.producer, &event).await["refused"], 1, "{err:?}");
    }
}

// RFC 8936 §2.4: 400 for a request that cannot be understood (ours: the same for a push stream); an empty body is an
// empty request, members nobody knows are ignored
#[tokio::test]
async fn a_poll_that_cannot_be_understood_is_400() {
    let (scene, stream) = polling(&[("poll.wait", "20ms")]).await;
    let (address, bearer) = (text(&stream["delivery"], "endpoint_url"), format!("Bearer {}", scene.rp.token));
    for body in [
        "{",
        "[]",
        "null",
        "{\"maxEvents\": -1}",
        "{\"maxEvents\": 1.5}",
        "{\"maxEvents\": \"10\"}",
        "{\"ack\": \"jti\"}",
        "{\"ack\": [7]}",
        "{\"setErrs\": []}",
        "{\"setErrs\": {\"jti\": \"invalid_key\"}}",
        "{\"returnImmediately\": \"yes\"}",
    ] {
        let answer = scene.send(Method::POST, address, &[("authorization", &bearer)], body).await;
        answer.assert_refused(400, "invalid_request");
    }
    for body in ["", "{}", "{\"unknown\": {\"member\": 7}}"] {
        let answer = scene.send(Method::POST, address, &[("authorization", &bearer)], body).await;
        assert_eq!(answer.assert_json(200), json!({"sets": {}}), "{body}");
    }
    let pushed = scene.create_push("http://127.0.0.1:9/", &[]).await;
    let as_if = address.replace(text(&stream, "stream_id"), text(&pushed, "stream_id"));
    scene.post(&as_if, &json!({"returnImmediately": true})).await.assert_refused(400, "invalid_request");
}

// SSF 1.0 §7.1.1, RFC 8936 §3: authenticated as the management API, with a challenge, for that stream's receiver only
#[tokio::test]
async fn only_the_streams_own_receiver_may_poll_it() {
    let (scene, stream) = polling(&[]).await;
    scene.idp.revoke(&scene.producer, "s").await;
    scene.idp.fan_out().await;
    let address = text(&stream["delivery"], "endpoint_url");
    let body = json!({"returnImmediately": true});
    let anonymous = scene.send(Method::POST, address, &[], body.to_string()).await;
    anonymous.assert_refused(401, "invalid_token");
    let challenge = anonymous.header("www-authenticate");
    assert!(challenge.starts_with("Bearer") && !challenge.contains("error="), "{challenge}");
    let wrong = scene.call(Method::POST, address, "wrong", Some(&body)).await;
    wrong.assert_refused(401, "invalid_token");
    assert!(wrong.header("www-authenticate").contains("error=\"invalid_token\""), "{wrong}");
    let other = scene.idp.add_receiver("other").await;
    scene.call(Method::POST, address, &other.token, Some(&body)).await.assert_refused(404, "not_found");
    let producer = &scene.producer.token;
    scene.call(Method::POST, address, producer, Some(&body)).await.assert_refused(403, "insufficient_scope");
    let sets: Value = scene.post(address, &body).await.assert_json(200)["sets"].clone();
    assert_eq!(sets.as_object().unwrap().len(), 1, "nobody took it");
}

async fn polling(overrides: &[(&str, &str)]) -> (Scene, Value) {
    let scene = Scene::start_with(overrides).await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    (scene, stream)
}
