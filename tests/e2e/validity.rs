//! What the application is told: sessions against the events of their issuer, over HTTP and in a real database.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::rp::{ISSUER, Rp, START};

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

fn mail(address: &str) -> Value {
    json!({"format": "email", "email": address})
}

#[tokio::test]
async fn an_event_touches_the_sessions_it_names_and_no_others() {
    let rp = Rp::start().await;
    let whole = |user: &str, session: &str, device: &str, tenant: &str| {
        json!({"subject": [mail(user), {"format": "iss_sub", "iss": ISSUER, "sub": user}], "session": session,
               "device": device, "tenant": tenant})
    };
    // Six ways to name alice's session a: alone by address, by sub and by session id, and as a conjunction of members.
    let names = [
        mail("alice@example.com"),
        json!({"format": "iss_sub", "iss": ISSUER, "sub": "alice@example.com"}),
        opaque("s-a"),
        json!({"format": "complex", "user": mail("alice@example.com"), "device": opaque("d-a")}),
        json!({"format": "complex", "session": opaque("s-a")}),
        json!({"format": "complex", "user": mail("alice@example.com"), "session": opaque("s-a"),
               "device": opaque("d-a"), "tenant": opaque("t")}),
    ];
    let reaches_b = [true, true, false, false, false, false];
    for (name, reaches_b) in names.iter().zip(reaches_b) {
        rp.clock.advance(Duration::from_secs(10));
        let origin = rp.clock_seconds();
        for (sid, body) in [
            ("a", whole("alice@example.com", "s-a", "d-a", "t")),
            ("b", whole("alice@example.com", "s-b", "d-b", "t")),
            ("c", whole("carol@example.com", "s-c", "d-a", "t")),
        ] {
            let mut body = body;
            body["origin"] = json!(origin);
            let (status, answer) = rp.register(sid, body).await;
            assert!(status == 201 || status == 200, "{answer}");
            assert_eq!(answer["state"], "active");
        }
        rp.clock.advance(Duration::from_secs(10));
        rp.tell("session-revoked", name, &json!({"event_timestamp": rp.clock_seconds()})).await;
        assert_eq!(rp.state("a").await, "revoked", "{name}");
        assert_eq!(rp.state("b").await, if reaches_b { "revoked" } else { "active" }, "{name}");
        assert_eq!(rp.state("c").await, "active", "{name}");
    }
}

