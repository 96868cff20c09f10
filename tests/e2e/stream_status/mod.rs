//! Stories about a stream's status (SSF 1.0 §8.1.2): how it is set, read and refused. `held` is about what waits meanwhile,
//! `announced` about what a receiver hears of it, `inactivity` about one that gives no sign of life.

mod announced;
mod held;
mod inactivity;

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use ssf_common::clock::ManualClock;
use ssf_common::event::StreamStatus;
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, Reply, claims};
use ssf_harness::sink::Sink;
use ssf_transmitter::admin::{self, StreamError};
use ssf_transmitter::audit::{Actor, entries};

/// One stream, by push or by poll.
struct Scene {
    idp: Idp,
    rp: Party,
    producer: Party,
    sink: Sink,
    stream: String,
}

impl Scene {
    async fn push() -> Self {
        Self::start(&[], true).await
    }

    async fn poll() -> Self {
        Self::start(&[], false).await
    }

    async fn start(overrides: &[(&str, &str)], by_push: bool) -> Self {
        let idp = Idp::start_with(overrides).await;
        let (rp, producer, sink) = (idp.add_receiver("rp").await, idp.add_producer().await, Sink::start().await);
        let stream = if by_push {
            idp.push_stream(&rp, &sink.url, &["session-revoked"]).await
        } else {
            idp.poll_stream(&rp, &["session-revoked"]).await
        };
        Self { idp, rp, producer, sink, stream }
    }

    /// Revokes sessions and makes their deliveries.
    async fn revoke(&self, sessions: &[&str]) {
        for session in sessions {
            self.idp.revoke(&self.producer, session).await;
        }
        self.idp.fan_out().await;
    }

    /// The receiver sets the status.
    async fn set(&self, status: &str) -> Reply {
        let reply = self.idp.post("/ssf/status", &self.rp, &json!({"stream_id": self.stream, "status": status})).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply
    }

    /// An operator sets the status.
    async fn operate(&self, status: StreamStatus, reason: Option<&str>) {
        let (issuer, stream) = (&self.idp.transmitter.issuer, self.stream.parse().unwrap());
        let actor = Actor::Operator("on-call".into());
        admin::set_stream_status(&self.idp.pool, issuer, stream, status, reason, &actor, &env(&self.idp))
            .await
            .unwrap();
    }

    async fn status(&self) -> Value {
        self.idp.get(&format!("/ssf/status?stream_id={}", self.stream), &self.rp).await.body
    }

    /// What one poll hands out, in words; it is acknowledged.
    async fn polled(&self) -> Vec<String> {
        let reply = self.idp.poll(&self.rp, &self.stream, &json!({})).await;
        let sets = reply.body["sets"].as_object().unwrap_or_else(|| panic!("{}", reply.body));
        let mut said: Vec<String> = sets.values().map(|set| in_words(&claims(set.as_str().unwrap()))).collect();
        said.sort();
        let acked = json!({"ack": sets.keys().collect::<Vec<_>>(), "maxEvents": 0});
        self.idp.poll(&self.rp, &self.stream, &acked).await;
        said
    }

    /// Everything that was pushed, in words.
    fn pushed(&self) -> Vec<String> {
        self.sink.requests().iter().map(|request| in_words(&request.claims())).collect()
    }

    /// How often each outcome stands in the history, with its error code.
    async fn history(&self) -> Vec<(String, Option<String>, i64)> {
        let query = "select outcome, error_code, count(*) from delivery_history group by 1, 2 order by 1, 2";
        sqlx::query_as(query).fetch_all(&self.idp.pool).await.unwrap()
    }
}

/// The subject of a revocation, the status of an announcement.
fn in_words(claims: &Value) -> String {
    let (uri, event) = claims["events"].as_object().unwrap().iter().next().unwrap();
    let id = claims["sub_id"]["id"].as_str().unwrap();
    match uri.rsplit('/').next().unwrap() {
        "stream-updated" => format!("now {}", event["status"].as_str().unwrap()),
        "verification" => "verification".to_owned(),
        _ => id.to_owned(),
    }
}

fn env(idp: &Idp) -> Env {
    Env { clock: Arc::<ManualClock>::clone(&idp.clock), random: Arc::new(SystemRandom) }
}

fn outcome(outcome: &str, code: Option<&str>, count: i64) -> (String, Option<String>, i64) {
    (outcome.to_owned(), code.map(ToOwned::to_owned), count)
}

