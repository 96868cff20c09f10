//! SQL of sending dead letters again: back among the deliveries, as the same SETs in their old order.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::fan_out::Rings;
use crate::delivery::DeliveryId;
use crate::issuer::IssuerId;
use crate::stream::StreamKey;

/// Keeps still, until the transaction ends, what a replay decides by: no fan-out gives places and lanes, no partition is
/// dropped, no stream of these dead letters is stopped or deleted.
pub(crate) async fn lock(conn: &mut PgConnection, issuer: IssuerId, ids: &[DeliveryId]) -> sqlx::Result<()> {
    // Statements of their own: what follows must see what was committed while these waited. Streams come first: whoever
    // disables or deletes one holds it and then wants the fan-out, or its dead letters.
    sqlx::query!(
        "select id from stream where id in (select stream_id from dead_letter where id = any ($2) and issuer_id = $1) order by id for share",
        issuer as _,
        ids as _,
    )
    .fetch_all(&mut *conn)
    .await?;
    super::fan_out::lock(&mut *conn).await?;
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(hashtext('ssf_transmitter.partitions'), hashtext(current_schema))"
    )
    .execute(&mut *conn)
    .await?;
    super::dead_letters::hold(conn, issuer, ids).await
}

/// A delivery that waits again.
pub(crate) struct Replayed {
    pub(crate) stream: StreamKey,
    pub(crate) order_key: i64,
}

/// Puts these dead letters back among the deliveries, in one statement: with their ids, times and old places, so that
/// they are the same SETs and go out before what was decided later about the same subject. What the history says of how
/// they ended goes; an event that has left the history comes back. Those of disabled streams stay, and so does news of the
/// streams themselves: an old status would be the last word that its receiver hears.
pub(crate) async fn replay(
    conn: &mut PgConnection,
    issuer: IssuerId,
    ids: &[DeliveryId],
    now: Timestamp,
) -> sqlx::Result<Vec<Replayed>> {
    sqlx::query_as!(
        Replayed,
        r#"with gone as (
               delete from dead_letter l using stream s
                where l.id = any ($2) and l.issuer_id = $1 and s.id = l.stream_id and s.status <> 'disabled'
                  and l.event_type !~ '/ssf/event-type/(verification|stream-updated)$'
               returning l.*
           ), forgotten as (
               -- a delivery settles once: what is settled now will be settled anew
               delete from delivery_history h using gone g where h.id = g.id and h.settled_at = g.died_at
               returning h.id, h.seq, h.first_taken_at
           ), remembered as (
               insert into event (event_id, recorded_at, seq, issuer_id, event_type, subject, lane, txn, payload, occurred_at, fanned_out_at,
                      streams, state)
               select event_id, recorded_at, 0, issuer_id, event_type, subject, lane, txn, payload, occurred_at, fanned_out_at,
                      count(*) over (partition by event_id), 'fanned_out'
                 from gone
               on conflict do nothing
           )
           insert into delivery (id, seq, issuer_id, stream_id, event_id, recorded_at, event_type, order_key, lane, due_at, attempts,
                  occurred_at, fanned_out_at, first_taken_at, last_error, attempt_log, retained_since, batch_id)
           overriding system value
           select g.id, coalesce(g.seq, f.seq, nextval(pg_get_serial_sequence('delivery', 'seq'))), g.issuer_id, g.stream_id, g.event_id,
                  g.recorded_at, g.event_type, hashtextextended(g.subject::text, 0), g.lane, $3, g.attempts, g.occurred_at, g.fanned_out_at,
                  coalesce(g.first_taken_at, f.first_taken_at), g.error,
                  case when g.error_code = 'expired' then g.attempt_log
                       else attempt_logged(g.attempt_log, g.died_at, 'refused with ' || g.error_code || case when g.error = '' then '' else ': ' || g.error end) end,
                  $3, g.batch_id
             from gone g left join forgotten f on f.id = g.id
           returning stream_id as "stream: StreamKey", order_key"#,
        issuer as _,
        ids as _,
        now as _,
    )
    .fetch_all(conn)
    .await
}

/// Lets nothing more urgent wait behind what was put back, nor what was put back behind anything less urgent: within a
/// stream and subject every delivery gets at least the lane of each later one. Returns how many somebody else held just
/// then: they are promoted by doing this again.
pub(crate) async fn promote(conn: &mut PgConnection, replayed: &[Replayed]) -> sqlx::Result<i64> {
    let streams: Vec<StreamKey> = replayed.iter().map(|one| one.stream).collect();
    let order_keys: Vec<i64> = replayed.iter().map(|one| one.order_key).collect();
    let missed = sqlx::query_scalar!(
        r#"with touched as (
             select distinct stream_id, order_key from unnest($1::uuid[], $2::bigint[]) as t (stream_id, order_key)
         ), wanted as materialized (
             -- `offset 0` keeps the planner on the index of subjects
             select d.id, d.lane, d.urgent
               from touched t cross join lateral (
                   select d.id, d.lane, min(d.lane) over (order by d.seq desc) as urgent
                     from delivery d where d.stream_id = t.stream_id and d.order_key = t.order_key offset 0) d
         ), slow as materialized (
             select w.id, w.urgent from wanted w where w.lane > w.urgent
         ), free as materialized (
             -- waits for nobody
             select id from delivery where id = any (array(select id from slow)) for update skip locked
         ), promoted as (
             update delivery d set lane = least(d.lane, (select slow.urgent from slow where slow.id = d.id))
              where d.id = any (array(select id from free))
         )
         select count(*) as "missed!" from slow where id <> all (array(select id from free))"#,
        streams as _,
        &order_keys,
    )
    .fetch_one(&mut *conn)
    .await?;
    super::fan_out::ring(conn, Rings { push: true, polls: true }).await?;
    Ok(missed)
}
