//! SQL of the outbox's own end: recording, idempotency, and following an event.

use serde_json::Value;
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::{BatchId, EventId, NewBatch, NewEvent};
use crate::client::ClientKey;
use crate::issuer::IssuerId;
use crate::stream::StreamKey;

/// Records events in their order, in one statement.
pub(crate) async fn insert(conn: &mut PgConnection, events: &[NewEvent], now: Timestamp) -> sqlx::Result<()> {
    let ids: Vec<EventId> = events.iter().map(|event| event.event_id).collect();
    let issuers: Vec<IssuerId> = events.iter().map(|event| event.issuer).collect();
    let streams: Vec<Option<StreamKey>> = events.iter().map(|event| event.stream).collect();
    let types: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    let subjects: Vec<&Value> = events.iter().map(|event| &event.subject).collect();
    let lanes: Vec<i16> = events.iter().map(|event| event.lane.number()).collect();
    let txns: Vec<&str> = events.iter().map(|event| event.txn.as_str()).collect();
    let payloads: Vec<&Value> = events.iter().map(|event| &event.payload).collect();
    let occurred: Vec<Timestamp> = events.iter().map(|event| event.occurred_at).collect();
    let batches: Vec<Option<BatchId>> = events.iter().map(|event| event.batch).collect();
    sqlx::query!(
        // `with ordinality` keeps the producer's order, from which seq follows
        "insert into outbox (event_id, issuer_id, stream_id, event_type, subject, lane, txn, payload, occurred_at, recorded_at, checked, batch_id)
         select event_id, issuer_id, stream_id, event_type, subject, lane, txn, payload, occurred_at, $10, true, batch_id
           from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::jsonb[], $6::smallint[], $7::text[], $8::jsonb[], $9::timestamptz[], $11::uuid[])
                with ordinality as new (event_id, issuer_id, stream_id, event_type, subject, lane, txn, payload, occurred_at, batch_id, place)
          order by place",
        ids as _,
        issuers as _,
        streams as _,
        types as _,
        subjects as _,
        &lanes,
        txns as _,
        payloads as _,
        occurred as _,
        now as _,
        batches as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Begins a portion of a batch, and the batch with its first; `false` if the portion was recorded before. Whoever records
/// the same one at the same time waits here until the other has committed or gone.
pub(crate) async fn begin_portion(
    conn: &mut PgConnection,
    batch: &NewBatch,
    events: usize,
    now: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "insert into batch (id, issuer_id, created_at, announced) values ($1, $2, $3, $4) on conflict do nothing",
        batch.id as _,
        batch.issuer as _,
        now as _,
        batch.announced,
    )
    .execute(&mut *conn)
    .await?;
    let begun = sqlx::query!(
        "insert into batch_portion (batch_id, portion, events, recorded_at)
         select id, $2, $3, $4 from batch where id = $1 and issuer_id = $5 on conflict do nothing",
        batch.id as _,
        batch.portion,
        i32::try_from(events).unwrap_or(i32::MAX),
        now as _,
        batch.issuer as _,
    )
    .execute(conn)
    .await?;
    Ok(begun.rows_affected() == 1)
}

/// Sets the search path until the end of the transaction; returns the one there was.
pub(crate) async fn swap_search_path(conn: &mut PgConnection, path: &str) -> sqlx::Result<String> {
    let own = sqlx::query_scalar!(r#"select current_setting('search_path') as "path!""#).fetch_one(&mut *conn).await?;
    sqlx::query!("select set_config('search_path', $1, true)", path).fetch_one(conn).await?;
    Ok(own)
}

/// Rings the fan-out of every process at commit.
pub(crate) async fn ring(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_notify('ssf_outbox', '')").execute(conn).await?;
    Ok(())
}

/// Claims an idempotency key for this request. `None`: it is new, and `answer` is kept for it when the transaction
/// commits. `Some`: it was used before, by a request with this digest and this answer. A second request with the same
/// key waits here until the first one has committed or gone.
pub(crate) async fn claim_key(
    conn: &mut PgConnection,
    client: ClientKey,
    key: &str,
    request_digest: &[u8],
    answer: &Value,
    now: Timestamp,
) -> sqlx::Result<Option<(Vec<u8>, Value)>> {
    let claimed = sqlx::query!(
        "insert into idempotency_key (client_id, key, request_digest, answer, created_at) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
        client as _,
        key,
        request_digest,
        answer,
        now as _,
    )
    .execute(&mut *conn)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let earlier = sqlx::query!(
        "select request_digest, answer from idempotency_key where client_id = $1 and key = $2",
        client as _,
        key
    )
    .fetch_one(conn)
    .await?;
    Ok(Some((earlier.request_digest, earlier.answer)))
}

/// Forgets keys used before `before`; returns how many.
pub(crate) async fn forget_keys(conn: &mut PgConnection, before: Timestamp) -> sqlx::Result<u64> {
    Ok(sqlx::query!("delete from idempotency_key where created_at < $1", before as _)
        .execute(conn)
        .await?
        .rows_affected())
}

/// Where an event stands.
pub(crate) struct Progress {
    pub(crate) event_type: String,
    pub(crate) txn: String,
    pub(crate) state: String,
    pub(crate) rejection: Option<String>,
    pub(crate) occurred_at: Timestamp,
    pub(crate) recorded_at: Timestamp,
    pub(crate) fanned_out_at: Option<Timestamp>,
    pub(crate) streams: i32,
}

/// The event, whether it still waits in the outbox or was fanned out.
pub(crate) async fn progress(
    conn: &mut PgConnection,
    issuer: IssuerId,
    event: EventId,
) -> sqlx::Result<Option<Progress>> {
    sqlx::query_as!(
        Progress,
        r#"select event_type as "event_type!", txn as "txn!", 'recorded' as "state!", null::text as rejection, occurred_at as "occurred_at!: Timestamp",
                  recorded_at as "recorded_at!: Timestamp", null::timestamptz as "fanned_out_at: Timestamp", 0 as "streams!"
             from outbox where event_id = $1 and issuer_id = $2
           union all
           select event_type, txn, state, rejection, occurred_at, recorded_at, fanned_out_at, streams
             from event where event_id = $1 and issuer_id = $2
            limit 1"#,
        event as _,
        issuer as _,
    )
    .fetch_optional(conn)
    .await
}
