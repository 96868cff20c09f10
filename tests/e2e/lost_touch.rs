//! Out of touch: what the application is told while an issuer is silent, while the database is away, and after events may
//! have been lost; and what an operator can do about it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use ssf_common::runtime::postgres;
use ssf_harness::TestCluster;
use ssf_receiver::SCHEMA;
use ssf_receiver::audit::Actor;
use ssf_receiver::break_glass;

use crate::rp::{ISSUER, Rp, START, prepared};

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// Registers one session on a bearer token and one that is bound to a key, both asserted at the beginning.
async fn with_two_sessions() -> Rp {
    let rp = Rp::start().await;
    for (sid, binding) in [("bearer", "bearer"), ("bound", "dpop")] {
        let body = json!({"subject": opaque("user-1"), "session": sid, "origin": START, "binding": binding});
        assert_eq!(rp.register(sid, body).await.0, 201);
    }
    rp
}

/// State, reason and staleness of a session.
async fn told(rp: &Rp, sid: &str) -> (String, Value, bool) {
    // each by whoever has shown what it is bound to
    let binding = if sid == "bound" { "?binding=dpop" } else { "" };
    let answer = rp.call(Method::GET, &format!("/v1/sessions/{sid}{binding}"), None).await.1;
    (answer["state"].as_str().unwrap().to_owned(), answer["reason"].clone(), answer["stale"].as_bool().unwrap())
}

/// Time passes, and the process looks.
async fn later(rp: &Rp, by: Duration) {
    rp.clock.advance(by);
    rp.look().await;
}

fn active(is_stale: bool) -> (String, Value, bool) {
    ("active".to_owned(), Value::Null, is_stale)
}

fn suspended(reason: &str, is_stale: bool) -> (String, Value, bool) {
    ("revalidate_required".to_owned(), json!(reason), is_stale)
}

#[tokio::test]
async fn a_silent_issuer_makes_answers_stale_and_then_suspends_each_class_within_its_window() {
    let rp = with_two_sessions().await;
    assert_eq!(told(&rp, "bearer").await, active(false));
    later(&rp, Duration::from_secs(151)).await;
    assert_eq!((told(&rp, "bearer").await, told(&rp, "bound").await), (active(true), active(false)));
    let stolen = rp.call(Method::GET, "/v1/sessions/bound", None).await.1;
    assert_eq!((&stolen["class"], &stolen["stale"]), (&json!("bearer"), &json!(true)), "nobody showed the key");
    later(&rp, Duration::from_secs(149)).await;
    assert_eq!(told(&rp, "bearer").await, active(true), "the window has not passed yet");
    later(&rp, Duration::from_secs(1)).await;
    let answer = rp.call(Method::GET, "/v1/sessions/bearer", None).await.1;
    assert_eq!((&answer["state"], &answer["reason"]), (&json!("revalidate_required"), &json!("out_of_touch")));
    assert_eq!((&answer["issuer_age_ms"], &answer["feed_age_ms"]), (&json!(301_000), &json!(0)));
    assert_eq!(told(&rp, "bound").await, active(false));
    later(&rp, Duration::from_hours(1)).await;
    assert_eq!(told(&rp, "bound").await, suspended("out_of_touch", true));

    // one sign of life, and all is as before; nothing was ever written about the sessions
    rp.tell("session-presented", &opaque("somebody-else"), &json!({})).await;
    rp.look().await;
    assert_eq!((told(&rp, "bearer").await, told(&rp, "bound").await), (active(false), active(false)));
    let touched: i64 = sqlx::query_scalar("select count(*) from session where updated_at > created_at")
        .fetch_one(&rp.pool)
        .await
        .unwrap();
    assert_eq!(touched, 0);
}

#[tokio::test]
async fn silence_never_hides_a_revocation() {
    let rp = with_two_sessions().await;
    rp.tell("session-revoked", &opaque("user-1"), &json!({})).await;
    later(&rp, Duration::from_hours(2)).await;
    assert_eq!(told(&rp, "bearer").await, ("revoked".to_owned(), json!("revoked_by_issuer"), true));
}

#[tokio::test]
async fn a_verification_is_a_sign_of_life_and_a_call_of_ours_is_not() {
    let rp = with_two_sessions().await;
    for _ in 0..10 {
        rp.clock.advance(Duration::from_mins(2));
        rp.tell("verification", &opaque("stream-1"), &json!({})).await;
        rp.look().await;
        assert_eq!(told(&rp, "bearer").await, active(false));
    }
    rp.clock.advance(Duration::from_mins(6));
    let contact = "update upstream set last_contact_at = to_timestamp($1)";
    #[expect(clippy::cast_precision_loss, reason = "seconds are small enough")]
    let now = rp.clock_seconds() as f64;
    sqlx::query(contact).bind(now).execute(&rp.pool).await.unwrap();
    rp.look().await;
    assert_eq!(told(&rp, "bearer").await, suspended("out_of_touch", true));
}

