//! Status (SSF 1.0 §8.1.2).

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{Party, claims};
use ssf_harness::sink::Sink;

use super::{Answer, Scene, UPDATED, text};

// SSF 1.0 §8.1.2.1: `GET ?stream_id=` → 200 `{stream_id, status, reason?}` (MUST)
#[tokio::test]
async fn the_status_of_a_new_stream_is_enabled() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let status = scene.get(&scene.about("status_endpoint", text(&stream, "stream_id"))).await.assert_json(200);
    assert_eq!(status, json!({"stream_id": stream["stream_id"], "status": "enabled"}));
}

// SSF 1.0 §8.1.2.1, table 6: 401, 403, 404 (MUST); 400 without `stream_id` (ours)
#[tokio::test]
async fn a_status_that_cannot_be_read_is_refused() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&[]).await;
    let at = scene.about("status_endpoint", text(&stream, "stream_id"));
    scene.call(Method::GET, &at, "wrong", None).await.assert_refused(401, "invalid_token");
    scene.call(Method::GET, &at, &scene.producer.token, None).await.assert_refused(403, "insufficient_scope");
    for unknown in ["f67e39a0a4d34d56b3aa1bc4cff0069f", "018f0000-0000-4000-8000-000000000000", ""] {
        scene.get(&scene.about("status_endpoint", unknown)).await.assert_refused(404, "not_found");
    }
    scene.get(&scene.endpoint("status_endpoint")).await.assert_refused(400, "invalid_request");
}

// SSF 1.0 §8.1.2.2: `POST {stream_id, status, reason?}` → 200 with the same object, also for the present value (MUST)
#[tokio::test]
async fn a_receiver_sets_the_status_and_is_answered_with_it() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let id = text(&stream, "stream_id");
    for wish in [
        json!({"stream_id": id, "status": "paused"}),
        json!({"stream_id": id, "status": "paused", "reason": "SYSTEM_DOWN_FOR_MAINTENANCE"}),
        json!({"stream_id": id, "status": "disabled", "reason": "Disabled by administrator action."}),
        json!({"stream_id": id, "status": "enabled"}),
        json!({"stream_id": id, "status": "enabled", "reason": "ü"}),
    ] {
        assert_eq!(set(&scene, &wish).await.assert_json(200), wish);
        let read = scene.get(&scene.about("status_endpoint", id)).await.assert_json(200);
        assert_eq!(read, wish, "what is read is what was set");
    }
    assert_eq!(scene.polled(&stream, &json!({})).await, [], "who sets the status is not told of it");
}

// SSF 1.0 §8.1.2.2, table 7: 400 for an unknown value and what cannot be parsed, 401, 403, 404 (MUST)
#[tokio::test]
async fn a_status_that_cannot_be_set_is_refused() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&[]).await;
    let (id, at) = (text(&stream, "stream_id"), scene.endpoint("status_endpoint"));
    for status in [json!("running"), json!("ENABLED"), json!(""), json!(1), Value::Null] {
        set(&scene, &json!({"stream_id": id, "status": status})).await.assert_refused(400, "invalid_request");
    }
    let bearer = format!("Bearer {}", scene.rp.token);
    for body in ["", "{", "[]", "null", "{}", "{\"status\": \"paused\"}"] {
        let answer = scene.send(Method::POST, &at, &[("authorization", &bearer)], body).await;
        answer.assert_refused(400, "invalid_request");
    }
    let bare = json!({"stream_id": id});
    set(&scene, &bare).await.assert_refused(400, "invalid_request");
    let odd = json!({"stream_id": id, "status": "paused", "reason": "x\0"});
    set(&scene, &odd).await.assert_refused(400, "invalid_request");
    let wish = json!({"stream_id": id, "status": "paused"});
    scene.call(Method::POST, &at, "wrong", Some(&wish)).await.assert_refused(401, "invalid_token");
    let producer = &scene.producer.token;
    scene.call(Method::POST, &at, producer, Some(&wish)).await.assert_refused(403, "insufficient_scope");
    let stranger = scene.idp.add_receiver("stranger").await;
    scene.call(Method::POST, &at, &stranger.token, Some(&wish)).await.assert_refused(404, "not_found");
    let unknown = json!({"stream_id": "018f0000-0000-4000-8000-000000000000", "status": "paused"});
    set(&scene, &unknown).await.assert_refused(404, "not_found");
    let read = scene.get(&scene.about("status_endpoint", id)).await.assert_json(200);
    assert_eq!(read["status"], "enabled", "nothing was changed");
}

