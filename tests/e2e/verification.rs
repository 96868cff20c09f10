//! Stories about verification events (SSF 1.0 §8.1.4): asked for, and unasked.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_common::clock::ManualClock;
use ssf_common::event::StreamStatus;
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, Reply, uris};
use ssf_harness::sink::Sink;
use ssf_transmitter::admin::{self, NewClient, StreamError};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::control::Unsolicited;

async fn verify(idp: &Idp, rp: &Party, stream: &str, state: Value) -> Reply {
    let reply = idp.post("/ssf/verify", rp, &json!({"stream_id": stream, "state": state})).await;
    assert_eq!(reply.header("cache-control"), "no-store");
    reply
}

/// The payloads of the verification events that a poll hands out, acknowledged.
async fn verified(idp: &Idp, rp: &Party, stream: &str) -> Vec<Value> {
    let polled = idp.poll(rp, stream, &json!({})).await;
    let mut payloads = Vec::new();
    for (jti, set) in polled.body["sets"].as_object().unwrap() {
        let set = idp.verify(set.as_str().unwrap(), rp).await;
        assert_eq!(set.event.event_type.name(), "verification");
        assert_eq!(set.sub_id.to_value(), json!({"format": "opaque", "id": stream}));
        payloads.push(set.event.to_payload());
        idp.poll(rp, stream, &json!({"ack": [jti], "maxEvents": 0})).await;
    }
    payloads
}

fn env(idp: &Idp) -> Env {
    Env { clock: Arc::<ManualClock>::clone(&idp.clock), random: Arc::new(SystemRandom) }
}

// SSF 1.0 §8.1.4.2: 204 empty; 429 with Retry-After only if the receiver is faster than min_verification_interval, per stream.
// §8.1.4.1: type, sub_id, state; allowed although not in events_delivered.
#[tokio::test]
async fn a_verification_echoes_its_state_and_is_limited_per_stream() {
    let idp = Idp::start().await;
    let rp = idp.add_client(NewClient { max_streams: 2, with_token: true, ..NewClient::receiver("rp", "rp") }).await;
    let (one, two) = (idp.poll_stream(&rp, &[]).await, idp.poll_stream(&rp, &["revalidate"]).await);
    let asked = verify(&idp, &rp, &one, json!("s1")).await;
    assert_eq!((asked.status, asked.body), (204, Value::Null));
    let too_fast = verify(&idp, &rp, &one, json!("s2")).await;
    assert_eq!((too_fast.status, too_fast.header("retry-after")), (429, "10"));
    assert_eq!(verify(&idp, &rp, &two, Value::Null).await.status, 204, "another stream has its own interval");
    idp.advance(Duration::from_millis(9_500));
    let too_fast = verify(&idp, &rp, &one, json!("s3")).await;
    assert_eq!((too_fast.status, too_fast.header("retry-after")), (429, "1"));
    idp.advance(Duration::from_millis(500));
    assert_eq!(verify(&idp, &rp, &one, json!("s4")).await.status, 204);
    idp.fan_out().await;
    assert_eq!(verified(&idp, &rp, &one).await, [json!({"state": "s1"})], "one after the other");
    assert_eq!(verified(&idp, &rp, &one).await, [json!({"state": "s4"})]);
    assert_eq!(verified(&idp, &rp, &two).await, [json!({})], "who gives no state gets none");
}

#[tokio::test]
async fn a_stream_without_an_interval_may_be_verified_as_often_as_its_receiver_likes() {
    let idp = Idp::start_with(&[("streams.min_verification_interval", "0s")]).await;
    let rp = idp.add_receiver("rp").await;
    let stream = idp.poll_stream(&rp, &[]).await;
    for n in 0..5 {
        assert_eq!(verify(&idp, &rp, &stream, json!(format!("s{n}"))).await.status, 204);
    }
}

// SSF 1.0 §8.1.4.2: 400, 401, 404; 403 as everywhere.
#[tokio::test]
async fn a_verification_that_cannot_be_asked_for_is_refused_and_costs_nothing() {
    let idp = Idp::start().await;
    let (rp, other, producer) =
        (idp.add_receiver("rp").await, idp.add_receiver("other").await, idp.add_producer().await);
    let (stream, theirs) = (idp.poll_stream(&rp, &[]).await, idp.poll_stream(&other, &[]).await);
    for (body, status) in [
        (json!({"stream_id": stream, "state": "x".repeat(1_025)}), 400),
        (json!({"stream_id": stream, "state": "a\0"}), 400),
        (json!({"stream_id": stream, "state": 1}), 400),
        (json!({"state": "s"}), 400),
        (json!([stream]), 400),
        (json!({"stream_id": theirs}), 404),
        (json!({"stream_id": "none"}), 404),
    ] {
        let reply = idp.post("/ssf/verify", &rp, &body).await;
        assert_eq!((reply.status, reply.header("cache-control")), (status, "no-store"), "{body}: {}", reply.body);
    }
    assert_eq!(idp.post("/ssf/verify", &producer, &json!({"stream_id": stream})).await.status, 403);
    assert_eq!(idp.send(Method::POST, "/ssf/verify", &[], "{").await.status, 401);
    let longest = "ü".repeat(512);
    assert_eq!(verify(&idp, &rp, &stream, json!(longest)).await.status, 204, "none of these used up the interval");
    idp.fan_out().await;
    assert_eq!(verified(&idp, &rp, &stream).await, [json!({"state": longest})]);
}

