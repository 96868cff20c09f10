//! Stories about a stream's status (SSF 1.0 §8.1.2) and its announcement (§8.1.5).

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_common::clock::ManualClock;
use ssf_common::event::StreamStatus;
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Env;
use ssf_common::runtime::shutdown::Shutdown;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, Reply, claims};
use ssf_harness::sink::{Answer, Sink};
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
        (of(json!(1), Value::Null), 400, "the body's members"),
        (of(json!("paused"), json!("x".repeat(1_001))), 400, "reason is longer"),
        (of(json!("paused"), json!("a\0b")), 400, "reason is longer than 1000 characters or has a NUL"),
        (of(json!("paused"), json!({})), 400, "the body's members"),
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

// SSF 1.0 §8.1.2: paused holds; on enabled what was held goes out in generation order per subject.
#[tokio::test]
async fn a_paused_push_stream_lets_the_wire_finish_holds_the_rest_and_sends_it_in_order_once_enabled() {
    let scene = Scene::push().await;
    scene.sink.hold();
    scene.revoke(&["on the wire"]).await;
    assert_eq!(scene.idp.transmitter.push.tick().await.unwrap(), 1);
    scene.sink.arrivals(1).await;
    scene.set("paused").await;
    scene.sink.release();
    scene.revoke(&["a", "b"]).await;
    scene.idp.drain().await;
    assert_eq!(scene.history().await, [outcome("acknowledged", None, 1)]);
    let urgent_first = json!({"type": "session-revoked", "lane": "bulk", "subject": {"format": "opaque", "id": "c"}});
    scene.idp.emit(&scene.producer, &urgent_first).await;
    scene.revoke(&["a", "c"]).await;
    scene.idp.advance(Duration::from_hours(3));
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["on the wire"]);
    scene.set("enabled").await;
    scene.idp.drain().await;
    let sent = scene.sink.requests().split_off(1);
    for subject in ["a", "b", "c"] {
        let iats: Vec<_> =
            sent.iter().filter(|set| set.subject() == subject).map(|set| set.claims()["txn"].clone()).collect();
        let recorded: Vec<String> =
            sqlx::query_scalar("select txn from event where subject ->> 'id' = $1 order by seq")
                .bind(subject)
                .fetch_all(&scene.idp.pool)
                .await
                .unwrap();
        assert_eq!(json!(iats), json!(recorded), "{subject}");
    }
    assert_eq!(scene.history().await, [outcome("acknowledged", None, 6)]);
}

// SSF 1.0 §8.1.2: the same over poll, and a poll that waits elsewhere hears of it at once.
#[tokio::test]
async fn a_long_poll_at_another_process_ends_when_its_paused_stream_is_enabled() {
    let scene = Scene::poll().await;
    scene.set("paused").await;
    scene.revoke(&["a", "a", "b"]).await;
    assert_eq!(scene.polled().await, [""; 0]);
    let twin = scene.idp.twin().await;
    let shutdown = Shutdown::default();
    twin.transmitter.spawn_workers(&shutdown);
    scene.idp.advance(Duration::from_secs(1));
    let waits = json!({"returnImmediately": false});
    let (polled, ()) = tokio::join!(twin.poll(&scene.rp, &scene.stream, &waits), async {
        while scene.idp.count("select count(*) from stream where last_activity_at > updated_at").await == 0 {
            tokio::task::yield_now().await;
        }
        scene.set("enabled").await;
    });
    assert_eq!(polled.body["sets"].as_object().unwrap().len(), 2, "each subject's first: {}", polled.body);
    shutdown.begin();
    shutdown.wait().await;
}

// SSF 1.0 §8.1.2: disabled neither transmits nor holds.
#[tokio::test]
async fn a_disabled_stream_discards_what_waits_and_what_comes() {
    for (scene, by_push) in [(Scene::push().await, true), (Scene::poll().await, false)] {
        scene.revoke(&["a", "b"]).await;
        scene.set("disabled").await;
        assert_eq!(scene.history().await, [outcome("discarded", Some("stream_disabled"), 2)]);
        scene.revoke(&["c"]).await;
        scene.set("enabled").await;
        scene.idp.drain().await;
        scene.revoke(&["d"]).await;
        scene.idp.drain().await;
        assert_eq!(if by_push { scene.pushed() } else { scene.polled().await }, ["d"]);
    }
}