#[tokio::test]
async fn a_revalidated_session_is_active_again_and_a_revoked_one_is_not() {
    let rp = Rp::start().await;
    rp.register("s", json!({"subject": opaque("u")})).await;
    rp.tell("revalidate", &opaque("u"), &json!({"event_timestamp": START - 100})).await;
    assert_eq!(rp.state("s").await, "revalidate_required");

    let revalidated = |at: i64| json!({"validated": at});
    let (status, stale) = rp.call(Method::POST, "/v1/sessions/s/revalidated", Some(&revalidated(START - 100))).await;
    assert_eq!((status, &stale["state"]), (200, &json!("revalidate_required")), "a tie is lost");
    let (_, fresh) = rp.call(Method::POST, "/v1/sessions/s/revalidated", Some(&revalidated(START - 99))).await;
    assert_eq!(fresh["state"], "active");
    let (_, older) = rp.call(Method::POST, "/v1/sessions/s/revalidated", Some(&revalidated(START - 500))).await;
    assert_eq!(older["validated"], fresh["validated"], "it moves forward only");

    rp.tell("session-revoked", &opaque("u"), &json!({"event_timestamp": START - 300})).await;
    let (_, revoked) = rp.call(Method::POST, "/v1/sessions/s/revalidated", Some(&revalidated(START))).await;
    assert_eq!((&revoked["state"], &revoked["reason"]), (&json!("revoked"), &json!("revoked_by_issuer")));

    let relogin = json!({"subject": opaque("u"), "origin": START - 200});
    assert_eq!(rp.register("s", relogin).await.1["state"], "active");
    let (status, _) = rp.call(Method::POST, "/v1/sessions/nobody/revalidated", Some(&revalidated(START))).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn disabled_and_enabled_give_the_same_in_either_order() {
    let rp = Rp::start().await;
    for (user, enabled_first) in [("u", false), ("v", true)] {
        let (old, new) = (format!("{user}-old"), format!("{user}-new"));
        rp.register(&old, json!({"subject": opaque(user)})).await;
        rp.register(&new, json!({"subject": opaque(user), "origin": START - 10})).await;
        let disabled = json!({"event_timestamp": START - 100});
        let enabled = json!({"event_timestamp": START - 50});
        let mut told = [("account-disabled", &disabled), ("account-enabled", &enabled)];
        if enabled_first {
            told.reverse();
        }
        rp.tell(told[0].0, &opaque(user), told[0].1).await;
        if !enabled_first {
            let (_, answer) = rp.call(Method::GET, &format!("/v1/sessions/{new}"), None).await;
            assert_eq!((&answer["state"], &answer["reason"]), (&json!("revoked"), &json!("blocked")));
        }
        rp.tell(told[1].0, &opaque(user), told[1].1).await;
        assert_eq!(rp.state(&old).await, "revoked", "the revocation stays");
        assert_eq!(rp.state(&new).await, "active");
    }
}

#[tokio::test]
async fn a_cut_off_from_the_future_does_not_outlive_what_comes_after_it() {
    let rp = Rp::start().await;
    rp.tell("session-revoked", &opaque("u"), &json!({"event_timestamp": START + 1_000_000})).await;
    rp.clock.advance(Duration::from_secs(61));
    let (_, answer) = rp.register("s", json!({"subject": opaque("u"), "origin": START + 61})).await;
    assert_eq!(answer["state"], "active");
}

#[tokio::test]
async fn registering_is_idempotent_and_an_origin_never_moves_back() {
    let rp = Rp::start().await;
    let body = json!({"subject": mail("a@example.com"), "binding": "dpop", "expires_at": START + 60});
    assert_eq!(rp.register("s", body.clone()).await.0, 201);
    let (status, answer) = rp.register("s", body.clone()).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "sid": "s",
      "state": "active",
      "class": "bearer",
      "as_of": "2026-11-18T11:06:40Z",
      "stale": false,
      "feed_age_ms": 0,
      "issuer_age_ms": 0,
      "origin": "2026-11-18T10:50:00Z",
      "validated": "2026-11-18T10:50:00Z",
      "expires_at": "2026-11-18T11:07:40Z"
    }
    "#);
    let (status, answer) = rp.register("s", json!({"subject": mail("a@example.com"), "origin": START - 2_000})).await;
    assert_eq!((status, &answer["error"]), (409, &json!("conflict")));

    rp.clock.advance(Duration::from_mins(1));
    let (_, expired) = rp.call(Method::GET, "/v1/sessions/s", None).await;
    assert_eq!((&expired["state"], &expired["reason"]), (&json!("revalidate_required"), &json!("expired")));
    let prolonged = json!({"validated": START + 60, "expires_at": START + 120});
    let (_, again) = rp.call(Method::POST, "/v1/sessions/s/revalidated", Some(&prolonged)).await;
    assert_eq!(again["state"], "active");

    assert_eq!(rp.call(Method::DELETE, "/v1/sessions/s", None).await.0, 204);
    assert_eq!(rp.state("s").await, "unknown");
    assert_eq!(rp.call(Method::DELETE, "/v1/sessions/s", None).await.0, 204);
    assert_eq!(rp.register("s", body).await.0, 201);
}

