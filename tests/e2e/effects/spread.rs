//! Which sessions are told of: those whose state a decision changed, each once, however many there are.

use std::time::Duration;

use reqwest::Method as Verb;
use serde_json::json;
use ssf_common::runtime::Worker as _;
use ssf_receiver::session::Sid;

use super::{House, decided, user};
use crate::rp::{Rp, START};

/// What was told so far: session, change, reason, event type.
async fn told(rp: &Rp) -> Vec<(String, String, Option<String>, String)> {
    sqlx::query_as("select sid, change, reason, event_type from effect order by position")
        .fetch_all(&rp.pool)
        .await
        .unwrap()
}

fn line(sid: &str, change: &str, reason: Option<&str>, event: &str) -> (String, String, Option<String>, String) {
    (sid.to_owned(), change.to_owned(), reason.map(str::to_owned), event.to_owned())
}

#[tokio::test]
async fn a_decision_is_told_of_the_sessions_it_changes_and_of_no_other() {
    let house = House::start().await;
    for (sid, name) in [("a-1", "alice"), ("a-2", "alice"), ("b-1", "bob")] {
        house.session(sid, &user(name)).await;
    }
    house.rp.register("a-new", json!({"subject": user("alice"), "origin": START + 5})).await;
    house.session("a-ended", &user("alice")).await;
    house.rp.call(Verb::DELETE, "/v1/sessions/a-ended", None).await;
    house.rp.tell("session-revoked", &user("alice"), &decided(0)).await;
    house.spread().await;
    let revoked = |sid| line(sid, "revoked", Some("revoked_by_issuer"), "session-revoked");
    assert_eq!(told(&house.rp).await, [revoked("a-1"), revoked("a-2")]);
}

#[tokio::test]
async fn nobody_is_told_of_the_session_of_a_probe() {
    let house = House::start().await;
    let probe = format!("{}1", Sid::PROBE);
    for sid in [&probe, "a-1"] {
        house.session(sid, &user("alice")).await;
    }
    let gap = "insert into upstream_gap (upstream_id, since, until, cause)
               select id, to_timestamp($1), to_timestamp($1), 'stream_vanished' from upstream";
    sqlx::query(gap).bind(START).execute(&house.rp.pool).await.unwrap();
    house.rp.clock.advance(Duration::from_mins(3));
    while house.effects.gaps().tick().await.unwrap() > 0 {}
    house.rp.tell("session-revoked", &user("alice"), &decided(0)).await;
    house.spread().await;
    let expected = [
        line("a-1", "revalidate_required", Some("gap"), "gap"),
        line("a-1", "revoked", Some("revoked_by_issuer"), "session-revoked"),
    ];
    assert_eq!(told(&house.rp).await, expected);
}

#[tokio::test]
async fn neither_repetition_nor_a_milder_decision_makes_a_second_effect() {
    let house = House::start().await;
    house.session("a-1", &user("alice")).await;
    for (event, seconds) in [
        ("revalidate", 0),
        ("revalidate", 1),
        ("session-revoked", 0),
        ("session-revoked", 2),
        ("revalidate", 3),
        ("account-disabled", 3),
    ] {
        house.rp.tell(event, &user("alice"), &decided(seconds)).await;
        house.spread().await;
    }
    let expected = [
        line("a-1", "revalidate_required", Some("revalidate_by_issuer"), "revalidate"),
        line("a-1", "revoked", Some("revoked_by_issuer"), "session-revoked"),
    ];
    assert_eq!(told(&house.rp).await, expected);
}

#[tokio::test]
async fn what_is_decided_between_two_looks_is_told_as_it_is_in_the_end() {
    let house = House::start().await;
    house.session("a-1", &user("alice")).await;
    house.rp.tell("session-revoked", &user("alice"), &decided(0)).await;
    house.rp.tell("revalidate", &user("alice"), &decided(1)).await;
    house.spread().await;
    assert_eq!(told(&house.rp).await, [line("a-1", "revoked", Some("revoked_by_issuer"), "session-revoked")]);
}

#[tokio::test]
async fn a_session_that_was_proved_again_is_told_of_the_next_call_and_who_is_let_in_again_is_told_too() {
    let house = House::start().await;
    house.session("a-1", &user("alice")).await;
    house.rp.tell("revalidate", &user("alice"), &decided(0)).await;
    house.spread().await;
    house.rp.clock.advance(Duration::from_mins(1));
    let proved = json!({"validated": START + 10});
    assert_eq!(house.rp.call(Verb::POST, "/v1/sessions/a-1/revalidated", Some(&proved)).await.1["state"], "active");
    house.rp.tell("revalidate", &user("alice"), &decided(20)).await;
    house.spread().await;
    // a session that began after the account was shut out, as far as the times tell
    house.rp.register("late", json!({"subject": user("carol"), "origin": START + 30})).await;
    house.rp.tell("account-disabled", &user("carol"), &decided(20)).await;
    house.spread().await;
    house.rp.tell("account-enabled", &user("carol"), &decided(25)).await;
    house.spread().await;
    let again = line("a-1", "revalidate_required", Some("revalidate_by_issuer"), "revalidate");
    let expected = [
        again.clone(),
        again,
        line("late", "revoked", Some("blocked"), "account-disabled"),
        line("late", "active", None, "account-enabled"),
    ];
    assert_eq!(told(&house.rp).await, expected);
}

