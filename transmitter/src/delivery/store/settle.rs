//! SQL of settling push deliveries.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::delivery::{DeliveryId, LeaseId};
use crate::stream::StreamKey;

/// A delivery that is over.
pub(crate) struct Finished {
    pub(crate) id: DeliveryId,
    pub(crate) lease: LeaseId,
    /// Refused with this code and this text; acknowledged otherwise.
    pub(crate) refused: Option<(String, String)>,
    /// Acknowledged, but not as RFC 8935 §2.2 says.
    pub(crate) oddly: bool,
    pub(crate) signed_at: Option<Timestamp>,
    pub(crate) sent_at: Option<Timestamp>,
    pub(crate) settled_at: Timestamp,
}

/// A delivery that will be tried again.
pub(crate) struct Postponed {
    pub(crate) id: DeliveryId,
    pub(crate) lease: LeaseId,
    pub(crate) due_at: Timestamp,
    pub(crate) failed_at: Timestamp,
    pub(crate) error: String,
}

/// A stream whose receiver failed.
pub(crate) struct Troubled {
    pub(crate) stream: StreamKey,
    pub(crate) trouble: String,
    pub(crate) taken_at: Timestamp,
    pub(crate) failed_at: Timestamp,
    pub(crate) retry_at: Timestamp,
}

