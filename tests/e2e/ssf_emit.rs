//! Stories about `ssf_emit`: an event in the IdP's own transaction, what SQL refuses at once, and what the fan-out rejects.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};
use ssf_harness::idp::{Idp, opaque, uris};
use ssf_harness::sink::Sink;

#[tokio::test]
async fn what_sql_emits_goes_out_if_and_only_if_its_transaction_commits() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let sink = Sink::start().await;
    idp.push_stream(&rp, &sink.url, &["session-revoked", "revalidate"]).await;
    let mut own = PgConnection::connect_with(&idp.database.options).await.unwrap();
    for (session, commits) in [("kept", true), ("forgotten", false)] {
        let mut tx = own.begin().await.unwrap();
        emit_by_sql(&mut tx, "session-revoked", &opaque(session)).await.unwrap();
        idp.drain().await;
        assert!(!sink.subjects().contains(&session.to_owned()), "nothing before the commit");
        if commits {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
        idp.drain().await;
    }
    assert_eq!(sink.subjects(), ["kept"]);
    let set = idp.verify(&sink.requests()[0].set, &rp).await;
    assert_eq!(
        set.event.common.reason_admin.as_ref().map(ssf_common::event::LocalizedText::to_value),
        Some(json!({"en": "decided by the identity provider"}))
    );
    assert!(set.event.common.event_timestamp.is_some());
}

#[tokio::test]
async fn sql_has_the_defaults_and_the_names_of_the_http_door() {
    let idp = Idp::start().await;
    let mut own = PgConnection::connect_with(&idp.database.options).await.unwrap();
    let event_id = emit_by_sql(&mut own, "session-revoked", &opaque("s")).await.unwrap();
    emit_by_sql(&mut own, &uris(&["revalidate"])[0], &opaque("s")).await.unwrap();
    emit_by_sql(&mut own, "https://example.com/our-own", &opaque("s")).await.unwrap();
    let all = "select ssf_transmitter.ssf_emit('session-revoked', '{\"format\":\"opaque\",\"id\":\"s\"}', payload => '{\"a\":1}',
        occurred_at => '2026-11-18T00:00:00Z', txn => 'case 8', lane => 'bulk', issuer => (select url from ssf_transmitter.issuer))";
    sqlx::raw_sql(all).execute(&mut own).await.unwrap();
    let rows = sqlx::query(
        "select event_id::text, event_type, lane, txn, payload, checked, occurred_at = recorded_at or occurred_at < '2026-11-18T00:00:01Z' from outbox order by seq",
    );
    let rows = rows.fetch_all(&idp.pool).await.unwrap();
    let of = |at: usize| {
        (
            rows[at].get::<String, _>(1),
            rows[at].get::<i16, _>(2),
            rows[at].get::<String, _>(3),
            rows[at].get::<Value, _>(4),
        )
    };
    assert_eq!(rows[0].get::<String, _>(0), event_id);
    assert_eq!(of(0), (uris(&["session-revoked"])[0].clone(), 0, event_id, json!({})));
    assert_eq!((of(1).0, of(1).1), (uris(&["revalidate"])[0].clone(), 1));
    assert_eq!((of(2).0.as_str(), of(2).1), ("https://example.com/our-own", 1));
    assert_eq!(of(3), (uris(&["session-revoked"])[0].clone(), 2, "case 8".to_owned(), json!({"a": 1})));
    assert!(rows.iter().all(|row| !row.get::<bool, _>(5)), "checked at the fan-out");
}

