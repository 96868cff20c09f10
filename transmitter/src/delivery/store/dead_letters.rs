//! SQL of dead letters: finding them, and taking them away for good. `replay` puts them back.
//!
//! Where an index of something narrower is to be taken, the issuer is compared with `is true` behind it, which hides it
//! from the planner: while the table is empty all indexes look alike to it, and the plan it makes then is kept.

use serde_json::Value;
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::delivery::DeliveryId;
use crate::issuer::IssuerId;
use crate::outbox::EventId;
use crate::stream::StreamKey;

/// A dead letter, whole.
pub(crate) struct Row {
    pub(crate) id: DeliveryId,
    pub(crate) stream: StreamKey,
    pub(crate) client_id: String,
    pub(crate) audience: Vec<String>,
    pub(crate) timeline_claim: bool,
    pub(crate) event_id: EventId,
    pub(crate) event_type: String,
    pub(crate) subject: Value,
    pub(crate) payload: Value,
    pub(crate) txn: String,
    pub(crate) lane: i16,
    pub(crate) attempts: i32,
    pub(crate) attempt_log: Option<Value>,
    pub(crate) error_code: String,
    pub(crate) error: String,
    pub(crate) occurred_at: Timestamp,
    pub(crate) recorded_at: Timestamp,
    pub(crate) fanned_out_at: Timestamp,
    pub(crate) first_taken_at: Option<Timestamp>,
    pub(crate) died_at: Timestamp,
}

/// Where a page begins and what stands on it: dead letters behind `after`, before `until`, oldest first.
pub(crate) struct Page<'a> {
    pub(crate) issuer: IssuerId,
    pub(crate) after: (Timestamp, DeliveryId),
    pub(crate) until: Option<Timestamp>,
    pub(crate) code: Option<&'a str>,
    pub(crate) event_type: Option<&'a str>,
    pub(crate) limit: i64,
}

/// A dead letter's place in the order of pages.
pub(crate) struct Place {
    pub(crate) id: DeliveryId,
    pub(crate) died_at: Timestamp,
}

/// The places of an issuer's.
pub(crate) async fn of_issuer(conn: &mut PgConnection, page: &Page<'_>) -> sqlx::Result<Vec<Place>> {
    sqlx::query_as!(
        Place,
        r#"select id as "id: DeliveryId", died_at as "died_at: Timestamp" from dead_letter
            where issuer_id = $1 and (died_at, id) > ($2, $3) and ($4::timestamptz is null or died_at < $4)
              and ($5::text is null or error_code = $5) and ($6::text is null or event_type = $6)
            order by died_at, id limit $7"#,
        page.issuer as _,
        page.after.0 as _,
        page.after.1 as _,
        page.until as _,
        page.code,
        page.event_type,
        page.limit,
    )
    .fetch_all(conn)
    .await
}

/// The places of one stream's.
pub(crate) async fn of_stream(conn: &mut PgConnection, page: &Page<'_>, stream: StreamKey) -> sqlx::Result<Vec<Place>> {
    sqlx::query_as!(
        Place,
        r#"select id as "id: DeliveryId", died_at as "died_at: Timestamp" from dead_letter
            where stream_id = $8 and (issuer_id = $1) is true and (died_at, id) > ($2, $3) and ($4::timestamptz is null or died_at < $4)
              and ($5::text is null or error_code = $5) and ($6::text is null or event_type = $6)
            order by died_at, id limit $7"#,
        page.issuer as _,
        page.after.0 as _,
        page.after.1 as _,
        page.until as _,
        page.code,
        page.event_type,
        page.limit,
        stream as _,
    )
    .fetch_all(conn)
    .await
}

/// The places of those about one subject: the same JSON, its members in any order.
pub(crate) async fn of_subject(
    conn: &mut PgConnection,
    page: &Page<'_>,
    stream: Option<StreamKey>,
    subject: &Value,
) -> sqlx::Result<Vec<Place>> {
    sqlx::query_as!(
        Place,
        r#"select id as "id: DeliveryId", died_at as "died_at: Timestamp" from dead_letter
            where hashtextextended(subject::text, 0) = hashtextextended(($9::jsonb)::text, 0) and subject = $9
              and (issuer_id = $1) is true and (died_at, id) > ($2, $3) and ($4::timestamptz is null or died_at < $4)
              and ($5::text is null or error_code = $5) and ($6::text is null or event_type = $6)
              and ($8::uuid is null or (stream_id = $8) is true)
            order by died_at, id limit $7"#,
        page.issuer as _,
        page.after.0 as _,
        page.after.1 as _,
        page.until as _,
        page.code,
        page.event_type,
        page.limit,
        stream as _,
        subject,
    )
    .fetch_all(conn)
    .await
}

/// The dead letters of these ids, as far as they are the issuer's.
pub(crate) async fn load(conn: &mut PgConnection, issuer: IssuerId, ids: &[DeliveryId]) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select l.id as "id: DeliveryId", l.stream_id as "stream: StreamKey", c.client_id, s.audience, s.timeline_claim,
                  l.event_id as "event_id: EventId", l.event_type, l.subject, l.payload, l.txn, l.lane, l.attempts, l.attempt_log,
                  l.error_code, l.error, l.occurred_at, l.recorded_at, l.fanned_out_at, l.first_taken_at, l.died_at
             from dead_letter l join stream s on s.id = l.stream_id join client c on c.id = s.client_id
            where l.id = any ($2) and l.issuer_id = $1"#,
        issuer as _,
        ids as _,
    )
    .fetch_all(conn)
    .await
}

/// Holds these until the transaction ends. Always in one order, so that two who want the same do not wait for each other.
pub(crate) async fn hold(conn: &mut PgConnection, issuer: IssuerId, ids: &[DeliveryId]) -> sqlx::Result<()> {
    let held = sqlx::query!(
        "select id from dead_letter where id = any ($2) and issuer_id = $1 order by id for update",
        issuer as _,
        ids as _,
    );
    held.fetch_all(conn).await?;
    Ok(())
}

/// Takes these away for good; returns how many were there.
pub(crate) async fn discard(conn: &mut PgConnection, issuer: IssuerId, ids: &[DeliveryId]) -> sqlx::Result<u64> {
    hold(&mut *conn, issuer, ids).await?;
    let done = sqlx::query!("delete from dead_letter where id = any ($2) and issuer_id = $1", issuer as _, ids as _);
    Ok(done.execute(conn).await?.rows_affected())
}
