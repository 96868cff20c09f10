//! What is removed because it can no longer matter, and that nothing becomes good again by it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use sqlx::migrate::Migrator;
use ssf_common::random::{Random as _, SeededRandom};
use ssf_common::runtime::{Worker as _, postgres};
use ssf_harness::TestCluster;
use ssf_receiver::inbox::Receipt;
use ssf_receiver::upkeep::{Kept, Upkeep};
use ssf_receiver::{MIGRATIONS, SCHEMA};

use super::{number, opaque};
use crate::rp::{Rp, START};

const DAY: Duration = Duration::from_hours(24);
const KEPT: Kept = Kept { lineage_cap: Duration::from_hours(90 * 24), replay_horizon: Duration::from_hours(30 * 24) };

async fn clean(rp: &Rp) {
    let upkeep = Upkeep::new(rp.pool.clone(), rp.env(), KEPT);
    while upkeep.tick().await.unwrap() > 0 {}
}

/// The issuer is heard of, and everything is taken in.
async fn hear(rp: &Rp) {
    rp.tell("session-presented", &opaque("nobody"), &json!({})).await;
    rp.look().await;
}

async fn told(rp: &Rp, sid: &str) -> (String, String) {
    let (_, answer) = rp.call(reqwest::Method::GET, &format!("/v1/sessions/{sid}"), None).await;
    let text = |member: &str| answer[member].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn is(state: &str, reason: &str) -> (String, String) {
    (state.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_session_is_over_when_its_lineage_is_as_old_as_the_cap_however_often_it_was_revalidated() {
    let rp = Rp::start().await;
    rp.register("s", json!({"subject": opaque("u"), "origin": START})).await;
    rp.clock.advance(89 * DAY);
    hear(&rp).await;
    let now = rp.clock_seconds();
    let (status, _) =
        rp.call(reqwest::Method::POST, "/v1/sessions/s/revalidated", Some(&json!({"validated": now}))).await;
    assert_eq!((status, told(&rp, "s").await), (200, is("active", "")));
    rp.clock.advance(DAY);
    hear(&rp).await;
    assert_eq!(told(&rp, "s").await, is("revoked", "too_old"));
    let described = json!({"issuer": crate::rp::ISSUER, "subject": opaque("u"), "origin": START, "validated": now});
    let (_, answer) = rp.call(reqwest::Method::POST, "/v1/check", Some(&described)).await;
    assert_eq!((&answer["state"], &answer["reason"]), (&json!("revoked"), &json!("too_old")), "{answer}");
    rp.register("s", json!({"subject": opaque("u"), "origin": rp.clock_seconds()})).await;
    assert_eq!(told(&rp, "s").await, is("active", ""), "a new login is a new lineage");
}

#[tokio::test]
async fn cut_offs_are_collected_after_the_cap_in_every_process_and_blocks_never() {
    let rp = Rp::start().await;
    let other = Rp::on(rp.pool.clone()).await;
    for user in ["revoked", "asked", "shut-out", "let-in"] {
        rp.register(user, json!({"subject": opaque(user), "origin": START - 100})).await;
    }
    rp.tell("session-revoked", &opaque("revoked"), &json!({"event_timestamp": START - 10})).await;
    rp.tell("revalidate", &opaque("asked"), &json!({"event_timestamp": START - 10})).await;
    rp.tell("account-disabled", &opaque("shut-out"), &json!({"event_timestamp": START - 10})).await;
    rp.tell("account-disabled", &opaque("let-in"), &json!({"event_timestamp": START - 10})).await;
    rp.tell("account-enabled", &opaque("let-in"), &json!({"event_timestamp": START - 5})).await;
    // both looked so far
    for rp in [&rp, &other] {
        rp.look().await;
        assert_eq!(rp.replica.memory().facts().cutoffs.len(), 4);
    }
    rp.clock.advance(90 * DAY);
    clean(&rp).await;
    assert_eq!(number(&rp, "select count(*) from cutoff").await, 4, "clocks may differ by a minute");
    rp.clock.advance(Duration::from_mins(2));
    clean(&rp).await;
    assert_eq!(number(&rp, "select count(*) from cutoff").await, 2);
    assert_eq!(number(&rp, "select count(*) from session").await, 0, "whatever began then is over, too");
    for rp in [&rp, &other] {
        rp.look().await;
        assert_eq!(rp.replica.memory().facts().cutoffs.len(), 2);
    }
    hear(&rp).await;
    rp.register("revoked", json!({"subject": opaque("revoked"), "origin": START - 100})).await;
    assert_eq!(told(&rp, "revoked").await, is("revoked", "too_old"));
    rp.register("shut-out", json!({"subject": opaque("shut-out"), "origin": rp.clock_seconds()})).await;
    assert_eq!(told(&rp, "shut-out").await, is("revoked", "blocked"));
    rp.register("let-in", json!({"subject": opaque("let-in"), "origin": rp.clock_seconds()})).await;
    assert_eq!(told(&rp, "let-in").await, is("active", ""));
}

/// Two receivers hear the same for half a year, of eight users; one of them cleans every few days. Whoever is asked about,
/// with whatever lineage, both say the same.
#[tokio::test]
async fn a_receiver_that_cleans_answers_like_one_that_never_does() {
    let random = SeededRandom::new(11);
    let draw = |below: u64| {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        u64::from_be_bytes(bytes) % below
    };
    let (cleaning, keeping) = (Rp::start().await, Rp::start().await);
    let mut collected = BTreeMap::new();
    for step in 0..40_u64 {
        let hours = 24 + draw(200);
        for rp in [&cleaning, &keeping] {
            rp.clock.advance(Duration::from_hours(hours));
        }
        let user = opaque(&format!("u{}", draw(8)));
        let ago = i64::try_from(draw(20 * 86_400)).unwrap();
        let event = ["session-revoked", "revalidate", "account-disabled", "account-enabled"]
            [usize::try_from(draw(6)).unwrap().min(3)];
        for rp in [&cleaning, &keeping] {
            rp.tell(event, &user, &json!({"event_timestamp": rp.clock_seconds() - ago})).await;
            rp.look().await;
        }
        if step % 3 == 0 {
            clean(&cleaning).await;
            cleaning.look().await;
        }
        let now = cleaning.clock_seconds();
        let questions: Vec<_> = (0..24)
            .map(|n| {
                let origin = now - i64::try_from(draw(130 * 86_400)).unwrap();
                let validated = origin + i64::try_from(draw(u64::try_from(now - origin).unwrap() + 1)).unwrap();
                json!({"issuer": crate::rp::ISSUER, "subject": opaque(&format!("u{}", n % 8)), "origin": origin, "validated": validated})
            })
            .collect();
        for question in &questions {
            let ask = async |rp: &Rp| rp.call(reqwest::Method::POST, "/v1/check", Some(question)).await.1;
            let (one, two) = (ask(&cleaning).await, ask(&keeping).await);
            assert_eq!((&one["state"], &one["reason"]), (&two["state"], &two["reason"]), "{step}: {question}");
            *collected.entry(one["reason"].as_str().unwrap_or("active").to_owned()).or_insert(0) += 1;
        }
    }
    let (left, all) =
        (number(&cleaning, "select count(*) from cutoff").await, number(&keeping, "select count(*) from cutoff").await);
    assert!(left <= all && collected.len() >= 4, "{left} of {all} left; {collected:?}");
}

#[tokio::test]
async fn a_set_is_known_again_for_as_long_as_the_horizon_and_harmless_after_it() {
    let rp = Rp::start().await;
    rp.register("s", json!({"subject": opaque("u"), "origin": START})).await;
    let set = rp.set("session-revoked", &opaque("u"), &json!({"event_timestamp": START - 10}));
    let days = "select count(*) from pg_inherits where inhparent = 'received_set'::regclass";
    assert!(matches!(rp.receive(set.clone()).await.unwrap(), Receipt::Applied { .. }));
    for _ in 0..3 {
        rp.clock.advance(10 * DAY);
        clean(&rp).await;
        assert_eq!(rp.receive(set.clone()).await.unwrap(), Receipt::Known, "{}", rp.clock_seconds());
    }
    hear(&rp).await;
    assert_eq!(number(&rp, "select count(*) from received_set").await, 2);
    rp.clock.advance(3 * DAY);
    clean(&rp).await;
    assert_eq!(number(&rp, "select count(*) from received_set").await, 1, "its day is dropped");
    assert_eq!(number(&rp, "select count(*) from applied_batch").await, 0);
    let before = number(&rp, "select count(*) from cutoff").await;
    assert!(matches!(rp.receive(set.clone()).await.unwrap(), Receipt::Applied { .. }), "an old SET is never refused");
    assert_eq!(rp.receive(set).await.unwrap(), Receipt::Known);
    assert_eq!(number(&rp, "select count(*) from cutoff").await, before);
    hear(&rp).await;
    assert_eq!(told(&rp, "s").await, is("active", ""), "it revokes what it revoked the first time, and no more");
    assert!(number(&rp, days).await <= 34);
    let ahead = "select count(*) from generate_series(0, 2) d where to_regclass('received_set_' || to_char(date '2026-12-21' + d::int, 'YYYYMMDD')) is not null";
    assert_eq!(number(&rp, ahead).await, 3, "the days to come are there");
}

#[tokio::test]
async fn a_database_of_an_older_program_keeps_what_it_received_and_knows_it_again() {
    let database = TestCluster::shared().await.scratch_database("rp").await.unwrap();
    let pool = postgres::connect(database.options.clone(), SCHEMA, 8, "e2e").await.unwrap();
    let old = Migrator::with_migrations(MIGRATIONS.iter().filter(|m| m.version <= 13).cloned().collect());
    postgres::migrate(&pool, SCHEMA, &old).await.unwrap();
    let rp_id = "0195d0c0-0000-7000-8000-000000000001";
    let insert = "insert into received_set (upstream_id, jti, event_type, method, effect, received_at, batch_id)
                  select $1::uuid, 'set-' || n, 'session-revoked', 'push', 'revoke', to_timestamp($2 - n * 3600), gen_random_uuid()
                  from generate_series(0, 99) n";
    sqlx::query(insert).bind(rp_id).bind(START).execute(&pool).await.unwrap();
    postgres::migrate(&pool, SCHEMA, &MIGRATIONS).await.unwrap();
    let rp = Rp::on(pool.clone()).await;
    assert_eq!(number(&rp, "select count(*) from received_set").await, 100);
    sqlx::query("update received_set set upstream_id = $1").bind(rp.upstream.0).execute(&pool).await.unwrap();
    for known in ["set-0", "set-99"] {
        let set = rp.set_called(known, "session-revoked", &opaque("u"), &json!({}));
        assert_eq!(rp.receive(set).await.unwrap(), Receipt::Known, "{known}");
    }
    let set = rp.set_called("set-100", "session-revoked", &opaque("u"), &json!({}));
    assert!(matches!(rp.receive(set).await.unwrap(), Receipt::Applied { .. }));
    rp.clock.advance(40 * DAY);
    clean(&rp).await;
    assert_eq!(number(&rp, "select count(*) from received_set").await, 0);
}
