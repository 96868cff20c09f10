//! Stories about push delivery (RFC 8935): what goes out, what each answer means, and that nothing is lost.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sqlx::Row as _;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, opaque, uris};
use ssf_harness::sink::{Answer, Sink};

/// One receiver on push that wants to hear of revoked sessions.
struct Scene {
    idp: Idp,
    rp: Party,
    producer: Party,
    sink: Sink,
    stream: String,
}

impl Scene {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(overrides: &[(&str, &str)]) -> Self {
        let idp = Idp::start_with(overrides).await;
        let (rp, producer, sink) = (idp.add_receiver("rp").await, idp.add_producer().await, Sink::start().await);
        let stream = idp.push_stream(&rp, &sink.url, &["session-revoked"]).await;
        Self { idp, rp, producer, sink, stream }
    }

    /// Revokes sessions and makes their deliveries.
    async fn revoke(&self, sessions: &[&str]) {
        for session in sessions {
            self.idp.revoke(&self.producer, session).await;
        }
        self.idp.fan_out().await;
    }

    /// What is unsettled, acknowledged, and dead.
    async fn standing(&self) -> [i64; 3] {
        [
            self.idp.count("select count(*) from delivery").await,
            self.idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await,
            self.idp.count("select count(*) from dead_letter").await,
        ]
    }
}

