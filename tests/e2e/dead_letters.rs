//! Stories about dead letters: what an operator sees of them, and that one sent again is the same SET in its old place.

use std::collections::HashSet;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_common::clock::{Clock as _, Timestamp};
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, Reply, opaque, uris};
use ssf_harness::sink::{Answer, Sink};

/// A receiver on push, and an operator.
struct Scene {
    idp: Idp,
    rp: Party,
    producer: Party,
    operator: Party,
    sink: Sink,
    stream: String,
}

impl Scene {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(overrides: &[(&str, &str)]) -> Self {
        let idp = Idp::start_with(overrides).await;
        let (rp, producer, operator) =
            (idp.add_receiver("rp").await, idp.add_producer().await, idp.add_operator().await);
        let sink = Sink::start().await;
        let stream = idp.push_stream(&rp, &sink.url, &["session-revoked", "account-enabled"]).await;
        Self { idp, rp, producer, operator, sink, stream }
    }

    /// Revokes sessions, each of which the receiver refuses; a moment passes after each.
    async fn refused(&self, sessions: &[&str]) {
        self.sink.next(sessions.iter().map(|_| Answer::refusal("invalid_request")));
        for session in sessions {
            self.idp.revoke(&self.producer, session).await;
            self.idp.drain().await;
            self.idp.advance(Duration::from_secs(1));
        }
    }

    async fn list(&self, query: &str) -> Vec<Value> {
        let reply = self.idp.get(&format!("/admin/v1/dead-letters{query}"), &self.operator).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["items"].as_array().unwrap().clone()
    }

    async fn ask(&self, path: &str, body: &Value) -> Reply {
        self.idp.post(&format!("/admin/v1/dead-letters{path}"), &self.operator, body).await
    }

    /// What the audit log says of dead letters: action and details.
    async fn audited(&self) -> Vec<(String, Value)> {
        let log = self.idp.get("/admin/v1/audit", &self.operator).await.body;
        let entries = log["items"].as_array().unwrap().iter();
        let of_dead = entries.filter(|entry| entry["action"].as_str().unwrap().starts_with("dead_letters."));
        of_dead.map(|entry| (entry["action"].as_str().unwrap().to_owned(), entry["details"].clone())).collect()
    }
}