// SSF 1.0 §8.1.2.1 `paused`: nothing is transmitted (MUST NOT); what is held goes out on `enabled`, in order of generation
// per subject (SHOULD, MUST)
#[tokio::test]
async fn a_paused_stream_sends_nothing_and_afterwards_everything_in_order() {
    let (scene, sink) = (Scene::start().await, Sink::start().await);
    let pushed = scene.create_push(&sink.url, &["session-revoked"]).await;
    let polled = scene.create_poll(&["session-revoked"]).await;
    for stream in [&pushed, &polled] {
        change(&scene, stream, "paused").await;
    }
    let mut expected = Vec::new();
    for session in ["a", "b", "a", "a"] {
        expected.push(scene.idp.revoke(&scene.producer, session).await);
        scene.idp.advance(Duration::from_mins(1));
        scene.idp.drain().await;
    }
    assert_eq!((sink.requests().len(), scene.polled(&polled, &json!({})).await.len()), (0, 0));
    for stream in [&pushed, &polled] {
        change(&scene, stream, "enabled").await;
    }
    scene.idp.drain().await;
    let of = |sets: &[Value], subject: &str| -> Vec<String> {
        let mine = sets.iter().filter(|claims| claims["sub_id"]["id"] == subject);
        mine.map(|claims| text(claims, "txn").to_owned()).collect()
    };
    let by_push: Vec<Value> = sink.requests().iter().map(ssf_harness::sink::Received::claims).collect();
    let by_poll = everything(&scene, &polled).await;
    for sets in [by_push, by_poll] {
        let a = [&expected[0], &expected[2], &expected[3]].map(Clone::clone);
        assert_eq!((of(&sets, "a"), of(&sets, "b")), (a.to_vec(), vec![expected[1].clone()]));
    }
}

// SSF 1.0 §8.1.2.1 `disabled`: nothing is transmitted, nothing is held (MUST NOT); what waits is discarded and recorded so
#[tokio::test]
async fn a_disabled_stream_sends_nothing_and_holds_nothing() {
    let (scene, sink) = (Scene::start().await, Sink::start().await);
    let pushed = scene.create_push(&sink.url, &["session-revoked"]).await;
    let polled = scene.create_poll(&["session-revoked"]).await;
    let waits = scene.idp.revoke(&scene.producer, "waits").await;
    scene.idp.fan_out().await;
    for stream in [&pushed, &polled] {
        change(&scene, stream, "disabled").await;
    }
    let comes = scene.idp.revoke(&scene.producer, "comes").await;
    scene.idp.drain().await;
    assert_eq!((sink.requests().len(), scene.polled(&polled, &json!({})).await.len()), (0, 0));
    for stream in [&pushed, &polled] {
        change(&scene, stream, "enabled").await;
    }
    let after = scene.idp.revoke(&scene.producer, "after").await;
    scene.idp.drain().await;
    assert_eq!(sink.subjects(), ["after"]);
    let sets = everything(&scene, &polled).await;
    assert_eq!(sets.iter().map(|claims| text(claims, "txn")).collect::<Vec<_>>(), [&after]);
    let progress = scene.idp.progress(&scene.producer, &waits).await;
    assert_eq!((&progress["pending"], &progress["streams"]), (&json!(0), &json!(2)), "discarded: {progress}");
    assert_eq!(scene.idp.progress(&scene.producer, &comes).await["streams"], 0);
}

// SSF 1.0 §8.1.2, §8.1.5: what the transmitter changes is announced before stopping and on re-enabling, by an event that
// names the stream (MUST)
#[tokio::test]
async fn a_change_by_the_transmitter_is_announced_before_the_stop_and_upon_the_start() {
    let (scene, sink) = (Scene::start().await, Sink::start().await);
    let operator = scene.idp.add_operator().await;
    let pushed = scene.create_push(&sink.url, &["session-revoked"]).await;
    let mut decided = Vec::new();
    let polled = scene.create_poll(&["session-revoked"]).await;
    for (status, reason) in
        [("paused", Some("Internal error")), ("enabled", None), ("disabled", None), ("enabled", None)]
    {
        for stream in [&pushed, &polled] {
            operate(&scene, &operator, stream, status, reason).await;
        }
        decided.push(scene.idp.revoke(&scene.producer, "s").await);
        scene.idp.drain().await;
        let announced = everything(&scene, &polled).await;
        let mut expected = json!({"status": status});
        if let Some(reason) = reason {
            expected["reason"] = json!(reason);
        }
        for (claims, stream) in [(announced[0].clone(), &polled), (nth_update(&sink, status), &pushed)] {
            assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": stream["stream_id"]}));
            assert_eq!(claims["events"], json!({UPDATED: expected}));
        }
        assert_eq!(announced.len() > 1, status == "enabled", "{status}: {announced:?}");
    }
    let order: Vec<String> = sink.requests().iter().map(|request| words(&request.claims())).collect();
    let [held, next, _discarded, last] = decided.iter().map(String::as_str).collect::<Vec<_>>().try_into().unwrap();
    let expected = ["now paused", "now enabled", held, next, "now disabled", "now enabled", last];
    assert_eq!(order, expected, "what was held follows the announcement, what was discarded does not");
}

