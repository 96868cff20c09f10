//! What a table holds must not make a call slower: with much waiting and much history, nothing that happens all the time
//! reads a hot table from one end to the other.
//!
//! PostgreSQL itself keeps the account: rows read table by table, and, since our sessions prefer any index to a sequential
//! scan, index by index. A page of the admin API counts no further than 10,000.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, opaque, uris};
use ssf_harness::sink::{Answer, Sink};

/// While autovacuum takes statistics somewhere in the database, nobody can mark what he found to be gone, and everybody meets it
/// again: it would be an account of when that happened to run.
const BY_ITSELF: &str = "
    do $$ declare hot regclass; begin
        for hot in select oid from pg_class where relnamespace = 'ssf_transmitter'::regnamespace and relkind = 'r' loop
            execute format('alter table %s set (autovacuum_enabled = false)', hot);
        end loop;
    end $$;";

/// Much of everything, on streams of its own.
const FILL: &str = "
    insert into event (event_id, recorded_at, seq, issuer_id, event_type, subject, lane, txn, payload, occurred_at, fanned_out_at, streams, state)
    select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, s.created_at, n, s.issuer_id, 'urn:x',
           jsonb_build_object('format', 'opaque', 'id', 'fill-' || n), 2, n::text, '{}', s.created_at, s.created_at, 1, 'fanned_out'
      from stream s, generate_series(1, 50000) n where s.description = 'full';
    insert into delivery (id, issuer_id, stream_id, event_id, recorded_at, event_type, order_key, lane, due_at, occurred_at, fanned_out_at)
    select ssf_uuid_v7(s.created_at + n * interval '1 microsecond'), s.issuer_id, s.id,
           ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, s.created_at, 'urn:x', n, 2, s.created_at, s.created_at, s.created_at
      from stream s, generate_series(1, 50000) n where s.description = 'full';
    insert into delivery_history (id, settled_at, seq, issuer_id, stream_id, event_id, event_type, delivery_method, lane, outcome, attempts,
           occurred_at, recorded_at, fanned_out_at)
    select gen_random_uuid(), s.created_at, n, s.issuer_id, s.id, gen_random_uuid(), 'urn:x', 'push', 2, 'acknowledged', 1, s.created_at,
           s.created_at, s.created_at
      from stream s, generate_series(1, 50000) n where s.description = 'full';
    insert into dead_letter (id, issuer_id, stream_id, event_id, event_type, subject, payload, txn, lane, attempts, error_code, error,
           occurred_at, recorded_at, fanned_out_at, died_at)
    select gen_random_uuid(), s.issuer_id, s.id, gen_random_uuid(), 'urn:x', '{}', '{}', 'x', 2, 1, 'expired', '', s.created_at, s.created_at,
           s.created_at, s.created_at
      from stream s, generate_series(1, 50000) n where s.description = 'full';
    insert into breach (jti, issuer_id, stream_id, event_id, event_type, lane, window_ms, held, occurred_at, recorded_at, fanned_out_at, found_at)
    select gen_random_uuid(), s.issuer_id, s.id, gen_random_uuid(), 'urn:x', 0, 1, false, s.created_at, s.created_at, s.created_at, s.created_at
      from stream s, generate_series(1, 50000) n where s.description = 'full';
    insert into backlog_alarm (id, stream_id, lane, cause, waiting, oldest_at, predicted_ms, window_ms, raised_at, cleared_at)
    select gen_random_uuid(), s.id, 0, 'slow', 1, s.created_at, 1, 1, s.created_at, s.created_at
      from stream s, generate_series(1, 50000) n where s.description = 'full';
    insert into batch (id, issuer_id, created_at) select gen_random_uuid(), s.issuer_id, s.created_at
      from stream s, generate_series(1, 50000) n where s.description = 'full';";