fn jtis(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["jti"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_dead_letter_shows_its_claims_its_attempts_and_the_answers_and_no_secret() {
    let scene = Scene::start().await;
    let delivery = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": scene.sink.url, "authorization_header": "Bearer hush-hush"});
    let patched = scene
        .idp
        .call(
            Method::PATCH,
            "/ssf/streams",
            &scene.rp.token,
            Some(&json!({"stream_id": scene.stream, "delivery": delivery})),
        )
        .await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    scene.sink.next([Answer::status(503), Answer::status(429), Answer::refusal("invalid_request")]);
    let event = scene.idp.revoke(&scene.producer, "s1").await;
    for _ in 0..3 {
        scene.idp.drain().await;
        scene.idp.advance(Duration::from_secs(10));
    }
    let [listed] = scene.list("").await.try_into().unwrap();
    let jti = listed["jti"].as_str().unwrap();
    assert_eq!(listed["event_id"], json!(event));
    assert!(listed.get("subject").is_none() && listed.get("claims").is_none(), "a list does not say whom it is about");
    let shown = scene.idp.get(&format!("/admin/v1/dead-letters/{jti}"), &scene.operator).await.body;
    let sent: HashSet<String> = scene.sink.requests().iter().map(|request| request.claims().to_string()).collect();
    assert_eq!(sent, HashSet::from([shown["claims"].to_string()]), "exactly what was sent");
    let said: Vec<&str> =
        shown["failures"].as_array().unwrap().iter().map(|one| one["said"].as_str().unwrap()).collect();
    let expected = [
        "the receiver answered HTTP 503",
        "the receiver answered HTTP 429",
        "refused with invalid_request: said the sink",
    ];
    assert_eq!(said, expected);
    assert_eq!(
        (&shown["attempts"], &shown["error_code"], &shown["error"]),
        (&json!(3), &json!("invalid_request"), &json!("said the sink"))
    );
    assert!(shown["failures"][0]["at"].as_str().unwrap() < shown["failures"][2]["at"].as_str().unwrap());
    let text = shown.to_string();
    let signature = scene.sink.requests()[0].set.rsplit('.').next().unwrap().to_owned();
    assert!(!text.contains("hush-hush") && !text.contains(&signature), "{text}");
}

#[tokio::test]
async fn what_is_sent_again_is_the_same_set_and_is_acknowledged_in_the_end() {
    let scene = Scene::start().await;
    scene.refused(&["s1"]).await;
    let [listed] = scene.list("").await.try_into().unwrap();
    let jti = listed["jti"].as_str().unwrap();
    scene.idp.advance(Duration::from_hours(2));
    let reply = scene.ask(&format!("/{jti}/replay"), &json!({})).await;
    assert_eq!((reply.status, &reply.body), (200, &json!({"done": 1, "left": 0})));
    let waiting = scene.idp.get(&format!("/admin/v1/streams/{}/deliveries", scene.stream), &scene.operator).await.body;
    assert_eq!((&waiting["items"][0]["jti"], &waiting["items"][0]["attempts"]), (&json!(jti), &json!(1)));
    scene.idp.drain().await;
    let [first, again] = scene.sink.requests().try_into().unwrap();
    assert_eq!(first.claims().to_string(), again.claims().to_string(), "jti, iat, txn and every other claim");
    assert!(scene.list("").await.is_empty());
    let event = listed["event_id"].as_str().unwrap();
    let progress = scene.idp.progress(&scene.producer, event).await;
    assert_eq!(
        (&progress["delivered"], &progress["refused"], &progress["pending"]),
        (&json!(1), &json!(0), &json!(0)),
        "one stream, one outcome"
    );
    assert_eq!(scene.ask(&format!("/{jti}/replay"), &json!({})).await.status, 404, "it is a dead letter no more");
    assert_eq!(scene.audited().await, [("dead_letters.replayed".to_owned(), json!({"count": 1}))]);
}

#[tokio::test]
async fn what_dies_again_can_be_sent_again_and_remembers_every_failure() {
    let scene = Scene::start().await;
    scene.refused(&["s1"]).await;
    for round in 1..=12 {
        let [listed] = scene.list("").await.try_into().unwrap();
        let jti = listed["jti"].as_str().unwrap();
        let shown = scene.idp.get(&format!("/admin/v1/dead-letters/{jti}"), &scene.operator).await.body;
        assert_eq!(shown["failures"].as_array().unwrap().len(), round.min(11), "bounded");
        assert_eq!(shown["attempts"], json!(round));
        scene.sink.next([Answer::refusal("invalid_request")]);
        assert_eq!(scene.ask(&format!("/{jti}/replay"), &json!({})).await.status, 200);
        scene.idp.drain().await;
        scene.idp.advance(Duration::from_secs(1));
    }
    assert_eq!(scene.idp.count("select count(*) from delivery_history").await, 1, "and one outcome");
}

#[tokio::test]
async fn what_is_sent_again_takes_its_old_place_among_what_its_subject_has_waiting() {
    let scene = Scene::start().await;
    scene.refused(&["s1", "s1"]).await;
    // a later decision about the same session waits, urgent, and one about another
    scene.idp.emit(&scene.producer, &json!({"type": "account-enabled", "subject": opaque("s1"), "lane": "bulk"})).await;
    scene.idp.emit(&scene.producer, &json!({"type": "session-revoked", "subject": opaque("other")})).await;
    scene.idp.emit(&scene.producer, &json!({"type": "session-revoked", "subject": opaque("s1")})).await;
    scene.idp.fan_out().await;
    // what died in the lane of backfills must not hold up what waits behind it now
    scene.idp.execute("update dead_letter set lane = 2").await;
    let dead = scene.list("").await;
    let all = scene.ask("/replay", &json!({"subject": opaque("s1")})).await;
    assert_eq!(all.body, json!({"done": 2, "left": 0}));
    assert_eq!(
        scene.idp.count("select count(*) from delivery where lane <> 0").await,
        0,
        "all are as urgent as the last"
    );
    let before = scene.sink.requests().len();
    scene.idp.drain().await;
    let after = scene.sink.requests().split_off(before);
    let of_s1: Vec<String> =
        after.iter().filter(|set| set.subject() == "s1").map(ssf_harness::sink::Received::jti).collect();
    assert_eq!(of_s1[..2], jtis(&dead), "in the order of the decisions, before what was decided later");
    let types: Vec<bool> = after
        .iter()
        .filter(|set| set.subject() == "s1")
        .map(|set| set.claims()["events"].get(&uris(&["account-enabled"])[0]).is_some())
        .collect();
    assert_eq!(types, [false, false, true, false]);
}

#[tokio::test]
async fn dead_letters_are_chosen_by_stream_time_subject_code_and_type_and_nobody_else_s() {
    let scene = Scene::start().await;
    let other = scene.idp.add_receiver("other").await;
    let sink = Sink::start().await;
    sink.script(|_| Answer::refusal("invalid_state"));
    let others = scene.idp.push_stream(&other, &sink.url, &["session-revoked"]).await;
    scene.refused(&["s1", "s2", "s3"]).await;
    let all = scene.list("").await;
    assert_eq!(all.len(), 6);
    assert!(all.is_sorted_by_key(|one| one["died_at"].as_str().unwrap().to_owned()), "oldest first");
    let [by_stream, by_code] =
        [scene.list(&format!("?stream_id={others}")).await, scene.list("?code=invalid_state").await];
    assert_eq!((by_stream.len(), jtis(&by_stream)), (3, jtis(&by_code)));
    let second = all[2]["died_at"].as_str().unwrap();
    assert_eq!(scene.list(&format!("?since={second}")).await.len(), 4, "since counts itself");
    assert_eq!(scene.list(&format!("?until={second}")).await.len(), 2, "until does not");
    assert_eq!(scene.list("?type=session-revoked").await.len(), 6);
    assert_eq!(scene.list("?type=account-enabled").await.len(), 0);
    let mut pages = Vec::new();
    let mut after = String::new();
    loop {
        let page = scene.idp.get(&format!("/admin/v1/dead-letters?limit=2{after}"), &scene.operator).await.body;
        pages.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(pages, all, "every page once");
    // by subject: the same JSON with its members in any order, over all streams
    let subject: Value = serde_json::from_str(r#"{"id": "s2", "format": "opaque"}"#).unwrap();
    assert_eq!(
        scene.ask("/replay", &json!({"subject": subject, "stream_id": scene.stream})).await.body["done"],
        json!(1)
    );
    assert_eq!(scene.ask("/replay", &json!({"subject": subject})).await.body["done"], json!(1));
    assert_eq!(scene.ask("/replay", &json!({"subject": opaque("s")})).await.body["done"], json!(0));
    assert_eq!(
        scene.ask("/replay", &json!({"since": second, "until": all[4]["died_at"], "code": "invalid_state"})).await.body
            ["done"],
        json!(0)
    );
    assert_eq!(
        scene.ask("/replay", &json!({"stream_id": others, "type": "session-revoked"})).await.body["done"],
        json!(2)
    );
    assert_eq!(scene.list("").await.len(), 2);
    let audit = scene.audited().await;
    assert_eq!(audit.len(), 3, "what did nothing is not written down");
    assert!(
        audit.iter().all(|(_, details)| !details.to_string().contains("opaque")),
        "whom it was about stays out: {audit:?}"
    );
    assert_eq!(audit[0].1["by_subject"], json!(true));
}

#[tokio::test]
async fn a_replay_in_batches_ends_even_if_everything_dies_again() {
    let scene = Scene::start().await;
    scene.refused(&["s1", "s2", "s3", "s4", "s5"]).await;
    scene.sink.script(|_| Answer::refusal("invalid_request"));
    let (mut done, mut calls, mut after) = (0, 0, None::<String>);
    loop {
        let reply = scene.ask("/replay", &json!({"stream_id": scene.stream, "limit": 2, "after": after})).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        done += reply.body["done"].as_i64().unwrap();
        calls += 1;
        scene.idp.advance(Duration::from_secs(1));
        scene.idp.drain().await;
        after = reply.body["next"].as_str().map(ToOwned::to_owned);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((done, calls), (5, 3), "each once");
    assert_eq!(scene.list("").await.len(), 5, "and all are dead again");
}

#[tokio::test]
async fn two_who_replay_the_same_at_once_send_it_once() {
    let scene = Scene::start().await;
    scene.refused(&["s1", "s2", "s3"]).await;
    let body = json!({"stream_id": scene.stream});
    let replies = tokio::join!(scene.ask("/replay", &body), scene.ask("/replay", &body), scene.ask("/replay", &body));
    let done: i64 = [&replies.0, &replies.1, &replies.2].iter().map(|reply| reply.body["done"].as_i64().unwrap()).sum();
    assert_eq!(done, 3);
    let before = scene.sink.requests().len();
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().len() - before, 3);
}

#[tokio::test]
async fn a_disabled_stream_keeps_its_dead_letters_and_a_paused_one_holds_what_is_sent_again() {
    let scene = Scene::start().await;
    scene.refused(&["s1", "s2"]).await;
    let [first, second] = jtis(&scene.list("").await).try_into().unwrap();
    scene.idp.execute("update stream set status = 'disabled'").await;
    assert_eq!(scene.ask(&format!("/{first}/replay"), &json!({})).await.status, 409);
    assert_eq!(scene.ask("/replay", &json!({"stream_id": scene.stream})).await.status, 409);
    let left = scene.ask("/replay", &json!({"jtis": [first, second]})).await;
    assert_eq!(left.body, json!({"done": 0, "left": 2}));
    scene.idp.execute("update stream set status = 'paused'").await;
    assert_eq!(scene.ask(&format!("/{first}/replay"), &json!({})).await.status, 200);
    let before = scene.sink.requests().len();
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().len(), before, "held");
    scene.idp.execute("update stream set status = 'enabled'").await;
    scene.idp.drain().await;
    assert_eq!(scene.sink.requests().last().unwrap().jti(), first);
    let deleted = scene
        .idp
        .call(Method::DELETE, &format!("/ssf/streams?stream_id={}", scene.stream), &scene.rp.token, None)
        .await;
    assert_eq!(deleted.status, 204);
    assert_eq!(scene.ask(&format!("/{second}/replay"), &json!({})).await.status, 404, "gone with its stream");
}

#[tokio::test]
async fn what_is_older_than_the_history_can_be_sent_again_and_has_the_whole_retention_before_it() {
    let scene = Scene::start().await;
    scene.refused(&["s1", "s2"]).await;
    let dead = scene.list("").await;
    let first = dead[0]["jti"].as_str().unwrap();
    // forty days later its event is gone, and how it ended too
    scene.idp.advance(Duration::from_hours(24 * 40));
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(scene.idp.count("select count(*) from event").await, 0);
    assert_eq!(scene.idp.count("select count(*) from delivery_history").await, 0);
    assert_eq!(scene.ask(&format!("/{first}/replay"), &json!({})).await.status, 200);
    // neither does it expire at once, nor is its event forgotten while it waits
    scene.sink.next([Answer::status(503)]);
    scene.idp.drain().await;
    scene.idp.advance(Duration::from_hours(24 * 6));
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(scene.idp.count("select count(*) from event").await, 1);
    scene.idp.drain().await;
    let sent: HashSet<String> =
        scene.sink.requests().iter().filter(|set| set.jti() == first).map(|set| set.claims().to_string()).collect();
    assert_eq!((scene.sink.requests().len(), sent.len()), (4, 1), "the same SET, to the millisecond of its timeline");
    let event = dead[0]["event_id"].as_str().unwrap();
    assert_eq!(scene.idp.progress(&scene.producer, event).await["delivered"], json!(1));
    // afterwards it goes like every other event so old
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(scene.idp.count("select count(*) from event").await, 0);
    // and one that nobody takes expires after its retention, not before
    scene.sink.script(|_| Answer::status(503));
    assert_eq!(scene.ask("/replay", &json!({"stream_id": scene.stream})).await.body["done"], json!(1));
    scene.idp.drain().await;
    scene.idp.advance(Duration::from_hours(24 * 7 + 1));
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    let [expired] = scene.list("").await.try_into().unwrap();
    assert_eq!((&expired["error_code"], &expired["jti"]), (&json!("expired"), &dead[1]["jti"]));
}

#[tokio::test]
async fn a_day_whose_events_are_still_needed_is_kept() {
    let scene = Scene::start().await;
    scene.refused(&["s1"]).await;
    // the last day of the history
    scene.idp.advance(Duration::from_hours(24 * 29));
    assert_eq!(scene.ask("/replay", &json!({"stream_id": scene.stream})).await.body["done"], json!(1));
    scene.sink.next([Answer::status(503)]);
    scene.idp.drain().await;
    scene.idp.advance(Duration::from_hours(24 * 5));
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    scene.idp.drain().await;
    assert_eq!(scene.idp.count("select count(*) from delivery").await, 0, "it could be sent");
    let requests = scene.sink.requests();
    assert_eq!(requests.first().unwrap().claims().to_string(), requests.last().unwrap().claims().to_string());
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(scene.idp.count("select count(*) from event").await, 0, "and then the day went");
}

#[tokio::test]
async fn a_dead_letter_of_an_older_program_is_sent_again_too() {
    let scene = Scene::start().await;
    scene.refused(&["s1"]).await;
    scene.idp.execute("update dead_letter set seq = null, first_taken_at = null, attempt_log = null").await;
    assert_eq!(scene.ask("/replay", &json!({"stream_id": scene.stream})).await.body["done"], json!(1));
    scene.idp.drain().await;
    let [first, again] = scene.sink.requests().try_into().unwrap();
    assert_eq!(first.claims().to_string(), again.claims().to_string(), "the history knew the rest");
}

#[tokio::test]
async fn a_poll_stream_s_refusals_are_dead_letters_that_come_again_in_a_poll() {
    let idp = Idp::start().await;
    let (rp, producer, operator) = (idp.add_receiver("rp").await, idp.add_producer().await, idp.add_operator().await);
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    idp.revoke(&producer, "s1").await;
    idp.fan_out().await;
    let handed = idp.poll(&rp, &stream, &json!({})).await.body;
    let (jti, set) = handed["sets"].as_object().unwrap().iter().next().unwrap();
    idp.advance(Duration::from_secs(1));
    let troubled = json!({"setErrs": {jti.as_str(): {"err": "invalid_key", "description": "which key?"}}});
    assert_eq!(idp.poll(&rp, &stream, &troubled).await.body["sets"], json!({}));
    idp.advance(Duration::from_secs(10));
    let refused = json!({"setErrs": {jti.as_str(): {"err": "invalid_request", "description": "no"}}});
    assert_eq!(idp.poll(&rp, &stream, &refused).await.body["sets"], json!({}));
    let shown = idp.get(&format!("/admin/v1/dead-letters/{jti}"), &operator).await.body;
    let said: Vec<&Value> = shown["failures"].as_array().unwrap().iter().map(|one| &one["said"]).collect();
    assert_eq!(said, ["the receiver answered invalid_key: which key?", "refused with invalid_request: no"]);
    let replayed = idp.post(&format!("/admin/v1/dead-letters/{jti}/replay"), &operator, &json!({})).await;
    assert_eq!(replayed.status, 200);
    let again = idp.poll(&rp, &stream, &json!({})).await.body;
    let claims = |set: &Value| ssf_harness::idp::claims(set.as_str().unwrap());
    assert_eq!(claims(&again["sets"][jti.as_str()]), claims(set));
}

#[tokio::test]
async fn discarding_takes_a_reason_that_the_audit_log_keeps() {
    let scene = Scene::start().await;
    scene.refused(&["s1", "s2", "s3"]).await;
    let [first, second, third] = jtis(&scene.list("").await).try_into().unwrap();
    assert_eq!(scene.ask(&format!("/{first}/discard"), &json!({})).await.status, 400);
    assert_eq!(scene.ask(&format!("/{first}/discard"), &json!({"reason": ""})).await.status, 400);
    assert_eq!(scene.ask("/discard", &json!({"jtis": [first]})).await.status, 400);
    assert_eq!(scene.ask(&format!("/{first}/discard"), &json!({"reason": "the app is gone"})).await.status, 200);
    assert_eq!(scene.ask(&format!("/{first}/discard"), &json!({"reason": "twice"})).await.status, 404);
    let rest = scene.ask("/discard", &json!({"stream_id": scene.stream, "reason": "a test run"})).await;
    assert_eq!(rest.body, json!({"done": 2, "left": 0}));
    for gone in [first, second, third] {
        assert_eq!(scene.ask(&format!("/{gone}/replay"), &json!({})).await.status, 404);
    }
    let audited = scene.audited().await;
    assert_eq!(audited[0], ("dead_letters.discarded".to_owned(), json!({"count": 1, "reason": "the app is gone"})));
    assert_eq!((&audited[1].1["count"], &audited[1].1["reason"]), (&json!(2), &json!("a test run")));
    assert_eq!(
        scene.idp.count("select count(*) from delivery_history where outcome = 'refused'").await,
        3,
        "how they ended stays known"
    );
}

#[tokio::test]
async fn a_choice_that_says_too_little_or_nonsense_changes_nothing() {
    let scene = Scene::start().await;
    scene.refused(&["s1"]).await;
    let now = scene.idp.clock.now();
    for (body, says) in [
        (json!({}), "say which"),
        (json!({"code": "invalid_request"}), "say which"),
        (json!({"limit": 5}), "say which"),
        (json!({"jtis": []}), "jtis must have"),
        (json!({"jtis": [scene.stream], "stream_id": scene.stream}), "jtis stands alone"),
        (json!({"stream": scene.stream}), "as specified"),
        (json!({"stream_id": "nonsense"}), "as specified"),
        (json!({"since": "yesterday"}), "as specified"),
        (json!({"since": "1900-01-01T00:00:00Z"}), "before 1970"),
        (json!({"stream_id": scene.stream, "limit": 0}), "limit must be"),
        (json!({"stream_id": scene.stream, "limit": 1001}), "limit must be"),
        (json!({"stream_id": scene.stream, "after": "nonsense"}), "after"),
        (json!({"stream_id": scene.stream, "after": "1.2"}), "after"),
        (json!({"stream_id": scene.stream, "type": "session-revokd"}), "type"),
        (json!({"stream_id": scene.stream, "code": "a\u{0}b"}), "code"),
        (json!({"subject": {"format": "email"}}), "subject"),
        (json!({"subject": {"format": "opaque", "id": "a\u{0}b"}}), "subject"),
        (json!([]), "JSON object"),
    ] {
        let reply = scene.ask("/replay", &body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.body);
        assert!(reply.text("error_description").contains(says), "{body}: {}", reply.body);
    }
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert_eq!(scene.ask("/replay", &json!({"stream_id": unknown})).await.status, 404);
    assert_eq!(scene.ask(&format!("/{unknown}/replay"), &json!({})).await.status, 404);
    assert_eq!(scene.ask("/nonsense/replay", &json!({})).await.status, 404);
    for query in [
        "?since=soon",
        "?stream_id=x",
        "?after=x",
        "?limit=0",
        "?limit=many",
        "?type=x",
        "?since=1&since=2",
        "?code=%00",
    ] {
        let reply = scene.idp.get(&format!("/admin/v1/dead-letters{query}"), &scene.operator).await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.body);
    }
    assert!(now > Timestamp::EPOCH && scene.list("").await.len() == 1, "nothing was changed");
}

/// `ssf-transmitter dead-letter …` on the story's database; what it said, and whether it was content.
async fn command(idp: &Idp, arguments: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(ssf_harness::binaries::transmitter());
    command.arg("dead-letter").args(arguments).current_dir(std::env::temp_dir()).env("USER", "grace");
    for setting in [format!("database.url={}", idp.database.url), format!("issuer.url={}", idp.issuer)] {
        command.args(["--set", &setting]);
    }
    command.args(["--set", &format!("keys.sealing_key={}", ssf_harness::idp::SEALING_KEY)]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).unwrap().trim().to_owned())
}

#[tokio::test]
async fn the_command_line_lists_shows_replays_and_discards_too() {
    let scene = Scene::start().await;
    scene.idp.clock.set(ssf_common::clock::SystemClock.now().minus(Duration::from_mins(1)));
    scene.refused(&["s1", "s2", "s3", "s4"]).await;
    let idp = &scene.idp;
    let (_, listed) = command(idp, &["list", "--json", "--code", "invalid_request"]).await;
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed, scene.list("").await, "the same as over HTTP");
    let [first, second, third, fourth] = jtis(&listed).try_into().unwrap();
    let (_, text) = command(idp, &["list", "--limit", "1"]).await;
    assert!(
        text.starts_with(&first) && text.contains("invalid_request: said the sink") && text.contains("and more"),
        "{text}"
    );
    let (_, shown) = command(idp, &["show", &first, "--json"]).await;
    let over_http = idp.get(&format!("/admin/v1/dead-letters/{first}"), &scene.operator).await.body;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), over_http);
    assert!(command(idp, &["show", &first]).await.1.contains("\"sub_id\""));
    assert_eq!(command(idp, &["replay", &first]).await, (true, "1 sent again".to_owned()));
    let subject = r#"{"id":"s2","format":"opaque"}"#;
    let (_, done) = command(idp, &["replay", "--subject", subject, "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&done).unwrap(), json!({"done": 1, "left": 0}));
    assert_eq!(command(idp, &["discard", &third, "--reason", "of no use"]).await, (true, "1 discarded".to_owned()));
    assert_eq!(
        command(idp, &["replay", "--stream", &scene.stream, "--since", "2020-01-01T00:00:00Z"]).await.1,
        "1 sent again"
    );
    assert_eq!(command(idp, &["list"]).await.1, "there are no such dead letters");
    idp.clock.set(ssf_common::clock::SystemClock.now());
    idp.drain().await;
    let again: HashSet<String> =
        scene.sink.requests().split_off(4).iter().map(ssf_harness::sink::Received::jti).collect();
    assert_eq!(again, HashSet::from([first.clone(), second, fourth]));
    for (arguments, says) in [
        (&["replay"][..], "say which"),
        (&["replay", "--code", "expired"], "narrow a choice"),
        (&["replay", &first, "--stream", &scene.stream], "say which"),
        (&["show", &first], "there is no such dead letter"),
        (&["discard", &first], "--reason"),
        (&["list", "--type", "session-revokd"], "--type"),
        (&["list", "--since", "soon"], "--since"),
        (&["list", "--limit", "0"], "--limit"),
        (&["replay", "--subject", "{}"], "--subject"),
    ] {
        let (content, said) = command(idp, arguments).await;
        assert!(!content && said.contains(says), "{arguments:?}: {said}");
    }
    let log = idp.get("/admin/v1/audit", &scene.operator).await.body;
    let actors: Vec<&Value> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"].as_str().unwrap().starts_with("dead_letters."))
        .map(|entry| &entry["actor"])
        .collect();
    assert_eq!(actors, ["cli:grace"; 4]);
}