#[tokio::test]
async fn without_its_database_a_process_answers_from_memory_until_that_is_too_old() {
    let mut cluster = TestCluster::dedicated().await.unwrap();
    let database = cluster.scratch_database("rp").await.unwrap();
    let rp = Rp::on(prepared(&database).await).await;
    let described = json!({"issuer": ISSUER, "subject": opaque("user-1"), "origin": START});
    let ask = async || rp.call(Method::POST, "/v1/check", Some(&described)).await;
    assert_eq!(ask().await.1["state"], "active");
    cluster.stop().await;
    for (after, state, is_stale, age) in
        [(100, "active", false, 100_000), (100, "active", true, 200_000), (101, "revalidate_required", true, 301_000)]
    {
        rp.clock.advance(Duration::from_secs(after));
        assert!(rp.replica.follow_feed().await.is_err());
        let (status, answer) = ask().await;
        assert_eq!((status, &answer["state"], &answer["stale"]), (200, &json!(state), &json!(is_stale)), "{answer}");
        assert_eq!(answer["feed_age_ms"], age);
    }
    cluster.start().await.unwrap();
    let pool = postgres::connect(database.options.clone(), SCHEMA, 2, "e2e").await.unwrap();
    // the issuer is heard of while this process cannot read yet
    sqlx::query("update upstream set last_verified_at = to_timestamp($1)")
        .bind(f64::from(u32::try_from(rp.clock_seconds()).unwrap()))
        .execute(&pool)
        .await
        .unwrap();
    while rp.replica.follow_feed().await.is_err() || rp.replica.follow_changes().await.is_err() {
        tokio::task::yield_now().await;
    }
    let answer = ask().await.1;
    assert_eq!((&answer["state"], &answer["feed_age_ms"]), (&json!("active"), &json!(0)));
}

/// The stream of the only upstream was away from `since` until now.
async fn gap(rp: &Rp, since: i64) {
    let now = rp.clock_seconds();
    sqlx::query(
        "insert into upstream_gap (upstream_id, since, until, cause)
         select id, to_timestamp($1), to_timestamp($2), 'stream_vanished' from upstream",
    )
    .bind(f64::from(u32::try_from(since).unwrap()))
    .bind(f64::from(u32::try_from(now).unwrap()))
    .execute(&rp.pool)
    .await
    .unwrap();
    rp.tell("verification", &opaque("stream-1"), &json!({})).await;
    rp.look().await;
}