#[tokio::test]
async fn a_mass_decision_is_gone_through_in_steps_holds_up_no_other_and_reaches_each_session_once() {
    let house = House::start().await;
    let sessions = "insert into session (sid, issuer_id, keys, origin, validated, binding, created_at, updated_at)
        select 'mass-' || n, s.issuer_id, s.keys, s.origin, s.validated, 'bearer', s.created_at, s.updated_at
        from generate_series(1, 1000) n, session s where s.sid = 'first'";
    house.session("first", &user("everybody")).await;
    sqlx::query(sessions).execute(&house.rp.pool).await.unwrap();
    house.session("a-1", &user("alice")).await;
    house.rp.tell("session-revoked", &user("everybody"), &decided(0)).await;
    house.effects.spread().tick().await.unwrap();
    house.rp.tell("session-revoked", &user("alice"), &decided(0)).await;
    house.effects.spread().tick().await.unwrap();
    let told_of = |told: &[(String, i64)], sid: &str| told.iter().any(|(one, ..)| one == sid);
    let so_far = told_by_name(&house.rp).await;
    assert!(told_of(&so_far, "a-1") && so_far.len() < 1_002, "{} told", so_far.len());
    // two processes, both of them dropped somewhere on the way
    for _ in 0..3 {
        let other = House::open(&house.rp, &house.applications, &[]).await;
        let (one, two) = (house.effects.spread(), other.spread());
        let hurry = Duration::from_millis(5);
        let _ = tokio::join!(tokio::time::timeout(hurry, one.tick()), tokio::time::timeout(hurry, two.tick()));
        let (one, two) = tokio::join!(one.tick(), two.tick());
        let _ = (one.unwrap(), two.unwrap());
    }
    house.spread().await;
    let told = told_by_name(&house.rp).await;
    assert_eq!(told.len(), 1_002);
    assert_eq!(told.iter().map(|(sid, _)| sid).collect::<std::collections::BTreeSet<_>>().len(), 1_002, "each once");
    let left: i64 = sqlx::query_scalar("select count(*) from effect_source").fetch_one(&house.rp.pool).await.unwrap();
    assert_eq!(left, 0);
    let waiting: i64 = sqlx::query_scalar("select count(*) from callback").fetch_one(&house.rp.pool).await.unwrap();
    assert_eq!(waiting, 1_002, "and one callback for each");
}

#[tokio::test]
async fn after_a_gap_the_application_is_told_of_every_session_that_must_be_proved_again() {
    let house = House::start().await;
    for n in 0..3 {
        house.session(&format!("a-{n}"), &user("alice")).await;
    }
    house.session("b-revoked", &user("bob")).await;
    house.rp.tell("session-revoked", &user("bob"), &decided(0)).await;
    house.spread().await;
    let gap = "insert into upstream_gap (upstream_id, since, until, cause)
               select id, to_timestamp($1), to_timestamp($1), 'stream_vanished' from upstream";
    house.rp.clock.advance(Duration::from_mins(1));
    sqlx::query(gap).bind(START + 60).execute(&house.rp.pool).await.unwrap();
    let proved = json!({"validated": START + 60});
    house.rp.clock.advance(Duration::from_secs(1));
    let proved_since = json!({"validated": START + 61});
    house.rp.call(Verb::POST, "/v1/sessions/a-1/revalidated", Some(&proved)).await;
    house.rp.call(Verb::POST, "/v1/sessions/a-2/revalidated", Some(&proved_since)).await;
    let walked = async || {
        while house.effects.gaps().tick().await.unwrap() > 0 {}
        told(&house.rp).await.split_off(1)
    };
    house.rp.clock.advance(Duration::from_secs(118));
    assert_eq!(walked().await, [], "the turns of sessions come within two minutes");
    house.rp.clock.advance(Duration::from_secs(1));
    // while an operator lets them go on, nothing is told
    let open = "insert into break_glass (issuer_id, opened_at, until, opened_by, reason)
                select id, to_timestamp($1), to_timestamp($1) + interval '1 hour', 'ops', 'it is down' from issuer";
    sqlx::query(open).bind(START).execute(&house.rp.pool).await.unwrap();
    assert_eq!(walked().await, []);
    sqlx::query("update break_glass set closed_at = opened_at, closed_by = 'ops'")
        .execute(&house.rp.pool)
        .await
        .unwrap();
    let required = |sid| line(sid, "revalidate_required", Some("gap"), "gap");
    assert_eq!(walked().await, [required("a-0"), required("a-1")]);
    assert_eq!(house.call("app").await, 3);
    // and questions are answered alike
    house.rp.replica.follow_changes().await.unwrap();
    for (sid, state) in [("a-0", "revalidate_required"), ("a-1", "revalidate_required"), ("a-2", "active")] {
        sqlx::query("update upstream set last_verified_at = to_timestamp($1)")
            .bind(START + 180)
            .execute(&house.rp.pool)
            .await
            .unwrap();
        house.rp.replica.follow_changes().await.unwrap();
        assert_eq!(house.rp.state(sid).await, state, "{sid}");
    }
    // who is let in again meets the gap
    house.rp.tell("account-disabled", &user("alice"), &decided(100)).await;
    house.spread().await;
    house.rp.tell("account-enabled", &user("alice"), &decided(110)).await;
    house.spread().await;
    let late = told(&house.rp).await.split_off(6);
    assert!(late.iter().all(|line| line.1 != "active" || line.0 == "a-2"), "{late:?}");
}

async fn told_by_name(rp: &Rp) -> Vec<(String, i64)> {
    sqlx::query_as("select sid, position from effect order by position").fetch_all(&rp.pool).await.unwrap()
}
