//! What an operator does to a stream is announced to its receiver (SSF 1.0 §8.1.5), before everything else and in order.

use std::time::Duration;

use serde_json::json;
use ssf_common::event::StreamStatus;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::sink::Answer;

use super::{Scene, in_words, outcome};

// SSF 1.0 §8.1.5: announced by stream-updated before stopping and on re-enabling.
#[tokio::test]
async fn what_an_operator_does_is_announced_before_the_stream_stops_and_before_what_was_held() {
    let scene = Scene::push().await;
    scene.operate(StreamStatus::Paused, Some("license expired")).await;
    scene.revoke(&["a", "b"]).await;
    scene.idp.drain().await;
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["now paused"]);
    let set = scene.idp.verify(&scene.sink.requests()[0].set, &scene.rp).await;
    assert_eq!(set.sub_id.to_value(), json!({"format": "opaque", "id": scene.stream}));
    assert_eq!(set.event.to_payload(), json!({"status": "paused", "reason": "license expired"}));
    assert_eq!(
        scene.status().await,
        json!({"stream_id": scene.stream, "status": "paused", "reason": "license expired"})
    );
    scene.operate(StreamStatus::Paused, Some("another reason")).await;
    scene.operate(StreamStatus::Enabled, None).await;
    assert_eq!(scene.idp.push_once().await, 1, "nothing else is taken before it is settled");
    assert_eq!(scene.pushed(), ["now paused", "now enabled"], "only a change is announced");
    scene.idp.drain().await;
    let mut rest = scene.pushed().split_off(2);
    rest.sort();
    assert_eq!(rest, ["a", "b"]);
}

// SSF 1.0 §8.1.5: the announcement survives the discard.
#[tokio::test]
async fn disabling_discards_what_waits_and_still_announces_itself() {
    let scene = Scene::push().await;
    scene.revoke(&["a"]).await;
    scene.operate(StreamStatus::Disabled, None).await;
    scene.revoke(&["b"]).await;
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["now disabled"]);
    let expected = [outcome("acknowledged", None, 1), outcome("discarded", Some("stream_disabled"), 1)];
    assert_eq!(scene.history().await, expected);
}

#[tokio::test]
async fn a_receiver_that_polls_gets_announcements_alone_in_their_order_and_in_any_status() {
    let scene = Scene::poll().await;
    scene.revoke(&["a"]).await;
    scene.operate(StreamStatus::Paused, None).await;
    let first = scene.idp.poll(&scene.rp, &scene.stream, &json!({})).await;
    assert_eq!((first.body["sets"].as_object().unwrap().len(), first.body.get("moreAvailable")), (1, None));
    assert_eq!(scene.polled().await, ["now paused"], "again, for it was not acknowledged");
    assert_eq!(scene.polled().await, [""; 0]);
    scene.operate(StreamStatus::Enabled, None).await;
    let announced = scene.idp.poll(&scene.rp, &scene.stream, &json!({})).await;
    assert_eq!(announced.body["moreAvailable"], true, "what was held waits behind it");
    assert_eq!(scene.polled().await, ["now enabled"]);
    scene.operate(StreamStatus::Disabled, None).await;
    scene.operate(StreamStatus::Enabled, None).await;
    scene.revoke(&["b"]).await;
    assert_eq!(scene.polled().await, ["now disabled"], "it may have lost something, and is told");
    assert_eq!(scene.polled().await, ["now enabled"]);
    assert_eq!(scene.polled().await, ["b"], "a was discarded");
}

#[tokio::test]
async fn an_endpoint_that_was_down_hears_first_what_became_of_its_stream() {
    let scene = Scene::push().await;
    scene.sink.script(|_| Answer::status(503));
    scene.revoke(&["a", "b"]).await;
    scene.idp.drain().await;
    scene.operate(StreamStatus::Paused, None).await;
    for _ in 0..5 {
        scene.idp.advance(Duration::from_secs(10));
        scene.idp.drain().await;
    }
    scene.operate(StreamStatus::Enabled, None).await;
    for _ in 0..5 {
        scene.idp.advance(Duration::from_secs(10));
        scene.idp.drain().await;
    }
    let so_far = scene.sink.requests().len();
    assert!(scene.pushed().split_off(2).iter().all(|said| said == "now paused"), "{:?}", scene.pushed());
    scene.sink.script(|_| Answer::status(202));
    for _ in 0..5 {
        scene.idp.advance(Duration::from_secs(10));
        scene.idp.drain().await;
    }
    let mut rest = scene.pushed().split_off(so_far);
    rest[2..].sort();
    assert_eq!(rest, ["now paused", "now enabled", "a", "b"]);
}

#[tokio::test]
async fn a_receiver_that_never_takes_an_announcement_still_hears_of_revocations() {
    let scene = Scene::push().await;
    scene.sink.script(|request| Answer::status(if in_words(&request.claims()).starts_with("now") { 500 } else { 202 }));
    scene.operate(StreamStatus::Paused, None).await;
    scene.operate(StreamStatus::Enabled, None).await;
    scene.revoke(&["a"]).await;
    for _ in 0..100 {
        scene.idp.drain().await;
        scene.idp.advance(Duration::from_secs(10));
    }
    assert_eq!(scene.pushed().iter().filter(|said| *said == "a").count(), 1);
    assert_eq!(scene.idp.count("select count(*) from delivery where announces").await, 2, "and they are not given up");

    let scene = Scene::poll().await;
    scene.operate(StreamStatus::Paused, None).await;
    scene.operate(StreamStatus::Enabled, None).await;
    scene.revoke(&["a"]).await;
    let handed_out =
        async || scene.idp.poll(&scene.rp, &scene.stream, &json!({})).await.body["sets"].as_object().unwrap().len();
    assert_eq!(handed_out().await, 1);
    scene.idp.advance(Duration::from_secs(15 * 60 - 1));
    assert_eq!(handed_out().await, 1);
    scene.idp.advance(Duration::from_secs(1));
    assert_eq!(handed_out().await, 2);
}

#[tokio::test]
async fn the_last_word_a_receiver_gets_is_the_true_one() {
    let scene = Scene::push().await;
    scene.sink.script(|_| Answer::status(503));
    scene.operate(StreamStatus::Paused, None).await;
    scene.idp.drain().await;
    scene.set("enabled").await;
    scene.sink.script(|_| Answer::status(202));
    scene.idp.advance(Duration::from_secs(10));
    scene.idp.drain().await;
    assert_eq!(scene.pushed().split_off(1), ["now paused", "now enabled"], "the first was still on its way");
    scene.set("paused").await;
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().len(), 3, "a change of its own is not announced otherwise");
}