#[tokio::test]
async fn a_push_is_what_rfc_8935_says_and_its_set_what_ssf_says() {
    let scene = Scene::start().await;
    scene.idp.revoke(&scene.producer, "s1").await;
    scene.idp.advance(Duration::from_millis(900));
    scene.idp.drain().await;
    let [request] = scene.sink.requests().try_into().unwrap();
    assert_eq!(request.header("content-type"), Some("application/secevent+jwt"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("authorization"), None);
    let set = scene.idp.verify(&request.set, &scene.rp).await;
    assert_eq!(set.event.event_type.name(), "session-revoked");
    let mut claims = request.claims();
    assert!(claims["jti"].as_str().is_some_and(|jti| jti.len() == 36));
    assert!(claims["txn"].is_string());
    for born in ["jti", "txn"] {
        claims.as_object_mut().unwrap().remove(born);
    }
    let expected = json!({
        "iss": scene.idp.issuer,
        "aud": "https://rp.example",
        "iat": 1_795_000_001,
        "sub_id": opaque("s1"),
        "events": {uris(&["session-revoked"])[0].clone(): {
            "event_timestamp": 1_795_000_000,
            "reason_admin": {"en": "decided by the identity provider"},
        }},
        "ssf_timeline": {
            "occurred": 1_795_000_000_250.0,
            "recorded": 1_795_000_000_250.0,
            "fanned_out": 1_795_000_001_150.0,
            "taken": 1_795_000_001_150.0,
        },
    });
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn one_decision_has_one_txn_and_a_jti_per_stream_and_the_timeline_can_be_left_out() {
    let scene = Scene::start_with(&[("timeline.claim", "")]).await;
    let other = scene.idp.add_receiver("other").await;
    scene.idp.push_stream(&other, &scene.sink.url, &["session-revoked"]).await;
    scene.revoke(&["s1"]).await;
    scene.idp.drain().await;
    let [one, two] = scene.sink.requests().try_into().unwrap();
    let (one, two) = (one.claims(), two.claims());
    assert_eq!(one["txn"], two["txn"]);
    assert_ne!((&one["jti"], &one["aud"]), (&two["jti"], &two["aud"]));
    assert!(one.get("ssf_timeline").is_none());
}

#[tokio::test]
async fn a_retry_is_byte_for_byte_the_same_claims_after_an_error_and_after_a_silence() {
    let scene = Scene::start_with(&[("push.timeout", "300ms")]).await;
    scene.sink.next([Answer::status(503), Answer::status(202).after(Duration::from_secs(20)), Answer::status(500)]);
    scene.revoke(&["s1"]).await;
    for _ in 0..4 {
        scene.idp.advance(Duration::from_secs(10));
        assert_eq!(scene.idp.push_once().await, 1);
    }
    assert_eq!(signed_parts(&scene.sink).len(), 1, "header and claims never change");
    assert_eq!((scene.sink.requests().len(), scene.standing().await), (4, [0, 1, 0]));
}

#[tokio::test]
async fn when_a_lease_ends_another_process_sends_the_same_set_and_the_late_answer_changes_nothing() {
    let scene = Scene::start().await;
    let other = scene.idp.twin().await;
    scene.revoke(&["s1"]).await;
    scene.sink.hold();
    assert_eq!(scene.idp.transmitter.push.tick().await.unwrap(), 1);
    scene.sink.arrivals(1).await;
    assert_eq!(other.transmitter.push.tick().await.unwrap(), 0, "leased");
    scene.idp.advance(Duration::from_secs(29));
    assert_eq!(other.transmitter.push.tick().await.unwrap(), 0, "still leased");
    scene.idp.advance(Duration::from_secs(1));
    assert_eq!(other.transmitter.push.tick().await.unwrap(), 1, "the lease is over");
    scene.sink.arrivals(2).await;
    scene.sink.release();
    other.transmitter.push.idle().await;
    scene.idp.transmitter.push.idle().await;
    assert_eq!(signed_parts(&scene.sink).len(), 1);
    assert_eq!(scene.standing().await, [0, 1, 0]);
    assert_eq!(scene.idp.count("select count(*) from delivery_history").await, 1);
}

/// The distinct signed parts (header and payload) of what arrived.
fn signed_parts(sink: &Sink) -> std::collections::HashSet<String> {
    sink.requests().iter().map(|request| request.set.rsplit_once('.').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn an_acknowledgement_settles_whichever_of_its_three_statuses_it_has() {
    let scene = Scene::start().await;
    scene.sink.next([Answer::status(202), Answer::status(200), Answer::status(204)]);
    scene.revoke(&["s1", "s2", "s3"]).await;
    scene.idp.drain().await;
    assert_eq!((scene.sink.requests().len(), scene.standing().await), (3, [0, 3, 0]));
}

#[tokio::test]
async fn a_refused_set_is_a_dead_letter_with_its_code_and_the_stream_goes_on() {
    let scene = Scene::start().await;
    let codes = ["invalid_request", "invalid_state", "something_new"];
    scene.sink.next(codes.map(Answer::refusal));
    scene.revoke(&["s1", "s2", "s3", "s1"]).await;
    scene.idp.drain().await;
    assert_eq!((scene.sink.requests().len(), scene.standing().await), (4, [0, 1, 3]));
    let rows =
        sqlx::query("select error_code, error, subject, payload, txn, id::text from dead_letter order by error_code");
    let rows = rows.fetch_all(&scene.idp.pool).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>(), codes);
    let sent = scene.sink.requests();
    for row in rows {
        let sent = sent.iter().find(|request| request.jti() == row.get::<String, _>(5)).unwrap().claims();
        assert_eq!(row.get::<String, _>(1), "said the sink");
        assert_eq!((&row.get::<Value, _>(2), &json!(row.get::<String, _>(4))), (&sent["sub_id"], &sent["txn"]));
        assert_eq!(row.get::<Value, _>(3), sent["events"][&uris(&["session-revoked"])[0]]);
    }
    assert_eq!(scene.idp.count("select failures::bigint from stream_health").await, 0, "who refuses is alive");
}

#[tokio::test]
async fn trouble_of_the_stream_costs_no_set_and_is_probed_by_one() {
    let answers = [
        Answer::refusal("authentication_failed"),
        Answer::refusal("invalid_key"),
        Answer::refusal("invalid_audience"),
        Answer::status(400),
        Answer::status(401),
        Answer::status(403),
        Answer::status(404),
        Answer::status(503),
    ];
    for answer in answers {
        let scene = Scene::start().await;
        let bad = answer.clone();
        scene.sink.script(move |_| bad.clone());
        let sessions: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
        scene.revoke(&sessions.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!(scene.idp.push_once().await, 16, "a whole window fails at once: {answer:?}");
        assert_eq!(scene.idp.push_once().await, 0, "the breaker is open");
        scene.idp.advance(Duration::from_millis(249));
        assert_eq!(scene.idp.push_once().await, 0, "no delay is shorter than half its step");
        scene.idp.advance(Duration::from_millis(251));
        assert_eq!(scene.idp.transmitter.push.tick().await.unwrap(), 1, "one probes");
        assert_eq!(scene.idp.transmitter.push.tick().await.unwrap(), 0, "and no other meanwhile");
        scene.idp.transmitter.push.idle().await;
        scene.idp.advance(Duration::from_millis(499));
        assert_eq!(scene.idp.push_once().await, 0, "the next delay is longer");
        assert_eq!(scene.standing().await, [20, 0, 0]);
        scene.sink.script(|_| Answer::status(202));
        scene.idp.advance(Duration::from_millis(501));
        assert_eq!(scene.idp.push_once().await, 1);
        scene.idp.drain().await;
        assert_eq!(scene.standing().await, [0, 20, 0], "what passes once lets all through");
    }
}

#[tokio::test]
async fn retry_after_is_honoured_up_to_the_ceiling() {
    for (asked, waits_s) in [("7", 7), ("86400", 10)] {
        let scene = Scene::start().await;
        scene.sink.next([Answer::status(503).with("retry-after", asked)]);
        scene.revoke(&["s1"]).await;
        scene.idp.drain().await;
        scene.idp.advance(Duration::from_millis(waits_s * 1_000 - 1));
        assert_eq!(scene.idp.push_once().await, 0, "{asked}");
        scene.idp.advance(Duration::from_millis(1));
        assert_eq!((scene.idp.push_once().await, scene.standing().await), (1, [0, 1, 0]), "{asked}");
    }
}

#[tokio::test]
async fn a_redirect_is_trouble_and_nobody_else_gets_the_set() {
    let scene = Scene::start().await;
    let elsewhere = Sink::start().await;
    let redirects = [301, 302, 303, 307, 308].map(|status| Answer::status(status).with("location", &elsewhere.url));
    scene.sink.next(redirects);
    scene.revoke(&["s1"]).await;
    for _ in 0..6 {
        scene.idp.drain().await;
        scene.idp.advance(Duration::from_secs(10));
    }
    assert_eq!((scene.sink.requests().len(), elsewhere.requests().len()), (6, 0));
    assert_eq!(scene.standing().await, [0, 1, 0]);
}

#[tokio::test]
async fn a_receiver_that_never_answers_holds_up_nobody_else() {
    let scene = Scene::start_with(&[("push.max_in_flight", "40")]).await;
    let (gone, living) = (scene.idp.add_receiver("gone").await, Sink::start().await);
    let other = scene.idp.add_receiver("other").await;
    scene.idp.push_stream(&gone, "http://127.0.0.1:1/push", &["session-revoked"]).await;
    scene.idp.push_stream(&other, &living.url, &["session-revoked"]).await;
    scene.sink.hold();
    let sessions: Vec<String> = (0..40).map(|n| format!("s{n}")).collect();
    let batch: Vec<Value> = sessions.iter().map(|s| json!({"type": "session-revoked", "subject": opaque(s)})).collect();
    assert_eq!(scene.idp.post("/events", &scene.producer, &json!(batch)).await.status, 202);
    scene.idp.fan_out().await;
    let all_arrive = async {
        while living.requests().len() < 40 {
            scene.idp.transmitter.push.tick().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all_arrive).await.expect("the living receiver is served");
    assert!(scene.sink.requests().len() <= 16, "the silent one has its window and no more");
    scene.sink.release();
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().len(), 40);
}

#[tokio::test]
async fn what_nobody_took_within_the_retention_is_a_dead_letter_and_not_forgotten() {
    let scene = Scene::start_with(&[("delivery.retention", "1h")]).await;
    scene.sink.script(|_| Answer::status(503));
    let event_id = scene.idp.revoke(&scene.producer, "old").await;
    scene.idp.drain().await;
    scene.idp.advance(Duration::from_mins(30));
    scene.revoke(&["young"]).await;
    scene.idp.advance(Duration::from_secs(30 * 60 + 1));
    assert_eq!(scene.idp.transmitter.maintenance.tick().await.unwrap(), 1);
    assert_eq!(scene.idp.transmitter.maintenance.tick().await.unwrap(), 0);
    assert_eq!(scene.standing().await, [1, 0, 1]);
    let row = sqlx::query("select error_code, error, subject ->> 'id' from dead_letter")
        .fetch_one(&scene.idp.pool)
        .await
        .unwrap();
    let row: [String; 3] = [0, 1, 2].map(|at| row.get(at));
    assert_eq!(row, ["expired", "the receiver answered HTTP 503", "old"]);
    let progress = scene.idp.progress(&scene.producer, &event_id).await;
    assert_eq!((&progress["refused"], &progress["slowest"]["error"]), (&json!(1), &json!("expired")));
}

#[tokio::test]
async fn a_paused_stream_holds_in_order_and_a_disabled_one_gets_nothing() {
    let scene = Scene::start().await;
    scene.idp.execute("update stream set status = 'paused'").await;
    scene.revoke(&["a", "a", "b"]).await;
    scene.idp.drain().await;
    assert_eq!((scene.sink.requests().len(), scene.standing().await), (0, [3, 0, 0]));
    scene.idp.execute("update stream set status = 'enabled'").await;
    scene.idp.drain().await;
    assert_eq!(scene.sink.subjects().iter().filter(|subject| *subject == "a").count(), 2);
    assert_eq!(scene.standing().await, [0, 3, 0]);
    scene.idp.execute("update stream set status = 'disabled'").await;
    scene.revoke(&["c"]).await;
    scene.idp.execute("update stream set status = 'enabled'").await;
    scene.idp.drain().await;
    assert_eq!((scene.sink.requests().len(), scene.standing().await), (3, [0, 3, 0]));
}

#[tokio::test]
async fn what_waits_for_a_deleted_stream_is_recorded_as_discarded() {
    let scene = Scene::start().await;
    scene.sink.script(|_| Answer::status(503));
    let tried = scene.idp.revoke(&scene.producer, "tried").await;
    scene.idp.drain().await;
    let waiting = scene.idp.revoke(&scene.producer, "waiting").await;
    scene.idp.fan_out().await;
    delete_stream(&scene.idp, &scene.rp, &scene.stream).await;
    assert_eq!(scene.standing().await, [0, 0, 0]);
    for (event_id, attempts) in [(tried, 1), (waiting, 0)] {
        let progress = scene.idp.progress(&scene.producer, &event_id).await;
        assert_eq!((&progress["pending"], &progress["refused"]), (&json!(0), &json!(1)));
        let expected = json!({"stream_id": scene.stream, "ms": 0.0, "pending": false, "attempts": attempts, "error": "stream_deleted"});
        assert_eq!(progress["slowest"], expected);
    }
}

#[tokio::test]
async fn an_answer_that_races_with_the_deletion_of_its_stream_is_settled_once() {
    let scene = Scene::start().await;
    scene.revoke(&["s1"]).await;
    delete_stream_while(&scene, "delete from delivery").await;
    assert_eq!(scene.idp.count("select count(*) from delivery_history").await, 0, "it was somebody else's to settle");
}

#[tokio::test]
async fn a_delivery_made_during_the_deletion_of_its_stream_is_recorded_as_discarded_too() {
    let scene = Scene::start().await;
    scene.revoke(&["s1"]).await;
    let columns =
        "issuer_id, stream_id, event_id, recorded_at, event_type, order_key, lane, due_at, occurred_at, fanned_out_at";
    let one_more = format!("insert into delivery (id, {columns}) select gen_random_uuid(), {columns} from delivery");
    delete_stream_while(&scene, &one_more).await;
    assert_eq!(scene.idp.count("select count(*) from delivery_history where outcome = 'discarded'").await, 2);
}

/// Deletes the stream while another transaction has done `statement` and commits only once the deletion waits for it.
async fn delete_stream_while(scene: &Scene, statement: &str) {
    let mut other = scene.idp.pool.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut *other).await.unwrap();
    let commit = async {
        scene.idp.until_blocked(1).await;
        other.commit().await.unwrap();
    };
    tokio::join!(delete_stream(&scene.idp, &scene.rp, &scene.stream), commit);
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 0);
}

async fn delete_stream(idp: &Idp, rp: &Party, stream: &str) {
    let gone = idp.call(Method::DELETE, &format!("/ssf/streams?stream_id={stream}"), &rp.token, None).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
}