// SSF 1.0 §8.1.4, §8.1.2: nothing is sent while a stream is paused or disabled; paused holds, disabled drops.
#[tokio::test]
async fn a_verification_asked_for_of_a_paused_stream_is_held_and_of_a_disabled_one_dropped() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let stream = idp.poll_stream(&rp, &[]).await;
    let set = async |status: &str| idp.post("/ssf/status", &rp, &json!({"stream_id": stream, "status": status})).await;
    for (status, held) in [("paused", vec![json!({"state": "paused"})]), ("disabled", vec![])] {
        assert_eq!(set(status).await.status, 200);
        assert_eq!(verify(&idp, &rp, &stream, json!(status)).await.status, 204);
        assert_eq!(verify(&idp, &rp, &stream, json!(status)).await.status, 429, "it counts like any other");
        idp.fan_out().await;
        assert_eq!(idp.poll(&rp, &stream, &json!({})).await.body, json!({"sets": {}}));
        set("enabled").await;
        assert_eq!(verified(&idp, &rp, &stream).await, held, "{status}");
        idp.advance(Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_verification_granted_before_the_pause_is_held_and_one_before_the_end_discarded() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let stream = idp.poll_stream(&rp, &[]).await;
    let set = async |status: &str| idp.post("/ssf/status", &rp, &json!({"stream_id": stream, "status": status})).await;
    assert_eq!(verify(&idp, &rp, &stream, json!("held")).await.status, 204);
    set("paused").await;
    idp.fan_out().await;
    assert_eq!(idp.poll(&rp, &stream, &json!({})).await.body, json!({"sets": {}}));
    set("enabled").await;
    assert_eq!(verified(&idp, &rp, &stream).await, [json!({"state": "held"})]);
    idp.advance(Duration::from_secs(10));
    assert_eq!(verify(&idp, &rp, &stream, json!("gone")).await.status, 204);
    set("disabled").await;
    idp.fan_out().await;
    set("enabled").await;
    assert_eq!(idp.poll(&rp, &stream, &json!({})).await.body, json!({"sets": {}}));
}

// SSF 1.0 §8.1.4: a transmitter may send one at any time; it carries no state.
#[tokio::test]
async fn an_operator_may_verify_a_stream_and_only_one_such_event_waits() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    let env = env(&idp);
    let ask = async |stream: &str| {
        let (issuer, stream) = (&idp.transmitter.issuer, stream.parse().unwrap());
        admin::verify_stream(&idp.pool, issuer, stream, &Actor::CommandLine("me".into()), &env).await
    };
    assert!(matches!(ask(&stream).await, Ok(Unsolicited::Recorded(_))));
    assert!(matches!(ask(&stream).await, Ok(Unsolicited::StillWaiting)), "in the outbox");
    idp.fan_out().await;
    assert!(matches!(ask(&stream).await, Ok(Unsolicited::StillWaiting)), "among the deliveries");
    assert_eq!(verify(&idp, &rp, &stream, json!("mine")).await.status, 204, "it takes nothing from the receiver");
    idp.fan_out().await;
    assert_eq!(verified(&idp, &rp, &stream).await, [json!({})]);
    assert_eq!(verified(&idp, &rp, &stream).await, [json!({"state": "mine"})]);
    assert!(matches!(ask(&stream).await, Ok(Unsolicited::Recorded(_))));
    assert_eq!(idp.count("select count(*) from audit where action = 'stream.verified'").await, 2);
    idp.post("/ssf/status", &rp, &json!({"stream_id": stream, "status": "paused"})).await;
    assert!(matches!(ask(&stream).await, Ok(Unsolicited::NotEnabled(StreamStatus::Paused))));
    assert!(matches!(ask("018f0000-0000-4000-8000-000000000000").await, Err(StreamError::NotFound)));
}

#[tokio::test]
async fn a_heartbeat_goes_to_every_enabled_stream_and_does_not_pile_up() {
    let idp = Idp::start_with(&[("streams.verify_every", "1m")]).await;
    let twin = idp.twin().await;
    let sink = Sink::start().await;
    let (pusher, poller, away) =
        (idp.add_receiver("pusher").await, idp.add_receiver("poller").await, idp.add_receiver("away").await);
    idp.push_stream(&pusher, &sink.url, &[]).await;
    let stream = idp.poll_stream(&poller, &[]).await;
    let paused = idp.poll_stream(&away, &[]).await;
    idp.post("/ssf/status", &away, &json!({"stream_id": paused, "status": "paused"})).await;
    let beat = async || {
        let mut due = 0;
        for process in [&idp, &twin] {
            due += process.transmitter.heartbeat.tick().await.unwrap();
        }
        idp.drain().await;
        due
    };
    idp.advance(Duration::from_secs(59));
    assert_eq!(beat().await, 0);
    idp.advance(Duration::from_secs(1));
    assert_eq!(beat().await, 2, "each once, whatever process comes first");
    assert_eq!(beat().await, 0);
    for minute in 2..5 {
        idp.advance(Duration::from_mins(1));
        assert_eq!(beat().await, 2);
        assert_eq!(sink.requests().len(), minute);
    }
    assert!(sink.requests().iter().all(|set| set.claims()["events"] == json!({uri(): {}})));
    assert_eq!(verified(&idp, &poller, &stream).await, [json!({})], "the poller finds one");
    assert!(verified(&idp, &poller, &stream).await.is_empty());
    idp.advance(Duration::from_mins(1));
    beat().await;
    assert_eq!(verified(&idp, &poller, &stream).await, [json!({})], "and the next one after it");
}

fn uri() -> String {
    uris(&["verification"]).remove(0)
}

#[tokio::test]
async fn without_the_setting_there_is_no_heartbeat() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    idp.poll_stream(&rp, &[]).await;
    idp.advance(Duration::from_hours(24));
    assert_eq!(idp.transmitter.heartbeat.tick().await.unwrap(), 0);
    assert_eq!(idp.count("select count(*) from outbox").await, 0);
}
