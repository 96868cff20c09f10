//! What one process wrote, another answers from after its next look, and says so honestly.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Worker as _;
use ssf_harness::TestCluster;
use ssf_receiver::validity::{NotNow, Question, Validity};

use crate::rp::{Rp, START, prepared};

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// Two processes on one database.
async fn two() -> [Rp; 2] {
    let database = TestCluster::shared().await.scratch_database("rp").await.unwrap();
    let pool = prepared(&database).await;
    [Rp::on(pool.clone()).await, Rp::on(pool).await]
}

#[tokio::test]
async fn a_set_is_in_the_memory_of_its_process_when_it_is_acknowledged_and_in_others_after_a_look() {
    let [here, there] = two().await;
    let user = opaque("user-1");
    here.register("s-1", json!({"subject": user})).await;
    assert_eq!(there.state("s-1").await, "active");
    let set = here.set_called("the-set", "session-revoked", &user, &json!({}));
    here.receive(set.clone()).await.unwrap();
    assert_eq!(here.state("s-1").await, "revoked");
    assert_eq!(there.state("s-1").await, "active", "nothing told the other process yet");
    // redelivered to the other process: known there, and yet to be in its memory before it is acknowledged
    there.receive(set).await.unwrap();
    assert_eq!(there.state("s-1").await, "revoked");
}

#[tokio::test]
async fn who_registers_a_session_hears_of_what_another_process_has_committed() {
    let [here, there] = two().await;
    here.tell("session-revoked", &opaque("user-1"), &json!({})).await;
    // nobody will call back about it: when it was decided there was no such session
    let login = json!({"subject": opaque("user-1"), "origin": START - 60});
    let (status, body) = there.register("s-1", login).await;
    assert_eq!((status, &body["state"]), (201, &json!("revoked")), "{body}");
}

#[tokio::test]
async fn no_answer_claims_more_than_the_last_look_knows() {
    let [here, there] = two().await;
    let user = opaque("user-1");
    here.register("s-1", json!({"subject": user})).await;
    assert_eq!(there.state("s-1").await, "active");
    let at_start = Timestamp::from_unix_seconds(START).to_string();
    for clock in [&here.clock, &there.clock] {
        clock.advance(Duration::from_secs(5));
    }
    here.tell("session-revoked", &user, &json!({})).await;
    let answer = there.call(Method::GET, "/v1/sessions/s-1", None).await.1;
    assert_eq!((&answer["state"], &answer["as_of"]), (&json!("active"), &json!(at_start)));
    there.look().await;
    let answer = there.call(Method::GET, "/v1/sessions/s-1", None).await.1;
    let later = Timestamp::from_unix_seconds(START + 5).to_string();
    assert_eq!((&answer["state"], &answer["as_of"]), (&json!("revoked"), &json!(later)));
}

#[tokio::test]
async fn a_change_of_a_session_reaches_the_memory_of_every_process() {
    let [here, there] = two().await;
    let (alice, bob) = (opaque("alice"), opaque("bob"));
    here.tell("revalidate", &alice, &json!({"event_timestamp": START})).await;
    here.tell("session-revoked", &bob, &json!({"event_timestamp": START})).await;
    here.register("s-1", json!({"subject": alice})).await;
    there.look().await;
    assert_eq!(there.state("s-1").await, "revalidate_required");

    let told = json!({"validated": START + 1});
    assert_eq!(here.call(Method::POST, "/v1/sessions/s-1/revalidated", Some(&told)).await.0, 200);
    assert_eq!(here.state("s-1").await, "active", "the process that was told knows at once");
    assert_eq!(there.state("s-1").await, "revalidate_required");
    there.look().await;
    assert_eq!(there.state("s-1").await, "active");

    // a new login of somebody else under the same name
    assert_eq!(here.register("s-1", json!({"subject": bob, "origin": START - 1})).await.0, 200);
    there.look().await;
    assert_eq!(there.state("s-1").await, "revoked");
    let second = json!({"subject": bob, "origin": START - 1_000, "issuer": crate::rp::ISSUER});
    assert_eq!(here.call(Method::PUT, "/v1/sessions/s-2", Some(&second)).await.0, 201);
    assert_eq!(there.state("s-2").await, "revoked", "what is not in memory is read");

    assert_eq!(there.call(Method::DELETE, "/v1/sessions/s-2", None).await.0, 204);
    assert_eq!(there.state("s-2").await, "unknown");
    assert_eq!(here.state("s-2").await, "revoked");
    here.look().await;
    assert_eq!(here.state("s-2").await, "unknown");
}