#[tokio::test]
async fn what_is_on_the_wire_when_its_stream_is_disabled_settles_itself_or_is_discarded() {
    let scene = Scene::push().await;
    scene.sink.next([Answer::status(202), Answer::status(503)]);
    scene.sink.hold();
    for session in ["taken", "not taken"] {
        scene.revoke(&[session]).await;
        scene.idp.transmitter.push.tick().await.unwrap();
        scene.sink.arrivals(if session == "taken" { 1 } else { 2 }).await;
    }
    scene.set("disabled").await;
    scene.sink.release();
    scene.idp.transmitter.push.idle().await;
    assert_eq!(scene.history().await, [outcome("acknowledged", None, 1)], "it was sent, whatever came after");
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    let expected = [outcome("acknowledged", None, 1), outcome("discarded", Some("stream_disabled"), 1)];
    assert_eq!(scene.history().await, expected);
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 0);
}

#[tokio::test]
async fn what_came_back_to_a_disabled_stream_is_not_sent_when_it_is_enabled_again() {
    let scene = Scene::push().await;
    scene.sink.next([Answer::status(503)]);
    scene.sink.hold();
    scene.revoke(&["old"]).await;
    scene.idp.transmitter.push.tick().await.unwrap();
    scene.sink.arrivals(1).await;
    scene.set("disabled").await;
    scene.sink.release();
    scene.idp.transmitter.push.idle().await;
    scene.set("enabled").await;
    scene.idp.advance(Duration::from_mins(1));
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().len(), 1);
    assert_eq!(scene.history().await, [outcome("discarded", Some("stream_disabled"), 1)]);
}

#[tokio::test]
async fn a_delivery_that_a_fan_out_is_making_while_its_stream_is_disabled_is_discarded_too() {
    let scene = Scene::poll().await;
    scene.revoke(&["a"]).await;
    let mut fan_out = scene.idp.pool.begin().await.unwrap();
    let columns =
        "issuer_id, stream_id, event_id, recorded_at, event_type, order_key, lane, due_at, occurred_at, fanned_out_at";
    let as_it_does = format!(
        "select pg_advisory_xact_lock(hashtext('ssf_transmitter.fan_out'), hashtext(current_schema));
         insert into delivery (id, {columns}) select gen_random_uuid(), {columns} from delivery"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(as_it_does)).execute(&mut *fan_out).await.unwrap();
    let commit = async {
        scene.idp.until_blocked(1).await;
        fan_out.commit().await.unwrap();
    };
    tokio::join!(scene.set("disabled"), commit);
    assert_eq!(scene.history().await, [outcome("discarded", Some("stream_disabled"), 2)]);
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 0);
}

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
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 0, "with all that waited for it");
}

// CAEP interop: the limits on held events are documented and visible; ours is `delivery.retention`.
#[tokio::test]
async fn what_a_paused_stream_holds_longer_than_the_retention_is_a_dead_letter_that_says_so() {
    let scene = Scene::start(&[("delivery.retention", "1h")], true).await;
    scene.set("paused").await;
    scene.revoke(&["old"]).await;
    scene.idp.advance(Duration::from_mins(59));
    scene.revoke(&["young"]).await;
    assert_eq!(scene.idp.transmitter.maintenance.tick().await.unwrap(), 0);
    scene.idp.advance(Duration::from_mins(2));
    assert_eq!(scene.idp.transmitter.maintenance.tick().await.unwrap(), 1);
    let dead: Vec<(String, String, String)> =
        sqlx::query_as("select subject ->> 'id', error_code, error from dead_letter")
            .fetch_all(&scene.idp.pool)
            .await
            .unwrap();
    assert_eq!(dead, [("old".to_owned(), "expired".to_owned(), "held by a paused stream".to_owned())]);
    scene.set("enabled").await;
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["young"]);
    assert_eq!(scene.history().await, [outcome("acknowledged", None, 1), outcome("expired", Some("expired"), 1)]);
}

