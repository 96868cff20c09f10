//! SQL of decisions and what became of each.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::delivery::DeliveryId;
use crate::issuer::IssuerId;
use crate::outbox::EventId;
use crate::stream::StreamKey;

/// A decision without whom it is about.
pub(crate) struct Row {
    pub(crate) event_id: EventId,
    pub(crate) event_type: String,
    pub(crate) txn: String,
    pub(crate) lane: i16,
    pub(crate) state: String,
    pub(crate) rejection: Option<String>,
    pub(crate) stream: Option<StreamKey>,
    pub(crate) occurred_at: Timestamp,
    pub(crate) recorded_at: Timestamp,
    pub(crate) fanned_out_at: Option<Timestamp>,
    pub(crate) streams: i32,
}

/// What stands on a page: decisions recorded before the place `before`, not before `since`, newest first.
pub(crate) struct Page<'a> {
    pub(crate) issuer: IssuerId,
    pub(crate) since: Timestamp,
    pub(crate) before: (Timestamp, EventId),
    pub(crate) event_type: Option<&'a str>,
    pub(crate) limit: i64,
}

/// Fanned-out and rejected decisions by time.
pub(crate) async fn by_time(conn: &mut PgConnection, page: &Page<'_>) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select event_id as "event_id: EventId", event_type, txn, lane, state, rejection, stream_id as "stream: StreamKey", occurred_at,
                  recorded_at, fanned_out_at as "fanned_out_at?", streams
             from event
            where issuer_id = $1 and recorded_at >= $2 and (recorded_at, event_id) < ($3, $4) and ($5::text is null or event_type = $5)
            order by recorded_at desc, event_id desc limit $6"#,
        page.issuer as _,
        page.since as _,
        page.before.0 as _,
        page.before.1 as _,
        page.event_type,
        page.limit,
    )
    .fetch_all(conn)
    .await
}

/// Those of one cause; the issuer is compared with `is true`, so that the index of causes is taken.
pub(crate) async fn of_txn(conn: &mut PgConnection, page: &Page<'_>, txn: &str) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select event_id as "event_id: EventId", event_type, txn, lane, state, rejection, stream_id as "stream: StreamKey", occurred_at,
                  recorded_at, fanned_out_at as "fanned_out_at?", streams
             from event
            where txn = $7 and (issuer_id = $1) is true and recorded_at >= $2 and (recorded_at, event_id) < ($3, $4)
              and ($5::text is null or event_type = $5)
            order by recorded_at desc, event_id desc limit $6"#,
        page.issuer as _,
        page.since as _,
        page.before.0 as _,
        page.before.1 as _,
        page.event_type,
        page.limit,
        txn,
    )
    .fetch_all(conn)
    .await
}

/// One decision, whether it still waits in the outbox or was fanned out.
pub(crate) async fn one(conn: &mut PgConnection, issuer: IssuerId, event: EventId) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        r#"select event_id as "event_id!: EventId", event_type as "event_type!", txn as "txn!", lane as "lane!", 'recorded' as "state!",
                  null::text as rejection, stream_id as "stream: StreamKey", occurred_at as "occurred_at!", recorded_at as "recorded_at!",
                  null::timestamptz as fanned_out_at, 0 as "streams!"
             from outbox where event_id = $2 and issuer_id = $1
           union all
           select event_id, event_type, txn, lane, state, rejection, stream_id, occurred_at, recorded_at, fanned_out_at, streams
             from event where event_id = $2 and issuer_id = $1
            limit 1"#,
        issuer as _,
        event as _,
    )
    .fetch_optional(conn)
    .await
}

/// One delivery of a decision.
pub(crate) struct DeliveryRow {
    pub(crate) id: DeliveryId,
    pub(crate) stream: StreamKey,
    pub(crate) state: String,
    pub(crate) lane: i16,
    pub(crate) attempts: i32,
    pub(crate) error: Option<String>,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) fanned_out_at: Timestamp,
    pub(crate) first_taken_at: Option<Timestamp>,
    pub(crate) sent_at: Option<Timestamp>,
    pub(crate) settled_at: Option<Timestamp>,
}

/// The deliveries of a decision, waiting and settled, by id behind `after`.
pub(crate) async fn deliveries(
    conn: &mut PgConnection,
    event: EventId,
    after: DeliveryId,
    limit: i64,
) -> sqlx::Result<Vec<DeliveryRow>> {
    sqlx::query_as!(
        DeliveryRow,
        r#"select id as "id!: DeliveryId", stream_id as "stream!: StreamKey", state as "state!", lane as "lane!", attempts as "attempts!",
                  error, due_at, fanned_out_at as "fanned_out_at!", first_taken_at, sent_at, settled_at
             from (select id, stream_id, state, lane, attempts, last_error as error, due_at, fanned_out_at, first_taken_at, sent_at,
                          null::timestamptz as settled_at
                     from delivery where event_id = $1 and id > $2
                   union all
                   select id, stream_id, outcome, lane, attempts, error_code, null, fanned_out_at, first_taken_at, sent_at, settled_at
                     from delivery_history where event_id = $1 and id > $2) d
            order by id limit $3"#,
        event as _,
        after as _,
        limit,
    )
    .fetch_all(conn)
    .await
}