#[tokio::test]
async fn a_refused_request_names_the_member() {
    let rp = Rp::start().await;
    let (status, answer) = rp.register("s", json!({"subject": mail("a@example.com"), "origin": "soon"})).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")));
    assert!(answer["error_description"].as_str().unwrap().starts_with("origin: "), "{answer}");
    let (status, answer) =
        rp.register("s", json!({"subject": mail("a@example.com"), "issuer": "https://no.example"})).await;
    assert_eq!(status, 400);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "error": "invalid_request",
      "error_description": "issuer: no upstream is configured for this issuer"
    }
    "#);
    let (status, answer) =
        rp.call(Method::POST, "/v1/check/batch", Some(&json!({"checks": [{"sid": "s"}, {"sid": ""}]}))).await;
    assert_eq!(status, 400);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "error": "invalid_request",
      "error_description": "checks[1].sid: must have 1 to 256 characters, none of them NUL"
    }
    "#);
    let nul = json!({"subject": mail("a@example.com"), "issuer": "a\0"});
    let (status, answer) = rp.register("s", nul).await;
    assert_eq!((status, &answer["error_description"]), (400, &json!("issuer: must not contain NUL")));
    let (status, answer) = rp.call(Method::GET, "/v1/latency?upstream=%00", None).await;
    assert_eq!((status, &answer["error"]), (404, &json!("not_found")));
    let many = json!({"checks": vec![json!({"sid": "s"}); 1_001]});
    assert_eq!(rp.call(Method::POST, "/v1/check/batch", Some(&many)).await.0, 400);
    let (status, _) = rp.register(&"x".repeat(257), json!({"subject": mail("a@example.com")})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn what_is_not_an_object_is_refused_without_a_word_of_rust() {
    let rp = Rp::start().await;
    let time = "must be a time: seconds since 1970 as a number, or RFC 3339 text";
    let described = json!({"issuer": "https://idp.example", "subject": mail("a@example.com"), "origin": true});
    let wrong = [
        (Method::POST, "/v1/sessions/s/revalidated", json!([1_795_000_000, null]), "the body must be a JSON object"),
        (Method::PUT, "/v1/sessions/s", json!([]), "the body must be a JSON object"),
        (Method::POST, "/v1/check", json!([["s"]]), "the body must be a JSON object"),
        (Method::POST, "/v1/check", json!("s"), "the body must be a JSON object"),
        (Method::POST, "/v1/check/batch", json!([[{"sid": "s"}]]), "the body must be a JSON object"),
        (Method::POST, "/v1/check/batch", json!({"checks": [["s"]]}), "checks[0]: must be a JSON object"),
        (Method::PUT, "/v1/sessions/s", described.clone(), &format!("origin: {time}")),
        (Method::POST, "/v1/check", described.clone(), &format!("origin: {time}")),
        (Method::POST, "/v1/check/batch", json!({"checks": [described]}), &format!("checks[0].origin: {time}")),
        (Method::POST, "/v1/sessions/s/revalidated", json!({"validated": []}), &format!("validated: {time}")),
    ];
    for (verb, path, body, expected) in wrong {
        let (status, answer) = rp.call(verb, path, Some(&body)).await;
        assert_eq!((status, answer["error_description"].as_str()), (400, Some(expected)), "{path} {body}");
    }
}

#[tokio::test]
async fn a_check_takes_a_name_or_a_description_and_a_batch_takes_both() {
    let rp = Rp::start().await;
    rp.register("s", json!({"subject": mail("a@example.com")})).await;
    rp.tell("session-revoked", &mail("b@example.com"), &json!({"event_timestamp": START - 100})).await;
    let described = |address: &str, origin: i64| json!({"issuer": ISSUER, "subject": mail(address), "origin": origin});
    let stranger = json!({"issuer": "https://no.example", "subject": mail("a@example.com"), "origin": START});
    let checks = json!({"checks": [
        {"sid": "s"}, {"sid": "nobody"}, described("b@example.com", START - 100), described("b@example.com", START - 99),
        described("a@example.com", START - 100), stranger, {"sid": "s"},
    ]});
    let (status, answer) = rp.call(Method::POST, "/v1/check/batch", Some(&checks)).await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["results"].as_array().unwrap();
    let told: Vec<_> = results.iter().map(|r| r["state"].as_str().unwrap()).collect();
    assert_eq!(told, ["active", "unknown", "revoked", "active", "active", "unknown", "active"]);
    assert_eq!((&results[1]["reason"], &results[5]["reason"]), (&json!("not_registered"), &json!("unknown_issuer")));
    assert!(results.iter().all(|r| r["as_of"] == answer["as_of"]));
    for (check, result) in checks["checks"].as_array().unwrap().iter().zip(results) {
        let (status, alone) = rp.call(Method::POST, "/v1/check", Some(check)).await;
        assert_eq!((status, &alone), (200, result));
    }
}

#[tokio::test]
async fn a_batch_sees_either_all_of_a_commit_or_nothing_of_it() {
    let rp = Rp::start().await;
    for n in 0..50 {
        rp.register(&format!("s{n}"), json!({"subject": opaque("u"), "device": format!("d{n}")})).await;
    }
    let checks = json!({"checks": (0..50).map(|n| json!({"sid": format!("s{n}")})).collect::<Vec<_>>()});
    for round in 1..20 {
        let subject = opaque("u");
        let payload = json!({"event_timestamp": START - 1_000 + round});
        let (told, (_, answer)) = tokio::join!(
            rp.receive(rp.set("session-revoked", &subject, &payload)),
            rp.call(Method::POST, "/v1/check/batch", Some(&checks)),
        );
        told.unwrap();
        let mut states: Vec<_> = answer["results"].as_array().unwrap().iter().map(|r| r["state"].clone()).collect();
        states.dedup();
        assert_eq!(states.len(), 1, "round {round}");
        for n in 0..50 {
            let origin = START - 1_000 + round + 1;
            rp.register(&format!("s{n}"), json!({"subject": opaque("u"), "device": format!("d{n}"), "origin": origin}))
                .await;
        }
    }
}
