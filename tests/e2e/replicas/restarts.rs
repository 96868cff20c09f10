//! A process that begins again goes on from where it stood.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use ssf_common::clock::Timestamp;

use crate::rp::{ISSUER, Rp, START};

#[tokio::test]
async fn as_of_never_goes_back_over_a_restart_even_if_the_clock_does() {
    let rp = Rp::start().await;
    rp.register("s-1", json!({"subject": {"format": "opaque", "id": "user-1"}})).await;
    rp.clock.advance(Duration::from_mins(1));
    rp.look().await;
    rp.replica.give_sign().await.unwrap();
    let before = rp.call(Method::GET, "/v1/sessions/s-1", None).await.1["as_of"].clone();
    assert_eq!(before, json!(Timestamp::from_unix_seconds(START + 60).to_string()));

    // its clock begins at START again
    let again = Rp::again(&rp).await;
    assert_eq!(again.call(Method::GET, "/v1/sessions/s-1", None).await.1["as_of"], before);
    again.clock.advance(Duration::from_secs(61));
    again.look().await;
    let after = again.call(Method::GET, "/v1/sessions/s-1", None).await.1["as_of"].clone();
    assert_eq!(after, json!(Timestamp::from_unix_seconds(START + 61).to_string()));
}

#[tokio::test]
async fn nothing_is_answered_before_the_database_has_what_was_seen_before() {
    let rp = Rp::start().await;
    let user = json!({"format": "opaque", "id": "user-1"});
    rp.tell("session-revoked", &user, &json!({})).await;
    rp.look().await;
    rp.replica.give_sign().await.unwrap();
    // a server that is behind: it has not heard of the commit that this process answered from
    sqlx::raw_sql("update feed set seq = 0; alter table cutoff rename to cutoff_to_come; create table cutoff (like cutoff_to_come)")
        .execute(&rp.pool)
        .await
        .unwrap();
    let again = Rp::again(&rp).await;
    again.look().await;
    let described = json!({"issuer": ISSUER, "subject": user, "origin": START - 1_000});
    let (status, answer) = again.call(Method::POST, "/v1/check", Some(&described)).await;
    assert_eq!((status, &answer["error"]), (503, &json!("temporarily_unavailable")));

    sqlx::raw_sql("drop table cutoff; alter table cutoff_to_come rename to cutoff; update feed set seq = 1")
        .execute(&rp.pool)
        .await
        .unwrap();
    again.look().await;
    let (status, answer) = again.call(Method::POST, "/v1/check", Some(&described)).await;
    assert_eq!((status, &answer["state"]), (200, &json!("revoked")));
}

#[tokio::test]
async fn a_large_memory_is_read_page_by_page_and_nothing_is_answered_before_its_end() {
    let rp = Rp::start().await;
    let user = json!({"format": "opaque", "id": "user-1"});
    rp.tell("session-revoked", &user, &json!({})).await;
    // 25,000 more, five to a commit, and this one moved last of all
    sqlx::raw_sql(
        "insert into cutoff (issuer_id, key, revoked_before, feed_seq, updated_at)
         select issuer_id, substr(sha256(n::text::bytea), 1, 16), revoked_before, 2 + n / 5, updated_at
         from cutoff, generate_series(0, 24999) as n;
         update feed set seq = 5002; update cutoff set feed_seq = 5002 where feed_seq = 1",
    )
    .execute(&rp.pool)
    .await
    .unwrap();
    let again = Rp::again(&rp).await;
    let described = json!({"issuer": ISSUER, "subject": user, "origin": START - 1_000});
    assert_eq!(again.call(Method::POST, "/v1/check", Some(&described)).await.0, 503);
    let mut pages = 1;
    while again.replica.follow_feed().await.unwrap() > 0 {
        pages += 1;
    }
    assert_eq!(pages, 2, "beside the first and the last, which is not full");
    again.look().await;
    assert_eq!(again.replica.memory().facts().cutoffs.len(), 25_001);
    assert_eq!(again.call(Method::POST, "/v1/check", Some(&described)).await.1["state"], "revoked");
}

#[tokio::test]
async fn when_commits_became_visible_is_kept_for_a_while() {
    let rp = Rp::start().await;
    let user = json!({"format": "opaque", "id": "user-1"});
    for _ in 0..3 {
        rp.tell("session-revoked", &user, &json!({})).await;
        rp.clock.advance(Duration::from_secs(1));
    }
    rp.replica.give_sign().await.unwrap();
    let seen: Vec<(i64, i64, String)> = sqlx::query_as(
        "select first_seq, last_seq, to_char(visible_at at time zone 'utc', 'SS') from replica_seen order by 1",
    )
    .fetch_all(&rp.pool)
    .await
    .unwrap();
    let second = |n: i64| format!("{:02}", (START + n) % 60);
    assert_eq!(seen, [(1, 1, second(0)), (2, 2, second(1)), (3, 3, second(2))]);
    rp.clock.advance(Duration::from_mins(61));
    rp.replica.give_sign().await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from replica_seen").fetch_one(&rp.pool).await.unwrap();
    assert_eq!(left, 0);
}
