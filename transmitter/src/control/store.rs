//! SQL of statuses and announcements, of idle streams and of heartbeats.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;

use crate::delivery::DeliveryId;
use crate::delivery::store::fan_out::{self, Rings};
use crate::issuer::IssuerId;
use crate::outbox::{EventId, NewEvent};
use crate::stream::StreamKey;

/// Sets the status; the one before, if the stream is there. Being enabled counts as activity, or an idle stream would be
/// paused again at once.
pub(super) async fn set_status(
    conn: &mut PgConnection,
    stream: StreamKey,
    to: StreamStatus,
    reason: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<Option<StreamStatus>> {
    let before = sqlx::query_scalar!(
        "with present as (select id, status from stream where id = $1 for no key update)
         update stream s set status = $2, status_reason = $3, updated_at = $4,
                last_activity_at = case when $2 = 'enabled' and p.status <> 'enabled' then greatest(s.last_activity_at, $4) else s.last_activity_at end
           from present p where s.id = p.id
         returning p.status",
        stream as _,
        to.as_str(),
        reason,
        now as _,
    )
    .fetch_optional(conn)
    .await?;
    Ok(before.map(|status| status.parse().expect("a CHECK allows only the three statuses")))
}

/// Whether an announcement is not settled yet.
pub(super) async fn has_announcement(conn: &mut PgConnection, stream: StreamKey) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from delivery where stream_id = $1 and announces) as "waits!""#,
        stream as _
    )
    .fetch_one(conn)
    .await
}

/// Makes the announcement `event` a delivery of its stream, past outbox and fan-out, so that it stands where the change
/// does. Its order key is of its own: neither what is about the stream waits for it by subject, nor the other way round.
pub(super) async fn announce(
    conn: &mut PgConnection,
    event: &NewEvent,
    stream: StreamKey,
    delivery: DeliveryId,
) -> sqlx::Result<()> {
    let now = event.occurred_at;
    sqlx::query!(
        "with announced as (
             insert into event (event_id, recorded_at, seq, issuer_id, stream_id, event_type, subject, lane, txn, payload, occurred_at,
                    fanned_out_at, streams, state)
             values ($1, $8, nextval(pg_get_serial_sequence('outbox', 'seq')), $2, $3, $4, $5, $6, $7, $9, $8, $8, 1, 'fanned_out')
             returning event_id, recorded_at, issuer_id, stream_id, event_type, lane, occurred_at, fanned_out_at
         )
         insert into delivery (id, issuer_id, stream_id, event_id, recorded_at, event_type, order_key, lane, due_at, occurred_at, fanned_out_at,
                announces)
         select $10, issuer_id, stream_id, event_id, recorded_at, event_type, hashtextextended('announcements of ' || stream_id::text, 0), lane,
                fanned_out_at, occurred_at, fanned_out_at, true
           from announced",
        event.event_id as _,
        event.issuer as _,
        stream as _,
        event.event_type,
        event.subject,
        event.lane.number(),
        event.txn.as_str(),
        now as _,
        event.payload,
        delivery as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Rings the push workers and long polls of every process at commit.
pub(super) async fn ring(conn: &mut PgConnection) -> sqlx::Result<()> {
    fan_out::ring(conn, Rings { push: true, polls: true }).await
}

/// A stream and whose it is.
pub(super) struct Addressed {
    pub(super) stream: StreamKey,
    pub(super) issuer: IssuerId,
}

/// Enabled streams without activity for as long as they may be.
pub(super) async fn idle(conn: &mut PgConnection, now: Timestamp, limit: i64) -> sqlx::Result<Vec<Addressed>> {
    sqlx::query_as!(
        Addressed,
        r#"select id as "stream: StreamKey", issuer_id as "issuer: IssuerId" from stream
            where inactivity_timeout_s is not null and status = 'enabled'
              and last_activity_at + make_interval(secs => inactivity_timeout_s) <= $1
            limit $2"#,
        now as _,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Locks the stream if it still is idle and nobody else is changing it.
pub(super) async fn lock_idle(conn: &mut PgConnection, stream: StreamKey, now: Timestamp) -> sqlx::Result<bool> {
    let locked = sqlx::query!(
        "select id from stream
          where id = $1 and status = 'enabled' and last_activity_at + make_interval(secs => inactivity_timeout_s) <= $2
            for no key update skip locked",
        stream as _,
        now as _,
    );
    Ok(locked.fetch_optional(conn).await?.is_some())
}

/// A stream that may be sent an unsolicited verification event.
pub(super) struct Beating {
    pub(super) stream: StreamKey,
    pub(super) issuer: IssuerId,
    pub(super) status: StreamStatus,
    /// The last one is not settled.
    pub(super) is_waiting: bool,
}

/// The streams whose heartbeat was last due before `before`; it is noted that it is due now. Another process passes over them.
pub(super) async fn beat(
    conn: &mut PgConnection,
    before: Timestamp,
    now: Timestamp,
    limit: i64,
) -> sqlx::Result<Vec<Beating>> {
    let rows = sqlx::query!(
        r#"with due as materialized (
               select id from stream where status = 'enabled' and coalesce(heartbeat_at, created_at) <= $1
                order by coalesce(heartbeat_at, created_at) limit $3 for no key update skip locked
           )
           update stream s set heartbeat_at = $2 from due where s.id = due.id
           returning s.id as "stream: StreamKey", s.issuer_id as "issuer: IssuerId",
                     (exists (select 1 from outbox o where o.event_id = s.heartbeat_event_id)
                      or exists (select 1 from delivery d where d.event_id = s.heartbeat_event_id)) as "is_waiting!""#,
        before as _,
        now as _,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let status = StreamStatus::Enabled;
    Ok(rows
        .into_iter()
        .map(|row| Beating { stream: row.stream, issuer: row.issuer, status, is_waiting: row.is_waiting })
        .collect())
}

/// Locks one stream for an unsolicited verification event, if it is there.
pub(super) async fn lock_beating(conn: &mut PgConnection, stream: StreamKey) -> sqlx::Result<Option<Beating>> {
    // a statement of its own: the next one must see what was committed while this waited
    sqlx::query!("select id from stream where id = $1 for no key update", stream as _)
        .fetch_optional(&mut *conn)
        .await?;
    let row = sqlx::query!(
        r#"select s.issuer_id as "issuer: IssuerId", s.status,
                  (exists (select 1 from outbox o where o.event_id = s.heartbeat_event_id)
                   or exists (select 1 from delivery d where d.event_id = s.heartbeat_event_id)) as "is_waiting!"
             from stream s where s.id = $1"#,
        stream as _,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Beating {
        stream,
        issuer: row.issuer,
        status: row.status.parse().expect("a CHECK allows only the three statuses"),
        is_waiting: row.is_waiting,
    }))
}

/// Notes the last unsolicited verification event of each stream.
pub(super) async fn note_heartbeats(
    conn: &mut PgConnection,
    streams: &[StreamKey],
    events: &[EventId],
) -> sqlx::Result<()> {
    sqlx::query!(
        "update stream s set heartbeat_event_id = e.event_id
           from unnest($1::uuid[], $2::uuid[]) as e (stream_id, event_id) where s.id = e.stream_id",
        streams as _,
        events as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}
