//! Stories about dead letters: what an operator sees of them, how they are chosen, and that discarding them takes a reason.
//! `replay` is about those that are sent again, `commands` about the command line.

mod commands;
mod replay;

use std::collections::HashSet;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_common::clock::{Clock as _, Timestamp};
use ssf_harness::idp::{Idp, Party, Reply, opaque};
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
        (json!({"stream": scene.stream}), "not known here: stream"),
        (json!({"stream_id": "nonsense"}), "member stream_id"),
        (json!({"since": "yesterday"}), "member since"),
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