#[tokio::test]
async fn sql_refuses_what_it_can_see_is_wrong() {
    let idp = Idp::start().await;
    let mut own = PgConnection::connect_with(&idp.database.options).await.unwrap();
    for (call, says) in [
        ("'session-revokd', '{\"format\":\"opaque\",\"id\":\"s\"}'", "event type session-revokd is neither"),
        ("null, '{\"format\":\"opaque\",\"id\":\"s\"}'", "event type (null) is neither"),
        ("'session-revoked', '{}'", "subject must be"),
        ("'session-revoked', '[]'", "subject must be"),
        ("'session-revoked', null", "subject must be"),
        ("'session-revoked', '{\"format\":\"opaque\",\"id\":\"s\"}', '[]'", "payload must be"),
        ("'session-revoked', '{\"format\":\"opaque\",\"id\":\"s\"}', lane => 'fast'", "lane must be"),
        ("'session-revoked', '{\"format\":\"opaque\",\"id\":\"s\"}', occurred_at => '-infinity'", "before 1970"),
        ("'session-revoked', '{\"format\":\"opaque\",\"id\":\"s\"}', occurred_at => 'infinity'", "in the future"),
        (
            "'session-revoked', '{\"format\":\"opaque\",\"id\":\"s\"}', jsonb_build_object('a', repeat('x', 40000))",
            "longer than",
        ),
        ("'session-revoked', '{\"format\":\"opaque\",\"id\":\"s\"}', txn => repeat('x', 300)", "txn 1 to 255"),
        ("'verification', '{\"format\":\"opaque\",\"id\":\"s\"}'", "is a control event"),
        (
            "'session-revoked', '{\"format\":\"opaque\",\"id\":\"s\"}', occurred_at => now() + interval '2 minutes'",
            "in the future",
        ),
        (
            "'session-revoked', '{\"format\":\"opaque\",\"id\":\"s\"}', '{\"event_timestamp\": 9000000000}'",
            "in the future",
        ),
        (
            "'session-revoked', '{\"format\":\"opaque\",\"id\":\"s\"}', issuer => 'https://other'",
            "issuer https://other is not",
        ),
    ] {
        let query = sqlx::AssertSqlSafe(format!("select ssf_transmitter.ssf_emit({call})"));
        let error = sqlx::raw_sql(query).execute(&mut own).await.unwrap_err().to_string();
        assert!(error.contains("ssf_emit: ") && error.contains(says), "{error}");
    }
    assert_eq!(idp.count("select count(*) from outbox").await, 0);
}

#[tokio::test]
async fn an_invalid_event_from_sql_goes_nowhere_and_says_so() {
    let idp = Idp::start().await;
    let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    let sink = Sink::start().await;
    idp.push_stream(&rp, &sink.url, &["session-revoked", "credential-change"]).await;
    let mut own = PgConnection::connect_with(&idp.database.options).await.unwrap();
    let email = json!({"format": "email", "email": "nobody"});
    let bad_subject = emit_by_sql(&mut own, "session-revoked", &email).await.unwrap();
    let bad_members = emit_by_sql(&mut own, "credential-change", &opaque("s")).await.unwrap();
    let good = emit_by_sql(&mut own, "session-revoked", &opaque("s")).await.unwrap();
    idp.drain().await;
    for (event_id, start) in [(&bad_subject, "`subject` is not valid: "), (&bad_members, "the event is not valid: ")] {
        let progress = idp.progress(&producer, event_id).await;
        assert_eq!((progress["state"].as_str(), progress["streams"].as_i64()), (Some("rejected"), Some(0)));
        let said = progress["rejection"].as_str().unwrap();
        assert!(said.starts_with(start) && !said.contains("nobody"), "{said}");
    }
    assert_eq!(idp.progress(&producer, &good).await["delivered"], 1);
    assert_eq!(sink.subjects(), ["s"]);
}

#[tokio::test]
async fn one_row_that_cannot_be_read_holds_up_nobody() {
    let idp = Idp::start().await;
    let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    let sink = Sink::start().await;
    idp.push_stream(&rp, &sink.url, &["session-revoked"]).await;
    let mut own = PgConnection::connect_with(&idp.database.options).await.unwrap();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(300), "]".repeat(300));
    let mut unreadable = Vec::new();
    for payload in [deep.as_str(), "{\"a\":1e5000}"] {
        let emit = "select ssf_transmitter.ssf_emit('session-revoked', '{\"format\":\"opaque\",\"id\":\"s\"}', $1::text::jsonb)";
        let event_id: uuid::Uuid = sqlx::query_scalar(emit).bind(payload).fetch_one(&mut own).await.unwrap();
        unreadable.push(event_id.to_string());
    }
    idp.revoke(&producer, "good").await;
    idp.drain().await;
    assert_eq!(sink.subjects(), ["good"]);
    for event_id in &unreadable {
        let progress = idp.progress(&producer, event_id).await;
        assert_eq!(progress["state"], "rejected", "{progress}");
    }
}

/// Calls `ssf_emit` as an IdP would from its own connection; the event id.
async fn emit_by_sql(conn: &mut PgConnection, event_type: &str, subject: &Value) -> sqlx::Result<String> {
    sqlx::query_scalar("select ssf_transmitter.ssf_emit($1, $2)::text")
        .bind(event_type)
        .bind(subject)
        .fetch_one(conn)
        .await
}