// SSF 1.0 §8.1.2.2: 200 with the same object; the present value is fine, and changes the reason.
#[tokio::test]
async fn a_receiver_sets_its_streams_status_and_reads_what_it_set() {
    let scene = Scene::poll().await;
    for body in [
        json!({"stream_id": scene.stream, "status": "paused", "reason": "maintenance"}),
        json!({"stream_id": scene.stream, "status": "paused", "reason": "still"}),
        json!({"stream_id": scene.stream, "status": "paused"}),
        json!({"stream_id": scene.stream, "status": "disabled", "reason": ""}),
        json!({"stream_id": scene.stream, "status": "enabled"}),
    ] {
        let reply = scene.idp.post("/ssf/status", &scene.rp, &body).await;
        assert_eq!((reply.status, reply.header("cache-control"), &reply.body), (200, "no-store", &body));
        assert_eq!(scene.status().await, body);
    }
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 0, "who did it is not told of it");
}

// SSF 1.0 §8.1.2.2: 400, 401, 403, 404.
#[tokio::test]
async fn a_status_that_cannot_be_set_is_refused_with_its_member_named() {
    let scene = Scene::poll().await;
    let other = scene.idp.add_receiver("other").await;
    let theirs = scene.idp.poll_stream(&other, &[]).await;
    let of = |status: Value, reason: Value| json!({"stream_id": scene.stream, "status": status, "reason": reason});
    for (body, status, start) in [
        (of(json!("Enabled"), Value::Null), 400, "status must be enabled, paused or disabled"),
        (of(json!("stopped\0"), Value::Null), 400, "status must be"),
        (of(json!(1), Value::Null), 400, "the member status"),
        (of(json!("paused"), json!("x".repeat(1_001))), 400, "reason is longer"),
        (of(json!("paused"), json!("a\0b")), 400, "reason is longer than 1000 characters or has a NUL"),
        (of(json!("paused"), json!({})), 400, "the member reason"),
        (json!({"status": "paused"}), 400, "the body lacks a member"),
        (json!({"stream_id": scene.stream}), 400, "the body lacks a member"),
        (json!([]), 400, "the body must be a JSON object"),
        (json!({"stream_id": theirs, "status": "paused"}), 404, "there is no such stream"),
        (json!({"stream_id": "none", "status": "paused"}), 404, "there is no such stream"),
    ] {
        let reply = scene.idp.post("/ssf/status", &scene.rp, &body).await;
        let said = reply.text("error_description");
        assert!(reply.status == status && said.starts_with(start), "{body}: {} {said}", reply.status);
        assert_eq!(reply.header("cache-control"), "no-store");
    }
    let garbage = scene.idp.send(Method::POST, "/ssf/status", &[("authorization", "Bearer wrong")], "{").await;
    assert_eq!(garbage.status, 401);
    assert_eq!(scene.idp.post("/ssf/status", &scene.producer, &json!({})).await.status, 403);
    assert_eq!(scene.status().await["status"], "enabled", "and nothing happened");
    assert_eq!(scene.idp.count("select count(*) from stream where status <> 'enabled'").await, 0);
}

#[tokio::test]
async fn an_operator_leaves_an_audit_entry_and_reaches_only_living_streams_of_the_issuer() {
    let scene = Scene::poll().await;
    let (pool, issuer, env) = (&scene.idp.pool, &scene.idp.transmitter.issuer, env(&scene.idp));
    scene.operate(StreamStatus::Paused, Some("why")).await;
    let last = entries(&mut pool.acquire().await.unwrap(), issuer.id, 0, 10).await.unwrap().pop().unwrap();
    assert_eq!(
        (last.actor.as_str(), last.action.as_str(), &last.target),
        ("operator:on-call", "stream.status_set", &scene.stream)
    );
    assert_eq!(last.details, r#"{"from":"enabled","to":"paused","reason":"why","discarded":0}"#);
    let set = async |stream: &str, reason: Option<&str>| {
        let stream = stream.parse().unwrap();
        let (status, actor) = (StreamStatus::Enabled, Actor::Service);
        admin::set_stream_status(pool, issuer, stream, status, reason, &actor, &env).await
    };
    let nobodys = "018f0000-0000-4000-8000-000000000000";
    assert!(matches!(set(nobodys, None).await, Err(StreamError::NotFound)));
    assert!(matches!(set(&scene.stream, Some("a\0")).await, Err(StreamError::Reason)));
    assert!(admin::remove_client(pool, issuer, &"rp".into(), &Actor::Service, &env).await.unwrap());
    assert!(matches!(set(&scene.stream, None).await, Err(StreamError::NotFound)), "its receiver is gone");
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 0, "with all that waited for it");
}