/// A stream that may be inactive for a minute.
async fn idle(by_push: bool) -> Scene {
    Scene::start(&[("streams.inactivity_timeout", "1m")], by_push).await
}

// SSF 1.0 §8.1.1 (inactivity_timeout), §8.1.5: paused and announced; only the receiver's own word enables it again.
#[tokio::test]
async fn a_stream_without_a_sign_of_life_is_paused_once_and_its_receiver_told() {
    let scene = idle(true).await;
    let configured = scene.idp.get(&format!("/ssf/streams?stream_id={}", scene.stream), &scene.rp).await;
    assert_eq!(configured.body["inactivity_timeout"], 60);
    let twin = scene.idp.twin().await;
    scene.idp.advance(Duration::from_secs(59));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0);
    scene.idp.advance(Duration::from_secs(1));
    let (one, two) =
        tokio::join!(scene.idp.transmitter.inactivity.tick(), async { twin.transmitter.inactivity.tick().await });
    assert_eq!(one.unwrap() + two.unwrap(), 1, "whichever process comes first");
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0);
    scene.revoke(&["a"]).await;
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["now paused"]);
    assert_eq!(
        scene.idp.verify(&scene.sink.requests()[0].set, &scene.rp).await.event.to_payload()["reason"],
        "inactive"
    );
    let audited =
        entries(&mut scene.idp.pool.acquire().await.unwrap(), scene.idp.transmitter.issuer.id, 0, 10).await.unwrap();
    assert_eq!(
        audited.last().map(|entry| (entry.actor.as_str(), entry.action.as_str())),
        Some(("service", "stream.status_set"))
    );

    assert_eq!(scene.status().await["status"], "paused", "a sign of life is not a wish");
    scene.idp.transmitter.inactivity.tick().await.unwrap();
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["now paused"]);
    scene.set("enabled").await;
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["now paused", "a"]);
    scene.idp.advance(Duration::from_secs(59));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0, "the time begins anew");
}

#[tokio::test]
async fn management_calls_and_polls_are_signs_of_life_and_deliveries_are_not() {
    let scene = idle(false).await;
    let at = format!("/ssf/streams?stream_id={}", scene.stream);
    let of = json!({"stream_id": scene.stream});
    for call in 0..6 {
        scene.idp.advance(Duration::from_secs(59));
        let reply = match call {
            0 => scene.idp.get("/ssf/streams", &scene.rp).await,
            1 => scene.idp.get(&at, &scene.rp).await,
            2 => scene.idp.poll(&scene.rp, &scene.stream, &json!({})).await,
            3 => scene.idp.post("/ssf/verify", &scene.rp, &of).await,
            4 => scene.idp.call(Method::PATCH, "/ssf/streams", &scene.rp.token, Some(&of)).await,
            _ => scene.idp.get(&format!("/ssf/status?stream_id={}", scene.stream), &scene.rp).await,
        };
        assert!(reply.status < 300, "{call}: {}", reply.body);
        scene.idp.advance(Duration::from_secs(1));
        assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0, "{call}");
    }
    let scene = idle(true).await;
    scene.idp.advance(Duration::from_secs(59));
    scene.revoke(&["a"]).await;
    scene.idp.drain().await;
    scene.idp.advance(Duration::from_secs(1));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 1);
}

#[tokio::test]
async fn a_stream_that_an_operator_enables_is_not_paused_again_at_once() {
    let scene = idle(true).await;
    scene.idp.advance(Duration::from_mins(1));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 1);
    scene.operate(StreamStatus::Enabled, None).await;
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0);
    scene.idp.advance(Duration::from_mins(1));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 1);
}

#[tokio::test]
async fn a_stream_without_a_timeout_is_never_paused() {
    let scene = Scene::poll().await;
    scene.idp.advance(Duration::from_hours(24 * 365));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0);
}