/// Moves finished deliveries into the history, refused ones also into the dead letters, and closes the breakers of their
/// streams: whoever answers is alive. One statement; a delivery whose lease was lost is left to its new holder.
pub(crate) async fn finish(conn: &mut PgConnection, finished: &[Finished]) -> sqlx::Result<u64> {
    let ids: Vec<DeliveryId> = finished.iter().map(|f| f.id).collect();
    let leases: Vec<LeaseId> = finished.iter().map(|f| f.lease).collect();
    let codes: Vec<Option<&str>> = finished.iter().map(|f| f.refused.as_ref().map(|(code, _)| code.as_str())).collect();
    let errors: Vec<Option<&str>> =
        finished.iter().map(|f| f.refused.as_ref().map(|(_, error)| error.as_str())).collect();
    let signed: Vec<Option<Timestamp>> = finished.iter().map(|f| f.signed_at).collect();
    let sent: Vec<Option<Timestamp>> = finished.iter().map(|f| f.sent_at).collect();
    let settled: Vec<Timestamp> = finished.iter().map(|f| f.settled_at).collect();
    let oddly: Vec<bool> = finished.iter().map(|f| f.oddly).collect();
    let done = sqlx::query!(
        // looked up, not joined: a planner cannot take for small what is not
        "with settled as (
             delete from delivery d
              where d.id = any ($1) and d.lease_id = ($2::uuid[])[array_position($1::uuid[], d.id)]
             returning d.id, d.seq, d.issuer_id, d.stream_id, d.event_id, d.recorded_at, d.event_type, d.lane, d.attempts, d.occurred_at,
                       d.fanned_out_at, d.first_taken_at, d.attempt_log, d.batch_id, array_position($1::uuid[], d.id) as place
         ), gone as (
             select s.*, ($3::text[])[place] as error_code, ($4::text[])[place] as error, ($5::timestamptz[])[place] as signed_at,
                    ($6::timestamptz[])[place] as sent_at, ($7::timestamptz[])[place] as settled_at, ($8::bool[])[place] as oddly
               from settled s
         ), buried as (
             insert into dead_letter (id, issuer_id, stream_id, event_id, event_type, subject, payload, txn, lane, attempts, error_code, error,
                    occurred_at, recorded_at, fanned_out_at, died_at, seq, first_taken_at, attempt_log, batch_id)
             select g.id, g.issuer_id, g.stream_id, g.event_id, g.event_type, e.subject, e.payload, e.txn, g.lane, g.attempts, g.error_code,
                    coalesce(g.error, ''), g.occurred_at, g.recorded_at, g.fanned_out_at, g.settled_at, g.seq, g.first_taken_at, g.attempt_log, g.batch_id
               from gone g cross join lateral (
                        select * from event where event.event_id = g.event_id and event.recorded_at = g.recorded_at offset 0) e
              where g.error_code is not null
         ), alive as (
             insert into stream_health as h (stream_id, last_success_at, odd_success_at)
             select g.stream_id, max(g.settled_at) filter (where g.error_code is null), max(g.settled_at) filter (where g.oddly)
               from gone g where g.sent_at is not null and exists (select from stream s where s.id = g.stream_id) group by 1 order by 1
             on conflict (stream_id) do update set failures = 0, retry_at = null, trouble = null,
                    last_success_at = greatest(h.last_success_at, excluded.last_success_at),
                    odd_success_at = greatest(h.odd_success_at, excluded.odd_success_at)
         )
         insert into delivery_history (id, settled_at, seq, issuer_id, stream_id, event_id, event_type, delivery_method, lane, outcome, error_code,
                attempts, occurred_at, recorded_at, fanned_out_at, first_taken_at, signed_at, sent_at, batch_id)
         select id, settled_at, seq, issuer_id, stream_id, event_id, event_type, 'push', lane,
                case when error_code is null then 'acknowledged' else 'refused' end, error_code,
                attempts, occurred_at, recorded_at, fanned_out_at, first_taken_at, signed_at, sent_at, batch_id
           from gone",
        ids as _,
        leases as _,
        codes as _,
        errors as _,
        signed as _,
        sent as _,
        settled as _,
        &oddly,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Gives up the leases of deliveries that will be tried again.
pub(crate) async fn postpone(conn: &mut PgConnection, postponed: &[Postponed]) -> sqlx::Result<()> {
    let ids: Vec<DeliveryId> = postponed.iter().map(|p| p.id).collect();
    let leases: Vec<LeaseId> = postponed.iter().map(|p| p.lease).collect();
    let due: Vec<Timestamp> = postponed.iter().map(|p| p.due_at).collect();
    let failed: Vec<Timestamp> = postponed.iter().map(|p| p.failed_at).collect();
    let errors: Vec<&str> = postponed.iter().map(|p| p.error.as_str()).collect();
    sqlx::query!(
        "update delivery d set state = 'waiting', lease_id = null, due_at = p.due_at, last_error = p.error,
                -- a more urgent one about the same subject may have come while this was held, and passed over
                lane = least(d.lane, (select min(e.lane) from delivery e
                                       where e.stream_id = d.stream_id and e.order_key = d.order_key and e.seq > d.seq)),
                attempt_log = attempt_logged(d.attempt_log, p.failed_at, p.error)
           from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[]) as p (id, lease_id, due_at, failed_at, error)
          where d.id = any ($1) and d.id = p.id and d.lease_id = p.lease_id",
        ids as _,
        leases as _,
        due as _,
        failed as _,
        errors as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives up the leases of deliveries that were taken and not sent: they are due at once, as if they had not been taken.
pub(crate) async fn give_back(
    conn: &mut PgConnection,
    given: &[(DeliveryId, LeaseId)],
    now: Timestamp,
) -> sqlx::Result<()> {
    let (ids, leases): (Vec<DeliveryId>, Vec<LeaseId>) = given.iter().copied().unzip();
    sqlx::query!(
        "update delivery d set state = 'waiting', lease_id = null, due_at = $3, attempts = d.attempts - 1,
                lane = least(d.lane, (select min(e.lane) from delivery e
                                       where e.stream_id = d.stream_id and e.order_key = d.order_key and e.seq > d.seq))
          where d.id = any ($1) and d.lease_id = ($2::uuid[])[array_position($1::uuid[], d.id)]",
        ids as _,
        leases as _,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Opens the breaker of a stream, or opens it wider. A window of SETs that fail together counts once: an attempt that
/// began before the last failure was recorded adds none, and a stream that became a poll stream meanwhile has no breaker. Returns how many failures there are in a row now, if it counted.
pub(crate) async fn open_breaker(conn: &mut PgConnection, troubled: &Troubled) -> sqlx::Result<Option<i32>> {
    sqlx::query_scalar!(
        "insert into stream_health as h (stream_id, failures, retry_at, trouble, last_failure_at)
         select id, 1, $3, $2, $4 from stream where id = $1 and delivery_method = 'push'
         on conflict (stream_id) do update
            set failures = h.failures + 1, retry_at = excluded.retry_at, trouble = excluded.trouble, last_failure_at = excluded.last_failure_at
          where h.last_failure_at is null or h.last_failure_at < $5 or h.failures = 0
         returning failures",
        troubled.stream as _,
        troubled.trouble,
        troubled.retry_at as _,
        troubled.failed_at as _,
        troubled.taken_at as _,
    )
    .fetch_optional(conn)
    .await
}

/// How often this stream has failed in a row.
pub(crate) async fn failures(conn: &mut PgConnection, stream: StreamKey) -> sqlx::Result<u32> {
    let failures = sqlx::query_scalar!("select failures from stream_health where stream_id = $1", stream as _)
        .fetch_optional(conn)
        .await?;
    Ok(failures.and_then(|n| u32::try_from(n).ok()).unwrap_or(0))
}
