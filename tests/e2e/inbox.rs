//! What becomes of SETs at the receiver: once each, together with their effect, whatever arrives twice or at once.

#![expect(clippy::unwrap_used, reason = "a story may panic")]

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method as Verb;
use serde_json::{Value, json};
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::runtime::Worker as _;
use ssf_common::set::{Refusal, VerifiedSet};
use ssf_harness::TestCluster;
use ssf_receiver::inbox::{Context, InboxError, Receipt, Refused};
use ssf_receiver::upstream::{UpstreamId, store};

use crate::rp::{Rp, START, prepared};

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

async fn number(rp: &Rp, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&rp.pool).await.unwrap()
}

async fn text(rp: &Rp, sql: &'static str) -> Option<String> {
    sqlx::query_scalar(sql).fetch_one(&rp.pool).await.unwrap()
}

#[tokio::test]
async fn the_same_set_three_times_at_once_has_one_effect_and_three_receipts() {
    let rp = Rp::start().await;
    let set = rp.set("session-revoked", &opaque("u"), &json!({"event_timestamp": START - 100}));
    let (a, b, c) = tokio::join!(rp.receive(set.clone()), rp.receive(set.clone()), rp.receive(set.clone()));
    let receipts = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(receipts.iter().filter(|r| **r == Receipt::Known).count(), 2, "{receipts:?}");
    assert_eq!(rp.receive(set).await.unwrap(), Receipt::Known);
    assert_eq!(number(&rp, "select count(*) from received_set").await, 1);
    assert_eq!(number(&rp, "select seq from feed").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_apply_each_set_once_and_never_wait_for_each_other_in_vain() {
    let one = Rp::start().await;
    let two = Rp::on(one.pool.clone()).await;
    let sets: Arc<Vec<VerifiedSet>> = Arc::new(
        (0..SETS)
            .map(|n| {
                one.set("session-revoked", &opaque(&format!("u{}", n % 40)), &json!({"event_timestamp": START - n}))
            })
            .collect(),
    );
    // Both are handed every SET, each in an order of its own, by 24 callers that wait for their receipts.
    let hand_in = |rp: &Rp, stride: usize| {
        let callers: Vec<_> = (0..24)
            .map(|caller| {
                let (inbox, sets, context) = (rp.inbox.clone(), Arc::clone(&sets), rp.context());
                tokio::spawn(async move {
                    let mut applied = 0;
                    for n in (caller..sets.len()).step_by(24) {
                        let set = sets[n * stride % sets.len()].clone();
                        let receipt = inbox.receive(set, context).await.unwrap();
                        applied += usize::from(matches!(receipt, Receipt::Applied { .. }));
                    }
                    applied
                })
            })
            .collect();
        async move {
            let mut applied = 0;
            for caller in callers {
                applied += caller.await.unwrap();
            }
            applied
        }
    };
    let (by_one, by_two) = tokio::join!(hand_in(&one, 7), hand_in(&two, 11));
    assert!(by_one > 0 && by_two > 0, "{by_one} and {by_two}: one of them did nothing");
    assert_eq!(by_one + by_two, sets.len());
    assert_eq!(number(&one, "select count(*) from received_set").await, SETS);
    assert_eq!(number(&one, "select count(*) from cutoff").await, 40);
    assert_eq!(number(&one, "select max(floor(extract(epoch from revoked_before))::int8) from cutoff").await, START);
    // Every commit that claimed something marked something: it has a number of its own, and the feed shows the last.
    let commits = number(&one, "select count(distinct batch_id) from received_set").await;
    assert_eq!(number(&one, "select seq from feed").await, commits);
    assert!(number(&one, "select max(feed_seq) from cutoff").await <= commits);
}

/// Not a multiple of 7 or 11, so that every stride visits all.
const SETS: i64 = 1_201;

#[tokio::test]
async fn a_verification_must_carry_the_state_that_was_asked_for() {
    let rp = Rp::start().await;
    let subject = opaque("stream-1");
    let with = |state: &str| json!({"state": state});
    let wrong = rp.receive(rp.set("verification", &subject, &with("s-0"))).await.unwrap_err();
    assert!(matches!(wrong, InboxError::Refused(Refusal::WrongState)), "nothing was asked for: {wrong}");

    let asked_at = rp.context().received_at;
    let mut db = rp.pool.acquire().await.unwrap();
    let state = store::begin_verification(&mut db, rp.upstream, "s-1", asked_at, asked_at).await.unwrap();
    assert_eq!(state.as_deref(), Some("s-1"));
    drop(db);
    rp.clock.advance(Duration::from_millis(30));
    let wrong = rp.receive(rp.set("verification", &subject, &with("s-0"))).await.unwrap_err();
    assert!(matches!(wrong, InboxError::Refused(Refusal::WrongState)));
    rp.tell("verification", &subject, &json!({})).await;
    assert_eq!(text(&rp, "select verification_state from upstream").await.as_deref(), Some("s-1"), "still pending");

    let right = rp.set("verification", &subject, &with("s-1"));
    assert!(matches!(rp.receive(right.clone()).await.unwrap(), Receipt::Applied { .. }));
    assert_eq!(rp.receive(right).await.unwrap(), Receipt::Known, "a redelivered answer is not a wrong one");
    let round_trip =
        "select (extract(epoch from verified_answered_at - verified_asked_at) * 1000000)::int8 from upstream";
    assert_eq!(number(&rp, round_trip).await, 30_000);
    assert_eq!(text(&rp, "select verification_state from upstream").await, None);
    assert_eq!(number(&rp, "select count(*) from refusal where code = 'invalid_state'").await, 2);
    assert_eq!(number(&rp, "select count(*) from received_set").await, 2, "what was refused is not received");
}

#[tokio::test]
async fn the_newest_word_of_the_transmitter_about_its_stream_stands() {
    let rp = Rp::start().await;
    let subject = opaque("stream-1");
    let status = |status: &str, reason: &str| json!({"status": status, "reason": reason});
    rp.tell("stream-updated", &subject, &status("paused", "maintenance")).await;
    assert_eq!(
        text(&rp, "select stream_status from upstream").await.as_deref(),
        Some("absent"),
        "no stream is ours yet"
    );

    sqlx::query("update upstream set stream_id = 'stream-1', stream_status = 'enabled'")
        .execute(&rp.pool)
        .await
        .unwrap();
    let older = rp.set("stream-updated", &subject, &status("disabled", "older"));
    rp.clock.advance(Duration::from_secs(2));
    rp.tell("stream-updated", &subject, &status("paused", "newer")).await;
    rp.receive(older).await.unwrap();
    let says = text(&rp, "select stream_status || ': ' || status_reason from upstream").await;
    assert_eq!(says.as_deref(), Some("paused: newer"));
}

#[tokio::test]
async fn a_status_that_was_read_is_newer_than_what_was_received_before_whatever_the_issuers_clock_says() {
    // The issuer's clock is ten minutes behind ours, so none of its times can be compared with ours.
    let rp = Rp::start().await;
    let says = |status: &str| {
        let ours = rp.context().received_at;
        rp.clock.set(ours.minus(Duration::from_mins(10)));
        let set = rp.set("stream-updated", &opaque("stream-1"), &json!({"status": status, "reason": status}));
        rp.clock.set(ours);
        set
    };
    let status = "select stream_status || coalesce(': ' || status_reason, '') from upstream";
    sqlx::query("update upstream set stream_id = 'stream-1', stream_status = 'enabled'")
        .execute(&rp.pool)
        .await
        .unwrap();
    let early = (says("paused"), rp.context());
    rp.clock.advance(Duration::from_secs(2));
    let mut db = rp.pool.acquire().await.unwrap();
    let asked_at = rp.context().received_at;
    store::note_status(&mut db, rp.upstream, StreamStatus::Disabled, None, asked_at).await.unwrap();
    rp.inbox.receive(early.0, early.1).await.unwrap();
    assert_eq!(text(&rp, status).await.as_deref(), Some("disabled"), "it was received before we asked");

    rp.clock.advance(Duration::from_secs(2));
    rp.receive(says("enabled")).await.unwrap();
    assert_eq!(text(&rp, status).await.as_deref(), Some("enabled: enabled"), "it was received after we asked");

    store::note_status(&mut db, rp.upstream, StreamStatus::Disabled, None, asked_at).await.unwrap();
    assert_eq!(text(&rp, status).await.as_deref(), Some("enabled: enabled"), "an answer that came late is older");
    rp.clock.advance(Duration::from_secs(2));
    let asked_at = rp.context().received_at;
    store::note_status(&mut db, rp.upstream, StreamStatus::Paused, Some("night"), asked_at).await.unwrap();
    assert_eq!(text(&rp, status).await.as_deref(), Some("paused: night"));
}

#[tokio::test]
async fn what_has_no_effect_is_recorded_all_the_same() {
    let rp = Rp::start().await;
    rp.tell("https://example.com/events/new", &opaque("u"), &json!({"x": 1})).await;
    rp.tell("session-presented", &opaque("u"), &json!({})).await;
    rp.tell("identifier-changed", &json!({"format": "email", "email": "a@example.com"}), &json!({})).await;
    assert_eq!(number(&rp, "select count(*) from received_set where effect in ('none', 'fact')").await, 3);
    assert_eq!(number(&rp, "select count(*) from cutoff").await, 0);
    assert_eq!(number(&rp, "select seq from feed").await, 0);
}

#[tokio::test]
async fn one_set_that_postgres_cannot_take_does_not_hurt_the_others() {
    let rp = Rp::start().await;
    let poison = "create function refuse() returns trigger language plpgsql as
                  $$ begin if new.jti = 'poison' then raise sqlstate '22023'; end if; return new; end $$;
                  create trigger refuse before insert on received_set for each row execute function refuse()";
    sqlx::raw_sql(poison).execute(&rp.pool).await.unwrap();
    let set = |jti: &str| rp.set_called(jti, "session-revoked", &opaque("u"), &json!({}));
    let (a, b, c) = tokio::join!(rp.receive(set("a")), rp.receive(set("poison")), rp.receive(set("c")));
    assert!(matches!(a.unwrap(), Receipt::Applied { .. }) && matches!(c.unwrap(), Receipt::Applied { .. }));
    assert!(matches!(b.unwrap_err(), InboxError::Unstorable));
    let nowhere =
        Context { upstream_id: UpstreamId::new(Timestamp::EPOCH, &ssf_common::random::SystemRandom), ..rp.context() };
    assert!(matches!(rp.inbox.receive(set("d"), nowhere).await.unwrap_err(), InboxError::UnknownUpstream));
}

#[tokio::test]
async fn refusals_are_kept_in_bounds_and_say_nothing_of_the_set() {
    let rp = Rp::start().await;
    let raw = b"e30.eyJqdGkiOiJhbGljZUBleGFtcGxlLmNvbSJ9.c2ln";
    let refused = Refused::new(&rp.context(), &Refusal::BadSignature, raw);
    for _ in 0..1_100 {
        rp.inbox.refuse(&refused).await.unwrap();
    }
    let kept = number(&rp, "select count(*) from refusal").await;
    assert!((1_000..1_064).contains(&kept), "{kept}");
    let told = text(&rp, "select code || ': ' || description || coalesce(jti, '') from refusal limit 1").await;
    assert_eq!(told.as_deref(), Some("invalid_key: the signature does not verify"));
}

#[tokio::test]
async fn without_its_database_the_receiver_acknowledges_nothing_and_it_recovers_by_itself() {
    let mut cluster = TestCluster::dedicated().await.unwrap();
    let rp = Rp::on(prepared(&cluster.scratch_database("rp").await.unwrap()).await).await;
    rp.register("s", json!({"subject": opaque("u")})).await;
    rp.tell("session-presented", &opaque("u"), &json!({})).await;
    let set = rp.set("session-revoked", &opaque("u"), &json!({}));

    cluster.stop().await;
    for _ in 0..2 {
        assert!(matches!(rp.receive(set.clone()).await.unwrap_err(), InboxError::Unavailable(_)));
        let (status, answer) = rp.call(Verb::POST, "/v1/check", Some(&json!({"sid": "unread"}))).await;
        assert_eq!((status, &answer["error"]), (503, &json!("temporarily_unavailable")));
        assert_eq!(rp.state("s").await, "active", "what is in memory is answered");
    }

    cluster.start().await.unwrap();
    // A connection that died is found out by its next use, so as many attempts may fail as there were connections.
    let mut receipts = Vec::new();
    for _ in 0..10 {
        receipts.extend(rp.receive(set.clone()).await.ok());
    }
    // the first may have been committed by an attempt that could not bring it into memory
    assert!(receipts.len() > 1 && receipts[1..].iter().all(|r| *r == Receipt::Known));
    assert_eq!(rp.state("s").await, "revoked");
    assert_eq!(number(&rp, "select count(*) from received_set").await, 2);
}

#[tokio::test]
async fn the_report_tells_how_long_each_leg_took_and_by_whose_clock() {
    let rp = Rp::start().await;
    for n in 0..10 {
        rp.tell("session-revoked", &opaque(&format!("u{n}")), &json!({})).await;
    }
    rp.tell("verification", &opaque("stream-1"), &json!({})).await;
    assert_eq!(rp.inbox.applied_log().tick().await.unwrap(), 1, "the last commit; the others were noted by the next");
    assert_eq!(rp.inbox.applied_log().tick().await.unwrap(), 0);
    let (status, report) = rp.call(Verb::GET, &format!("/v1/latency?since={}&upstream=idp", START - 1), None).await;
    assert_eq!(status, 200, "{report}");
    let of = |event_type: &Value| {
        let rows = report["rows"].as_array().unwrap();
        rows.iter().find(|row| row["event_type"] == *event_type).unwrap().clone()
    };
    assert_eq!(of(&json!("verification"))["received"], 1);
    let all = of(&Value::Null);
    assert_eq!((&all["received"], &all["method"]), (&json!(10), &json!("push")));
    assert_eq!(all["legs"], of(&json!("session-revoked"))["legs"]);
    insta::assert_json_snapshot!(all["legs"]["decided_to_received"], @r#"
    {
      "clocks": "issuer_to_receiver",
      "count": 10,
      "p50_ms": 250.0,
      "p90_ms": 250.0,
      "p99_ms": 250.0,
      "max_ms": 250.0
    }
    "#);
    assert_eq!(all["legs"]["decided_to_recorded"]["p99_ms"], 10.0);
    insta::assert_json_snapshot!(all["legs"]["received_to_applied"], @r#"
    {
      "clocks": "receiver",
      "count": 10,
      "p50_ms": 0.0,
      "p90_ms": 0.0,
      "p99_ms": 0.0,
      "max_ms": 0.0
    }
    "#);
    assert_eq!(all["clock_offset_ms"], Value::Null, "no verification was asked for");
    let (_, nothing) = rp.call(Verb::GET, &format!("/v1/latency?since={}", START + 1), None).await;
    assert_eq!(nothing["rows"], json!([]));
    assert_eq!(rp.call(Verb::GET, "/v1/latency?since=yesterday", None).await.0, 400);
}

#[tokio::test]
async fn a_verification_bounds_how_far_the_issuers_clock_is_from_ours() {
    let rp = Rp::start().await;
    let asked_at = rp.context().received_at;
    let mut db = rp.pool.acquire().await.unwrap();
    let state = store::begin_verification(&mut db, rp.upstream, "s-1", asked_at, asked_at).await.unwrap();
    assert_eq!(state.as_deref(), Some("s-1"));
    // Five minutes ahead, 20 ms there, 30 ms at the transmitter (250 to 220 ms before `set` is called), 40 ms back.
    rp.clock.set(asked_at.plus(Duration::from_millis(20 + 250) + Duration::from_mins(5)));
    let set = rp.set("verification", &opaque("stream-1"), &json!({"state": "s-1"}));
    rp.clock.set(asked_at.plus(Duration::from_millis(20 + 30 + 40)));
    // `iat` may be a minute ahead of us, so this one was verified by the issuer's own clock.
    assert!(matches!(rp.receive(set).await.unwrap(), Receipt::Applied { .. }));
    let (_, report) = rp.call(Verb::GET, &format!("/v1/latency?since={}", START - 1), None).await;
    let row = &report["rows"][0];
    assert_eq!(row["clock_offset_ms"], json!({"min": 299_960.0, "max": 300_020.0}), "{row}");
    assert_eq!(row["legs"]["decided_to_received"]["p50_ms"], -299_930.0, "five minutes less than the true 70 ms");
}

#[tokio::test]
async fn every_table_and_column_says_what_it_is_for() {
    let rp = Rp::start().await;
    let silent: Vec<String> = sqlx::query_scalar(
        "select c.relname || coalesce('.' || a.attname, '')
         from pg_class c
         left join pg_attribute a on a.attrelid = c.oid and a.attnum >= 0 and not a.attisdropped
         where c.relnamespace = 'ssf_receiver'::regnamespace and c.relkind = 'r' and c.relname <> '_sqlx_migrations'
           and (obj_description(c.oid) is null or col_description(c.oid, a.attnum) is null)",
    )
    .fetch_all(&rp.pool)
    .await
    .unwrap();
    assert_eq!(silent, Vec::<String>::new());
}
