//! Stories about the producer's door: `POST /events`, and following an event.

use std::collections::HashSet;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sqlx::Row as _;
use ssf_harness::idp::{Idp, Party, Reply, opaque, uris};
use ssf_harness::sink::{Answer, Sink};

#[tokio::test]
async fn a_decision_is_answered_with_its_id_once_it_is_recorded_in_full() {
    let idp = Idp::start().await;
    let producer = idp.add_producer().await;
    let event = json!({
        "type": "credential-change",
        "subject": {"format": "email", "email": "jane@example.com"},
        "occurred_at": "2026-11-18T00:26:00.500Z",
        "txn": "case 7",
        "lane": "bulk",
        "credential_type": "password",
        "change_type": "update",
        "friendly_name": "the old one",
        "our_own": {"kept": [1, 2]},
    });
    let reply = idp.post("/events", &producer, &event).await;
    assert_eq!((reply.status, reply.text("txn")), (202, "case 7"));
    let row = sqlx::query(
        "select event_id::text, event_type, subject, lane, txn, payload, checked, stream_id is null, occurred_at::text, recorded_at::text from outbox",
    );
    let row = row.fetch_one(&idp.pool).await.unwrap();
    assert_eq!(row.get::<String, _>(0), reply.text("event_id"));
    assert_eq!(row.get::<String, _>(1), uris(&["credential-change"])[0]);
    assert_eq!(row.get::<Value, _>(2), event["subject"]);
    assert_eq!((row.get::<i16, _>(3), row.get::<String, _>(4)), (2, "case 7".to_owned()));
    let payload = json!({
        "credential_type": "password",
        "change_type": "update",
        "friendly_name": "the old one",
        "our_own": {"kept": [1, 2]},
        "event_timestamp": 1_794_961_560,
        "reason_admin": {"en": "decided by the identity provider"},
    });
    assert_eq!(row.get::<Value, _>(5), payload);
    assert!(row.get::<bool, _>(6) && row.get::<bool, _>(7));
    assert!(row.get::<String, _>(8).starts_with("2026-11-18 00:26:00.5"), "{}", row.get::<String, _>(8));
    assert!(row.get::<String, _>(9).starts_with("2026-11-18 11:06:40.25"), "{}", row.get::<String, _>(9));
}

#[tokio::test]
async fn one_an_array_and_lines_are_three_ways_to_say_the_same() {
    let idp = Idp::start().await;
    let producer = idp.add_producer().await;
    let events: Vec<Value> =
        (0..3).map(|n| json!({"type": "session-revoked", "subject": opaque(&format!("s{n}"))})).collect();
    let one = idp.post("/events", &producer, &events[0]).await;
    assert!(one.body["event_id"].is_string() && one.body.get("events").is_none());
    let array = idp.post("/events", &producer, &json!(events)).await;
    let array_of_one = idp.post("/events", &producer, &json!(events[..1])).await;
    let lines = events.iter().map(Value::to_string).collect::<Vec<_>>().join("\r\n\n");
    let lines = send(&idp, &producer, &[("content-type", "application/x-ndjson; charset=utf-8")], lines).await;
    for (reply, count) in [(&array, 3), (&array_of_one, 1), (&lines, 3)] {
        assert_eq!((reply.status, reply.body["events"].as_array().unwrap().len()), (202, count), "{}", reply.body);
    }
    let recorded: Vec<String> =
        sqlx::query_scalar("select subject ->> 'id' from outbox order by seq").fetch_all(&idp.pool).await.unwrap();
    assert_eq!(recorded, ["s0", "s0", "s1", "s2", "s0", "s0", "s1", "s2"], "in the producer's order");
    let ids: HashSet<&str> = [&array, &lines].iter().flat_map(|reply| ids(reply)).collect();
    assert_eq!(ids.len(), 6);
}