#[tokio::test]
async fn what_was_removed_from_the_table_leaves_every_memory_unless_it_came_back() {
    let [here, there] = two().await;
    let described = |id: &str| json!({"issuer": crate::rp::ISSUER, "subject": opaque(id), "origin": START - 1_000});
    for id in ["gone", "back"] {
        here.tell("session-revoked", &opaque(id), &json!({})).await;
    }
    there.look().await;
    sqlx::query("delete from cutoff").execute(&here.pool).await.unwrap();
    here.tell("revalidate", &opaque("back"), &json!({"event_timestamp": START})).await;
    for rp in [&here, &there] {
        rp.look().await;
        for (id, state) in [("gone", "active"), ("back", "revalidate_required")] {
            let answer = rp.call(Method::POST, "/v1/check", Some(&described(id))).await.1;
            assert_eq!(answer["state"], state, "{id}");
        }
    }
}

#[tokio::test]
async fn a_process_that_slept_longer_than_changes_are_kept_reads_every_session_anew() {
    let [here, there] = two().await;
    let user = opaque("user-1");
    here.register("s-1", json!({"subject": user})).await;
    assert_eq!(there.state("s-1").await, "active");
    assert_eq!(here.call(Method::DELETE, "/v1/sessions/s-1", None).await.0, 204);
    // its note is gone, as after a quarter of an hour
    sqlx::query("delete from session_change").execute(&here.pool).await.unwrap();
    there.clock.advance(Duration::from_mins(11));
    there.look().await;
    assert_eq!(there.state("s-1").await, "unknown");
}

#[tokio::test]
async fn notes_of_changes_are_removed_when_nobody_needs_them() {
    let rp = Rp::start().await;
    rp.register("s-1", json!({"subject": opaque("user-1")})).await;
    rp.call(Method::DELETE, "/v1/sessions/s-1", None).await;
    let notes = async || -> i64 {
        sqlx::query_scalar("select count(*) from session_change").fetch_one(&rp.pool).await.unwrap()
    };
    rp.look().await;
    assert_eq!(notes().await, 1);
    for _ in 0..15 {
        rp.clock.advance(Duration::from_mins(1));
        rp.look().await;
    }
    assert_eq!(notes().await, 1, "the horizon of a quarter of an hour ago lies before the change");
    // others on this server may hold the horizon back for a moment
    for _ in 0..100 {
        rp.clock.advance(Duration::from_mins(1));
        rp.look().await;
    }
    assert_eq!(notes().await, 0);
}

#[tokio::test]
async fn numbers_that_a_new_server_gave_a_second_time_are_read_again() {
    let [here, there] = two().await;
    for number in 0..3 {
        here.tell("session-revoked", &opaque(&format!("user-{number}")), &json!({})).await;
    }
    there.look().await;
    // the connection is lost; the standby that takes over lacks the last two commits and gives their numbers to others
    sqlx::raw_sql("alter table feed rename to feed_away").execute(&here.pool).await.unwrap();
    assert!(there.replica.follow_feed().await.is_err());
    sqlx::raw_sql(
        "alter table feed_away rename to feed;
         delete from cutoff where feed_seq > 1; truncate cutoff_removal; update feed set seq = 1",
    )
    .execute(&here.pool)
    .await
    .unwrap();
    let late = Rp::on(here.pool.clone()).await;
    for number in 10..14 {
        late.tell("session-revoked", &opaque(&format!("user-{number}")), &json!({})).await;
    }
    there.look().await;
    for number in 10..14 {
        let user = opaque(&format!("user-{number}"));
        let described = json!({"issuer": crate::rp::ISSUER, "subject": user, "origin": START - 1_000});
        assert_eq!(there.call(Method::POST, "/v1/check", Some(&described)).await.1["state"], "revoked", "{number}");
    }
}