#[tokio::test]
async fn after_a_gap_every_session_is_revalidated_in_its_turn_and_none_twice() {
    const SESSIONS: usize = 60;
    let rp = Rp::start().await;
    for number in 0..SESSIONS {
        let body = json!({"subject": opaque(&format!("user-{number}")), "origin": START});
        assert_eq!(rp.register(&format!("s-{number}"), body).await.0, 201);
    }
    let checks: Vec<Value> = (0..SESSIONS).map(|number| json!({"sid": format!("s-{number}")})).collect();
    let due = async || -> Vec<bool> {
        let answer = rp.call(Method::POST, "/v1/check/batch", Some(&json!({"checks": checks}))).await.1;
        let results = answer["results"].as_array().unwrap();
        results
            .iter()
            .map(|result| match (result["state"].as_str().unwrap(), &result["reason"]) {
                ("active", Value::Null) => false,
                ("revalidate_required", reason) if reason == "gap" => true,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    rp.clock.advance(Duration::from_mins(1));
    gap(&rp, START + 10).await;
    let mut counts = Vec::new();
    for _ in 0..=4 {
        counts.push(due().await.iter().filter(|is_due| **is_due).count());
        rp.clock.advance(Duration::from_secs(30));
        rp.tell("verification", &opaque("stream-1"), &json!({})).await;
        rp.look().await;
    }
    assert!(counts[0] <= 1 && counts.is_sorted() && counts[4] == SESSIONS, "{counts:?}");
    assert!(
        (SESSIONS / 4..=SESSIONS * 3 / 4).contains(&counts[2]),
        "half of the spread, half of the sessions: {counts:?}"
    );

    // who is asserted anew is done with this gap; another process says the same of everybody
    let now = rp.clock_seconds();
    for number in 0..SESSIONS / 2 {
        let told = json!({"validated": now});
        rp.call(Method::POST, &format!("/v1/sessions/s-{number}/revalidated"), Some(&told)).await;
    }
    let expected: Vec<bool> = (0..SESSIONS).map(|number| number >= SESSIONS / 2).collect();
    assert_eq!(due().await, expected);
}

#[tokio::test]
async fn two_processes_agree_whose_turn_it_is() {
    let rp = Rp::start().await;
    let other = Rp::on(rp.pool.clone()).await;
    rp.clock.advance(Duration::from_mins(1));
    other.clock.advance(Duration::from_mins(1));
    gap(&rp, START).await;
    let checks: Vec<Value> = (0..200)
        .map(|number| json!({"issuer": ISSUER, "subject": opaque(&format!("user-{number}")), "origin": START}))
        .collect();
    let mut both = Vec::new();
    for rp in [&rp, &other] {
        rp.clock.advance(Duration::from_mins(1));
        rp.look().await;
        let answer = rp.call(Method::POST, "/v1/check/batch", Some(&json!({"checks": checks}))).await.1;
        let states: Vec<Value> = answer["results"].as_array().unwrap().iter().map(|r| r["state"].clone()).collect();
        both.push(states);
    }
    assert_eq!(both[0], both[1]);
    let waiting = both[0].iter().filter(|state| **state == "revalidate_required").count();
    assert!((50..150).contains(&waiting), "{waiting}");
}

#[tokio::test]
async fn break_glass_lifts_suspensions_for_a_while_and_no_revocation() {
    let rp = with_two_sessions().await;
    rp.register("over", json!({"subject": opaque("user-2"), "origin": START})).await;
    rp.tell("session-revoked", &opaque("user-2"), &json!({})).await;
    later(&rp, Duration::from_mins(10)).await;
    assert_eq!(told(&rp, "bearer").await, suspended("out_of_touch", true));

    let env = rp.env();
    let hour = Duration::from_hours(1);
    let actor = Actor::CommandLine(0);
    break_glass::open(&rp.pool, &env, &ISSUER.into(), hour, "the IdP is down, change 4711", &actor).await.unwrap();
    rp.look().await;
    let answer = rp.call(Method::GET, "/v1/sessions/bearer", None).await.1;
    let shown = (&answer["state"], &answer["stale"], &answer["break_glass"]);
    assert_eq!(shown, (&json!("active"), &json!(true), &json!(true)));
    assert_eq!(told(&rp, "over").await.0, "revoked");

    // it ends by itself, even if nobody can look any more
    rp.clock.advance(hour);
    let answer = rp.call(Method::GET, "/v1/sessions/bearer", None).await.1;
    assert_eq!((&answer["reason"], answer.get("break_glass")), (&json!("out_of_touch"), None));

    // or before its time
    break_glass::open(&rp.pool, &env, &ISSUER.into(), hour, "once more", &actor).await.unwrap();
    rp.look().await;
    assert_eq!(told(&rp, "bearer").await, active(true));
    assert!(break_glass::close(&rp.pool, &env, &ISSUER.into(), &actor).await.unwrap());
    assert!(!break_glass::close(&rp.pool, &env, &ISSUER.into(), &actor).await.unwrap());
    rp.look().await;
    assert_eq!(told(&rp, "bearer").await, suspended("out_of_touch", true));
    let deeds: Vec<String> =
        sqlx::query_scalar("select action from audit order by id").fetch_all(&rp.pool).await.unwrap();
    assert_eq!(deeds, ["breakglass.open", "breakglass.open", "breakglass.close"]);
}

#[tokio::test]
async fn break_glass_is_refused_without_a_reason_an_issuer_or_an_end() {
    let rp = Rp::start().await;
    let actor = Actor::AdminApi;
    let open = async |issuer: &str, hours, reason: &str| {
        let lasting = Duration::from_hours(hours);
        let opened = break_glass::open(&rp.pool, &rp.env(), &issuer.into(), lasting, reason, &actor).await;
        opened.map_err(|error| error.to_string())
    };
    assert!(open("https://other.example", 1, "why").await.unwrap_err().starts_with("issuer:"));
    assert!(open(ISSUER, 0, "why").await.unwrap_err().starts_with("for:"));
    assert!(open(ISSUER, 5, "why").await.unwrap_err().starts_with("for:"));
    assert!(open(ISSUER, 1, " ").await.unwrap_err().starts_with("reason:"));
    assert!(break_glass::list(&rp.pool, rp.env().now(), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_issuer_that_nobody_listens_to_any_more_vouches_for_nobody() {
    let rp = with_two_sessions().await;
    sqlx::query("update upstream set removed_at = to_timestamp(0), state = 'removed'").execute(&rp.pool).await.unwrap();
    rp.look().await;
    assert_eq!(told(&rp, "bearer").await, suspended("out_of_touch", true));
    let described = json!({"issuer": ISSUER, "subject": opaque("user-1"), "origin": START});
    let answer = rp.call(Method::POST, "/v1/check", Some(&described)).await.1;
    assert_eq!((&answer["state"], &answer["reason"]), (&json!("unknown"), &json!("unknown_issuer")));
}
