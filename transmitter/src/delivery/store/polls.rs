//! SQL of poll delivery.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::delivery::{DeliveryId, Taken};
use crate::issuer::IssuerId;
use crate::stream::StreamKey;

/// Hands out what is due on a poll stream, in order of lane and fan-out, each subject's earliest only. Nothing is
/// leased: what is not acknowledged is handed out again (RFC 8936 §2.5). What another poll of the same stream is just being
/// handed is passed over.
///
/// An announcement is handed out alone, whatever the stream's status is, and nothing else before it is settled, unless it
/// was first handed out before `impatient_since`.
pub(crate) async fn hand_out(
    conn: &mut PgConnection,
    stream: StreamKey,
    limit: i64,
    now: Timestamp,
    impatient_since: Timestamp,
) -> sqlx::Result<Vec<Taken>> {
    sqlx::query_as!(
        Taken,
        r#"with polled as materialized (
               select s.status from stream s where s.id = $1 and s.delivery_method = 'poll'
           ), head as materialized (
               select a.id, (a.first_taken_at is null or a.first_taken_at > $4) as holds_back
                 from delivery a where a.stream_id = $1 and a.announces order by a.seq limit 1
           ), announced as (
               select d.id from delivery d where d.id = (select id from head) and d.due_at <= $3 and exists (select from polled) for update skip locked
           ), following as (
               select d.id from delivery d
                where d.stream_id = $1 and d.due_at <= $3 and not d.announces
                  and d.seq = (select min(e.seq) from delivery e where e.stream_id = d.stream_id and e.order_key = d.order_key)
                order by d.lane, d.seq
                limit case when (select status from polled) = 'enabled' and not coalesce((select holds_back from head), false)
                           then $2 - (select count(*) from announced) else 0 end
                  for update of d skip locked
           ), picked as (
               select id from announced union all select id from following
           ), taken as (
               -- an array here, and laterals with `offset 0` below, keep the planner on primary keys
               update delivery d set attempts = d.attempts + 1, first_taken_at = coalesce(d.first_taken_at, $3), sent_at = $3
                where d.id = any (array(select id from picked))
               returning d.*
           )
           select d.id as "id: DeliveryId", d.stream_id as "stream: StreamKey", s.version as "stream_version!", d.issuer_id as "issuer: IssuerId", s.audience, s.algorithm,
                     s.timeline_claim, null::text as endpoint_url, null::text as endpoint_host, null::bytea as authorization_sealed, d.event_type, d.lane, e.subject, e.payload, e.txn, d.attempts, d.occurred_at, d.recorded_at, d.fanned_out_at,
                     d.first_taken_at as "first_taken_at!"
             from taken d
            cross join lateral (select * from event where event.event_id = d.event_id and event.recorded_at = d.recorded_at offset 0) e
            cross join lateral (select stream.*, stream.xmin::text as version from stream where stream.id = d.stream_id offset 0) s"#,
        stream as _,
        limit,
        now as _,
        impatient_since as _,
    )
    .fetch_all(conn)
    .await
}

/// Whether more than `handed_out` could be handed out now, or once an announcement among it is settled.
pub(crate) async fn has_more(
    conn: &mut PgConnection,
    stream: StreamKey,
    handed_out: &[DeliveryId],
    now: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
               select 1 from delivery d
                where d.stream_id = $1 and d.due_at <= $3 and d.id <> all ($2)
                  and (d.announces or (select s.status from stream s where s.id = $1) = 'enabled')
                  and d.seq = (select min(e.seq) from delivery e where e.stream_id = d.stream_id and e.order_key = d.order_key)
           ) as "more!""#,
        stream as _,
        handed_out as _,
        now as _,
    )
    .fetch_one(conn)
    .await
}

/// Settles what the receiver accepted or refused: into the history, refused ones also into the dead letters. Ids that are
/// not this stream's, or were settled before, are passed over.
pub(crate) async fn settle(
    conn: &mut PgConnection,
    stream: StreamKey,
    ids: &[DeliveryId],
    codes: &[Option<String>],
    errors: &[Option<String>],
    now: Timestamp,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        // looked up, not joined: a planner cannot take for small what is not
        "with settled as (
             delete from delivery d where d.id = any ($2) and d.stream_id = $1
             returning d.id, d.seq, d.issuer_id, d.stream_id, d.event_id, d.recorded_at, d.event_type, d.lane, d.attempts, d.occurred_at,
                       d.fanned_out_at, d.first_taken_at, d.sent_at, d.attempt_log, d.batch_id, array_position($2::uuid[], d.id) as place
         ), gone as (
             select s.*, ($3::text[])[place] as error_code, ($4::text[])[place] as error from settled s
         ), buried as (
             insert into dead_letter (id, issuer_id, stream_id, event_id, event_type, subject, payload, txn, lane, attempts, error_code, error,
                    occurred_at, recorded_at, fanned_out_at, died_at, seq, first_taken_at, attempt_log, batch_id)
             select g.id, g.issuer_id, g.stream_id, g.event_id, g.event_type, e.subject, e.payload, e.txn, g.lane, g.attempts, g.error_code,
                    coalesce(g.error, ''), g.occurred_at, g.recorded_at, g.fanned_out_at, $5, g.seq, g.first_taken_at, g.attempt_log, g.batch_id
               from gone g cross join lateral (
                        select * from event where event.event_id = g.event_id and event.recorded_at = g.recorded_at offset 0) e
              where g.error_code is not null
         )
         insert into delivery_history (id, settled_at, seq, issuer_id, stream_id, event_id, event_type, delivery_method, lane, outcome, error_code,
                attempts, occurred_at, recorded_at, fanned_out_at, first_taken_at, sent_at, batch_id)
         select id, $5, seq, issuer_id, stream_id, event_id, event_type, 'poll', lane,
                case when error_code is null then 'acknowledged' else 'refused' end, error_code,
                attempts, occurred_at, recorded_at, fanned_out_at, first_taken_at, sent_at, batch_id
           from gone",
        stream as _,
        ids as _,
        codes as _,
        errors as _,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Puts off deliveries whose refusal is trouble of the stream, not of the SET. What a push still has on the wire is left to
/// it.
pub(crate) async fn postpone(
    conn: &mut PgConnection,
    stream: StreamKey,
    ids: &[DeliveryId],
    errors: &[String],
    now: Timestamp,
    due_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update delivery d set due_at = $4, last_error = p.error, attempt_log = attempt_logged(d.attempt_log, $5, p.error)
           from unnest($2::uuid[], $3::text[]) as p (id, error)
          where d.id = any ($2) and d.id = p.id and d.stream_id = $1 and (d.state = 'waiting' or d.due_at <= $5)",
        stream as _,
        ids as _,
        errors,
        due_at as _,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}