fn ids(reply: &Reply) -> Vec<&str> {
    reply.body["events"].as_array().unwrap().iter().map(|event| event["event_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_batch_is_recorded_whole_or_not_at_all_and_the_answer_names_the_place() {
    let idp = Idp::start().await;
    let producer = idp.add_producer().await;
    let good = json!({"type": "session-revoked", "subject": opaque("s")});
    let bad = json!({"type": "session-revoked", "subject": {"format": "email", "email": "nobody"}});
    let array = idp.post("/events", &producer, &json!([good, bad, good])).await;
    assert_eq!(array.status, 400);
    assert!(array.text("error_description").starts_with("event 2 of the batch: `subject`"), "{}", array.body);
    let lines = format!("{good}\n\n{good}\nnot json\n");
    let lines = send(&idp, &producer, &[("content-type", "application/x-ndjson")], lines).await;
    assert_eq!(lines.status, 400);
    assert!(lines.text("error_description").starts_with("line 3 "), "{}", lines.body);
    for nothing in ["[]", "", "null", "7", "\"text\"", "{", "[{}]"] {
        assert_eq!(send(&idp, &producer, &[], nothing.to_owned()).await.status, 400, "{nothing}");
    }
    assert_eq!(send(&idp, &producer, &[("content-type", "application/x-ndjson")], "\n\n".to_owned()).await.status, 400);
    assert_eq!(idp.count("select count(*) from outbox").await, 0);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_a_batch_beyond_it_too() {
    let idp = Idp::start_with(&[("server.max_body_bytes", "200000")]).await;
    let producer = idp.add_producer().await;
    assert_eq!(send(&idp, &producer, &[], " ".repeat(200_001)).await.status, 413);
    let wide = json!({"type": "session-revoked", "subject": opaque(&"x".repeat(5_000))});
    assert_eq!(idp.post("/events", &producer, &wide).await.status, 400);
    assert_eq!(idp.count("select count(*) from outbox").await, 0);
}

#[tokio::test]
async fn an_error_names_the_member_and_never_quotes_a_value() {
    let idp = Idp::start().await;
    let producer = idp.add_producer().await;
    let event = |more: Value| {
        let mut event = json!({"type": "session-revoked", "subject": opaque("s")});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let refused = [
        (event(json!({"type": "hunter2"})), "type"),
        (event(json!({"type": "verification", "state": "hunter2"})), "type"),
        (event(json!({"type": "stream-updated", "status": "hunter2"})), "type"),
        (event(json!({"subject": {"format": "email", "email": "hunter2"}})), "email"),
        (event(json!({"subject": {"format": "opaque", "id": "hunter2\0"}})), "id"),
        (event(json!({"subject": "hunter2"})), "subject"),
        (event(json!({"occurred_at": "hunter2"})), "occurred_at"),
        (event(json!({"occurred_at": 1_795_000_061_i64})), "occurred_at"),
        (event(json!({"lane": "hunter2"})), "lane"),
        (event(json!({"txn": "hunter2 \u{e9}"})), "txn"),
        (event(json!({"txn": "x".repeat(256)})), "txn"),
        (event(json!({"reason_admin": {"en": ["hunter2"]}})), "reason_admin"),
        (event(json!({"initiating_entity": "hunter2"})), "initiating_entity"),
        (event(json!({"event_timestamp": "hunter2"})), "event_timestamp"),
        (event(json!({"our_own": "hunter2\0"})), "event"),
        (
            event(json!({"type": "credential-change", "credential_type": "password", "change_type": "hunter2"})),
            "change_type",
        ),
        (event(json!({"type": "credential-change", "change_type": "update"})), "credential_type"),
        (json!({"type": "hunter2"}), "subject"),
        (json!({"subject": opaque("hunter2")}), "type"),
    ];
    for (body, member) in refused {
        let reply = idp.post("/events", &producer, &body).await;
        let said = reply.text("error_description");
        assert!(reply.status == 400 && said.contains(member), "{body}: {} {said}", reply.status);
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert_eq!(idp.count("select count(*) from outbox").await, 0);
}

#[tokio::test]
async fn bodies_are_objects_and_a_wrong_member_is_named() {
    let idp = Idp::start().await;
    let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    assert_eq!(idp.post("/ssf/streams", &rp, &json!([])).await.status, 400);
    assert_eq!(idp.post("/ssf/verify", &rp, &json!(["s", null])).await.status, 400);
    for (member, value) in [("lane", json!("fast")), ("occurred_at", json!(-1)), ("txn", json!(7))] {
        let mut event = json!({"type": "session-revoked", "subject": opaque("s")});
        event[member] = value;
        let reply = idp.post("/events", &producer, &event).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text("error_description").contains(&format!("`{member}`")), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_time_that_no_calendar_has_is_refused_and_harms_nobody_else() {
    let idp = Idp::start().await;
    let producer = idp.add_producer().await;
    for at in [json!(-99_999_999_999_999_i64), json!(-1e300), json!(i64::MIN), json!("-4800-01-01T00:00:00Z")] {
        for member in ["occurred_at", "event_timestamp"] {
            let reply = idp
                .post("/events", &producer, &json!({"type": "session-revoked", "subject": opaque("s"), member: at}))
                .await;
            assert_eq!(reply.status, 400, "{member} {at}");
        }
    }
    let old = json!({"type": "session-revoked", "subject": opaque("s"), "occurred_at": "1970-01-01T00:00:00Z"});
    assert_eq!(idp.post("/events", &producer, &old).await.status, 202);
}

#[tokio::test]
async fn only_a_producer_may_hand_in_and_follow() {
    let idp = Idp::start().await;
    let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    let event = json!({"type": "session-revoked", "subject": opaque("s")});
    assert_eq!(idp.post("/events", &rp, &event).await.status, 403);
    assert_eq!(idp.send(Method::POST, "/events", &[], event.to_string()).await.status, 401);
    let event_id = idp.emit(&producer, &event).await;
    assert_eq!(idp.get(&format!("/events/{event_id}"), &rp).await.status, 403);
    for unknown in ["018f0000-0000-7000-8000-000000000000", "garbage"] {
        assert_eq!(idp.get(&format!("/events/{unknown}"), &producer).await.status, 404);
    }
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_and_one_event() {
    let idp = Idp::start().await;
    let producer = idp.add_producer().await;
    let event = json!({"type": "session-revoked", "subject": opaque("s")}).to_string();
    let first = send(&idp, &producer, &[("idempotency-key", "k1")], event.clone()).await;
    let again = send(&idp, &producer, &[("idempotency-key", "k1")], event.clone()).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    let other = json!({"type": "session-revoked", "subject": opaque("another")}).to_string();
    let conflict = send(&idp, &producer, &[("idempotency-key", "k1")], other.clone()).await;
    assert_eq!((conflict.status, conflict.text("error")), (409, "conflict"));
    let another_key = send(&idp, &producer, &[("idempotency-key", "k2")], event.clone()).await;
    assert_ne!(another_key.body, first.body);
    assert_eq!(idp.count("select count(*) from outbox").await, 2);
    for bad in ["", "x".repeat(256).as_str()] {
        assert_eq!(send(&idp, &producer, &[("idempotency-key", bad)], event.clone()).await.status, 400);
    }
    idp.advance(Duration::from_hours(25));
    ssf_common::runtime::worker::Worker::tick(&*idp.transmitter.maintenance).await.unwrap();
    assert_eq!(send(&idp, &producer, &[("idempotency-key", "k1")], other).await.status, 202, "kept for a day");
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_key() {
    let idp = Idp::start().await;
    let producer = idp.add_producer().await;
    let bad = json!({"type": "nonsense", "subject": opaque("s")}).to_string();
    assert_eq!(send(&idp, &producer, &[("idempotency-key", "k")], bad).await.status, 400);
    let good = json!({"type": "session-revoked", "subject": opaque("s")}).to_string();
    assert_eq!(send(&idp, &producer, &[("idempotency-key", "k")], good).await.status, 202);
}

#[tokio::test]
async fn one_key_used_by_many_at_once_makes_one_event() {
    let idp = Idp::start().await;
    let producer = idp.add_producer().await;
    let event = json!({"type": "session-revoked", "subject": opaque("s")}).to_string();
    let with_key = [("idempotency-key", "k")];
    let send = || send(&idp, &producer, &with_key, event.clone());
    let (first, second, third, fourth) = tokio::join!(send(), send(), send(), send());
    for reply in [&second, &third, &fourth] {
        assert_eq!((reply.status, &reply.body), (202, &first.body));
    }
    assert_eq!(idp.count("select count(*) from outbox").await, 1);
}

#[tokio::test]
async fn an_event_can_be_followed_from_the_record_to_the_last_acknowledgement() {
    let idp = Idp::start().await;
    let (producer, fast, slow) =
        (idp.add_producer().await, idp.add_receiver("fast").await, idp.add_receiver("slow").await);
    let (at_fast, at_slow) = (Sink::start().await, Sink::start().await);
    idp.push_stream(&fast, &at_fast.url, &["session-revoked"]).await;
    let slow_stream = idp.push_stream(&slow, &at_slow.url, &["session-revoked"]).await;
    at_slow.next([Answer::status(503)]);
    let event_id = idp.revoke(&producer, "s").await;

    let recorded = idp.progress(&producer, &event_id).await;
    assert_eq!((recorded["state"].as_str(), counts(&recorded)), (Some("recorded"), [0, 0, 0, 0]));
    assert!(recorded.get("slowest").is_none() && recorded.get("fanned_out_at").is_none());
    assert_eq!(recorded["type"], uris(&["session-revoked"])[0]);

    idp.advance(Duration::from_millis(40));
    idp.fan_out().await;
    let fanned_out = idp.progress(&producer, &event_id).await;
    assert_eq!((fanned_out["state"].as_str(), counts(&fanned_out)), (Some("fanned_out"), [2, 0, 2, 0]));

    idp.drain().await;
    idp.advance(Duration::from_millis(960));
    let half = idp.progress(&producer, &event_id).await;
    assert_eq!(counts(&half), [2, 1, 1, 0]);
    let expected = json!({"stream_id": slow_stream, "ms": 1_000.0, "pending": true, "attempts": 1, "error": "the receiver answered HTTP 503"});
    assert_eq!(half["slowest"], expected);

    idp.advance(Duration::from_secs(1));
    idp.drain().await;
    let done = idp.progress(&producer, &event_id).await;
    assert_eq!(counts(&done), [2, 2, 0, 0]);
    assert_eq!(done["slowest"], json!({"stream_id": slow_stream, "ms": 2_000.0, "pending": false, "attempts": 2}));
}

fn counts(progress: &Value) -> [i64; 4] {
    ["streams", "delivered", "pending", "refused"].map(|member| progress[member].as_i64().unwrap())
}

async fn send(idp: &Idp, producer: &Party, headers: &[(&str, &str)], body: String) -> Reply {
    let authorization = format!("Bearer {}", producer.token);
    let headers: Vec<(&str, &str)> =
        headers.iter().copied().chain([("authorization", authorization.as_str())]).collect();
    idp.send(Method::POST, "/events", &headers, body).await
}