#[tokio::test]
async fn an_application_asks_in_its_own_process_without_waiting() {
    let rp = Rp::start().await;
    let validity = Validity::new(rp.replica.clone(), rp.env());
    let named = Question::named("s-1".into());
    assert_eq!(validity.check_now(&named), Err(NotNow::NotInMemory));
    rp.register("s-1", json!({"subject": opaque("user-1")})).await;
    assert_eq!(validity.check_now(&named).unwrap(), validity.check(&named).await.unwrap());
    rp.tell("session-revoked", &opaque("user-1"), &json!({})).await;
    assert_eq!(validity.check_now(&named).unwrap().verdict.state, ssf_receiver::validity::State::Revoked);
}

#[tokio::test]
async fn a_report_tells_when_each_process_saw_a_cut_off_and_counts_until_the_last_did() {
    let [here, there] = two().await;
    let pass = |ms| [&here.clock, &there.clock].map(|clock| clock.advance(Duration::from_millis(ms)));
    here.tell("session-revoked", &opaque("user-1"), &json!({})).await;
    pass(700);
    there.look().await;
    // of a second one, the other process has not told yet
    here.tell("session-revoked", &opaque("user-2"), &json!({})).await;
    here.inbox.applied_log().tick().await.unwrap();
    for rp in [&here, &there] {
        rp.replica.give_sign().await.unwrap();
    }
    let (_, page) = here.call(Method::GET, &format!("/v1/windows/cutoffs?since={}", START - 1), None).await;
    let at = |ms: i64| json!(Timestamp::from_unix_millis(START * 1_000 + ms));
    let times = |line: &Value| -> Vec<Value> {
        line["visible"].as_array().unwrap().iter().map(|seen| seen["visible_at"].clone()).collect()
    };
    let [first, second] = [&page["cutoffs"][0], &page["cutoffs"][1]];
    let mut seen = times(first);
    seen.sort_by_key(|seen| *seen == at(700));
    assert_eq!((seen, &first["visible_at"]), (vec![at(0), at(700)], &at(700)), "{first}");
    assert_eq!(first["legs_ms"]["receiver"], 700.0);
    assert_eq!((times(second), &second["visible_at"]), (vec![at(700)], &at(700)), "{second}");
}

#[tokio::test]
async fn a_transaction_that_does_not_end_makes_nobody_read_the_same_changes_again_and_again() {
    let [here, there] = two().await;
    let mut open = here.pool.begin().await.unwrap();
    sqlx::query("select pg_current_xact_id()").execute(&mut *open).await.unwrap();
    for sid in ["quiet", "busy"] {
        here.register(sid, json!({"subject": opaque("user-1")})).await;
    }
    there.look().await;
    let change = |sid: &'static str| {
        let pool = here.pool.clone();
        async move {
            let change = "update session set updated_at = updated_at + interval '1 second' where sid = $1";
            sqlx::query(change).bind(sid).execute(&pool).await.unwrap();
        }
    };
    let is_held = |sid: &str| there.replica.memory().session(&sid.into()).1.is_some();
    change("busy").await;
    there.look().await;
    for sid in ["quiet", "busy"] {
        there.state(sid).await;
    }
    there.look().await;
    assert!(is_held("quiet") && is_held("busy"), "what was read is not dropped again");
    change("busy").await;
    there.look().await;
    assert!(is_held("quiet") && !is_held("busy"), "what is new is");
    open.rollback().await.unwrap();
    there.state("busy").await;
    there.look().await;
    assert!(is_held("busy"));
    change("busy").await;
    there.look().await;
    assert!(!is_held("busy"), "nor is anything missed when the horizon moves on");
}