/// What the service does all day.
async fn a_day(idp: &Idp, sink: &Sink) {
    let (producer, operator) = (idp.add_producer().await, idp.add_operator().await);
    let (pushed, polled) = (idp.add_receiver("pushed").await, idp.add_receiver("polled").await);
    let push = idp.push_stream(&pushed, &sink.url, &["session-revoked"]).await;
    let poll = idp.poll_stream(&polled, &["session-revoked"]).await;
    let event = idp.revoke(&producer, "s1").await;
    idp.revoke(&producer, "s1").await;
    idp.drain().await;
    let sets = idp.poll(&polled, &poll, &json!({})).await.body["sets"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect::<Vec<_>>();
    assert_eq!(sets.len(), 1, "the second of its subject waits");
    idp.poll(&polled, &poll, &json!({"ack": sets})).await;
    idp.progress(&producer, &event).await;
    idp.transmitter.watch.tick().await.unwrap();
    let many: Vec<Value> =
        (0..300).map(|number| json!({"type": "session-revoked", "subject": opaque(&format!("m{number}"))})).collect();
    let batch = idp.post("/events", &producer, &json!(many)).await.text("batch_id").to_owned();
    idp.drain().await;
    for _ in 0..5 {
        idp.transmitter.watch.tick().await.unwrap();
        assert_eq!(idp.get(&format!("/batches/{batch}"), &producer).await.status, 200);
    }
    let handed = idp.poll(&polled, &poll, &json!({})).await.body["sets"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect::<Vec<_>>();
    idp.poll(&polled, &poll, &json!({"ack": handed})).await;
    // a receiver fails, recovers, refuses
    sink.next([Answer::status(503), Answer::status(202), Answer::refusal("invalid_request")]);
    for session in ["s2", "s3"] {
        idp.revoke(&producer, session).await;
        idp.drain().await;
        idp.advance(Duration::from_secs(10));
        idp.drain().await;
    }
    for status in ["paused", "enabled"] {
        let body = json!({"stream_id": push, "status": status});
        assert_eq!(idp.post("/ssf/status", &pushed, &body).await.status, 200);
    }
    assert_eq!(idp.post("/ssf/verify", &pushed, &json!({"stream_id": push})).await.status, 204);
    let subject = json!({"stream_id": push, "subject": opaque("s4")});
    assert_eq!(idp.post("/ssf/subjects/remove", &pushed, &subject).await.status, 204);
    idp.drain().await;
    let about = format!("/admin/v1/streams/{push}");
    let backlog = format!("{about}/backlog");
    for path in [
        backlog.as_str(),
        "/admin/v1/backlog",
        "/admin/v1/breaches",
        "/metrics",
        about.as_str(),
        "/admin/v1/streams",
        "/admin/v1/events?limit=10",
        "/admin/v1/dead-letters?limit=10",
    ] {
        assert_eq!(idp.get(path, &operator).await.status, 200, "{path}");
    }
    let again = json!({"stream_id": push});
    assert_eq!(idp.post("/admin/v1/dead-letters/replay", &operator, &again).await.status, 200);
    idp.drain().await;
    for _ in 0..2 {
        idp.transmitter.maintenance.tick().await.unwrap();
        idp.transmitter.inactivity.tick().await.unwrap();
        idp.transmitter.heartbeat.tick().await.unwrap();
    }
    let gone = format!("/ssf/streams?stream_id={push}");
    assert_eq!(idp.call(Method::DELETE, &gone, &pushed.token, None).await.status, 204);
}

/// In a session of its own, whose account is handed in, and forgotten, before the day begins.
async fn fill(idp: &Idp, statistics: Statistics) {
    let mut session = PgConnection::connect_with(&idp.database.options).await.unwrap();
    let fill = match statistics {
        Statistics::Full => format!("{FILL} analyze"),
        Statistics::Empty => format!("analyze; {FILL}"),
        Statistics::Emptied => format!("{FILL} delete from delivery; analyze"),
    };
    let fill = format!("set search_path = ssf_transmitter; {BY_ITSELF} {fill}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(&mut session).await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut session).await.unwrap();
    session.close().await.unwrap();
    let is_there = "select exists (select from pg_stat_activity where pid = $1)";
    while sqlx::query_scalar::<_, bool>(is_there).bind(pid).fetch_one(&idp.pool).await.unwrap() {
        tokio::task::yield_now().await;
    }
    idp.execute("select pg_stat_reset()").await;
}

/// When they were taken: a queue fills and empties faster than that.
#[derive(Clone, Copy)]
enum Statistics {
    Full,
    Empty,
    /// What waited is gone, and its index entries are still there.
    Emptied,
}

#[tokio::test]
async fn nothing_that_happens_all_the_time_reads_a_full_table_from_end_to_end() {
    nothing_is_read_whole(Statistics::Full).await;
}

#[tokio::test]
async fn nor_one_that_was_empty_when_its_statistics_were_taken() {
    nothing_is_read_whole(Statistics::Empty).await;
}

#[tokio::test]
async fn nor_what_has_left_a_table_that_was_emptied() {
    nothing_is_read_whole(Statistics::Emptied).await;
}

async fn nothing_is_read_whole(statistics: Statistics) {
    let idp = Idp::start().await;
    let full = idp.add_receiver("full").await;
    let body = json!({"description": "full", "events_requested": uris(&["account-enabled"])});
    let stream = idp.post("/ssf/streams", &full, &body).await.text("stream_id").to_owned();
    assert_eq!(idp.post("/ssf/status", &full, &json!({"stream_id": stream, "status": "paused"})).await.status, 200);
    fill(&idp, statistics).await;
    a_day(&idp, &Sink::start().await).await;
    // a session hands in its account at its end
    idp.pool.close().await;
    let mut other = PgConnection::connect_with(&idp.database.options).await.unwrap();
    let read = "select relname::text, seq_tup_read from pg_stat_user_tables
                 where schemaname = 'ssf_transmitter' and seq_tup_read >= 10000 order by relname";
    let read: Vec<(String, i64)> = sqlx::query_as(read).fetch_all(&mut other).await.unwrap();
    assert!(read.is_empty(), "rows read by sequential scans: {read:?}");
    let read = "select indexrelname::text, idx_tup_read from pg_stat_user_indexes
                 where schemaname = 'ssf_transmitter' and idx_tup_read >= $1 order by indexrelname";
    // a page of the admin API counts to 10,000; whoever reads all of what waits reads 50,000. Entries of rows that are gone
    // are met once, where their stream is looked at; row by row they would be millions
    let most: i64 = if matches!(statistics, Statistics::Emptied) { 150_000 } else { 37_500 };
    let read: Vec<(String, i64)> = sqlx::query_as(read).bind(most).fetch_all(&mut other).await.unwrap();
    assert!(read.is_empty(), "entries read of an index: {read:?}");
    let used = "select coalesce(sum(idx_scan), 0)::bigint from pg_stat_user_tables where schemaname = 'ssf_transmitter' and relname = 'delivery'";
    let used: i64 = sqlx::query_scalar(used).fetch_one(&mut other).await.unwrap();
    assert!(used > 0, "an account was kept");
}