// SSF 1.0 §8.1.5: allowed even if not in `events_delivered` (MAY)
#[tokio::test]
async fn an_announcement_passes_the_filters_of_the_stream() {
    let scene = Scene::start().await;
    let operator = scene.idp.add_operator().await;
    let stream = scene.create(&json!({})).await;
    operate(&scene, &operator, &stream, "paused", None).await;
    let [claims] = everything(&scene, &stream).await.try_into().unwrap();
    assert_eq!(claims["events"], json!({UPDATED: {"status": "paused"}}));
}

// SSF 1.0 §8.1.1 `inactivity_timeout`: without a sign of life a stream is paused, and its receiver told (MAY, MUST)
#[tokio::test]
async fn a_stream_nobody_cares_for_is_paused_and_its_receiver_told() {
    use ssf_common::runtime::worker::Worker as _;
    let scene = Scene::start_with(&[("streams.inactivity_timeout", "1h")]).await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let id = text(&stream, "stream_id");
    scene.idp.advance(Duration::from_mins(59));
    scene.polled(&stream, &json!({})).await;
    scene.idp.advance(Duration::from_mins(59));
    scene.idp.transmitter.inactivity.tick().await.unwrap();
    assert_eq!(
        scene.idp.count("select count(*) from stream where status = 'enabled'").await,
        1,
        "a poll is a sign of life"
    );
    scene.idp.advance(Duration::from_mins(1));
    scene.idp.transmitter.inactivity.tick().await.unwrap();
    let [claims] = everything(&scene, &stream).await.try_into().unwrap();
    assert_eq!(claims["events"][UPDATED]["status"], "paused");
    let read = scene.get(&scene.about("status_endpoint", id)).await.assert_json(200);
    assert_eq!(read["status"], "paused");
    assert!(read["reason"].is_string(), "{read}");
}

async fn set(scene: &Scene, wish: &Value) -> Answer {
    scene.post(&scene.endpoint("status_endpoint"), wish).await
}

async fn change(scene: &Scene, stream: &Value, status: &str) {
    set(scene, &json!({"stream_id": stream["stream_id"], "status": status})).await.assert_json(200);
}

/// As an operator, over the admin API.
async fn operate(scene: &Scene, operator: &Party, stream: &Value, status: &str, reason: Option<&str>) {
    let url = format!("{}/admin/v1/streams/{}/status", scene.origin(), text(stream, "stream_id"));
    let mut body = json!({"status": status});
    if let Some(reason) = reason {
        body["reason"] = json!(reason);
    }
    scene.call(Method::PUT, &url, &operator.token, Some(&body)).await.assert_json(200);
}

/// The claims of everything that polling hands out until there is no more, in order.
async fn everything(scene: &Scene, stream: &Value) -> Vec<Value> {
    let (mut all, mut acked): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
    loop {
        let sets = scene.polled(stream, &json!({"ack": acked})).await;
        if sets.is_empty() {
            return all;
        }
        all.extend(sets.iter().map(|(_, set)| claims(set)));
        acked = sets.into_iter().map(|(jti, _)| jti).collect();
    }
}

/// The last announcement of this status that was pushed.
fn nth_update(sink: &Sink, status: &str) -> Value {
    let all = sink.requests();
    let last = all.iter().rev().map(ssf_harness::sink::Received::claims);
    last.into_iter().find(|claims| claims["events"][UPDATED]["status"] == status).unwrap()
}

/// The status an announcement tells of, or the `txn`.
fn words(claims: &Value) -> String {
    let status = claims["events"][UPDATED]["status"].as_str();
    status.map_or_else(|| text(claims, "txn").to_owned(), |status| format!("now {status}"))
}
