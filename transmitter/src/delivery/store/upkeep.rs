//! SQL of upkeep: giving up what is too old, and keeping the history in daily partitions.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::delivery::DeliveryId;
use crate::stream::StreamKey;

/// Gives up what waits on a stream that was disabled, recorded as discarded: neither what is on the wire, which settles
/// itself, nor announcements. Returns how many.
pub(crate) async fn discard_waiting(conn: &mut PgConnection, stream: StreamKey, now: Timestamp) -> sqlx::Result<u64> {
    discard(conn, stream, false, "stream_disabled", now).await
}

/// Gives up everything of a stream that goes, recorded as discarded for this reason: what somebody is sending, too.
pub(crate) async fn discard_all(
    conn: &mut PgConnection,
    stream: StreamKey,
    reason: &str,
    now: Timestamp,
) -> sqlx::Result<u64> {
    discard(conn, stream, true, reason, now).await
}

/// In steps, for no statement may take as long as a backlog is.
async fn discard(
    conn: &mut PgConnection,
    stream: StreamKey,
    all: bool,
    reason: &str,
    now: Timestamp,
) -> sqlx::Result<u64> {
    let mut discarded = 0;
    loop {
        let done = sqlx::query!(
            "with step as (
                 select id from delivery
                  where stream_id = $1 and ($3 or (not announces and (state = 'waiting' or due_at <= $2))) limit $5 for update
             ), gone as (
                 delete from delivery d where d.id = any (array(select id from step)) returning d.*
             )
             insert into delivery_history (id, settled_at, seq, issuer_id, stream_id, event_id, event_type, delivery_method, lane, outcome,
                    error_code, attempts, occurred_at, recorded_at, fanned_out_at, first_taken_at, sent_at, batch_id)
             select g.id, $2, g.seq, g.issuer_id, g.stream_id, g.event_id, g.event_type, s.delivery_method, g.lane, 'discarded',
                    $4, g.attempts, g.occurred_at, g.recorded_at, g.fanned_out_at, g.first_taken_at, g.sent_at, g.batch_id
               from gone g join stream s on s.id = g.stream_id",
            stream as _,
            now as _,
            all,
            reason,
            i64::try_from(DISCARDED_AT_ONCE).unwrap_or(i64::MAX),
        )
        .execute(&mut *conn)
        .await?;
        discarded += done.rows_affected();
        if done.rows_affected() < DISCARDED_AT_ONCE {
            return Ok(discarded);
        }
    }
}

/// Gives up what waits on streams that are disabled: what was on the wire when they were, and failed, and everything of a
/// client or an issuer that was removed. At most `limit`; returns how many. A stream that is being enabled, or was since
/// this began, is left alone: what waits on it may be new.
pub(crate) async fn discard_returned(conn: &mut PgConnection, limit: i64, now: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "with still as (
             -- locking looks again at the status, and until this is over nobody enables them
             select s.id, case when i.removed_at is not null then 'issuer_removed' when c.removed_at is not null then 'client_removed' end as removed
               from stream s join client c on c.id = s.client_id join issuer i on i.id = s.issuer_id
              where s.status = 'disabled'
                and exists (select 1 from delivery d where d.stream_id = s.id and (d.state = 'waiting' or d.due_at <= $1)
                                and (not d.announces or c.removed_at is not null or i.removed_at is not null))
                for share of s skip locked
         ), returned as (
             -- stream by stream, on the index of streams
             select d.id, still.removed from still cross join lateral (
                 select d.id from delivery d
                  where d.stream_id = still.id and (not d.announces or still.removed is not null) and (d.state = 'waiting' or d.due_at <= $1)
                  limit $2 for update of d skip locked) d
              limit $2
         ), gone as (
             delete from delivery d where d.id = any (array(select id from returned))
             returning d.*, (select r.removed from returned r where r.id = d.id) as removed
         )
         insert into delivery_history (id, settled_at, seq, issuer_id, stream_id, event_id, event_type, delivery_method, lane, outcome,
                error_code, attempts, occurred_at, recorded_at, fanned_out_at, first_taken_at, sent_at, batch_id)
         select g.id, $1, g.seq, g.issuer_id, g.stream_id, g.event_id, g.event_type, s.delivery_method, g.lane, 'discarded',
                coalesce(g.removed, 'stream_disabled'), g.attempts, g.occurred_at, g.recorded_at, g.fanned_out_at, g.first_taken_at, g.sent_at, g.batch_id
           from gone g join stream s on s.id = g.stream_id",
        now as _,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// The most that one statement discards.
const DISCARDED_AT_ONCE: u64 = 10_000;

/// Gives up deliveries made (or sent again from the dead letters) before `before`, at most `limit`: into the dead letters
/// and the history. What a paused stream holds is no exception. Returns how many.
pub(crate) async fn expire(
    conn: &mut PgConnection,
    before: Timestamp,
    limit: i64,
    now: Timestamp,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "with old as (
             -- ids are born with their deliveries, and the primary key sorts them by birth
             select id from delivery where id < $4 and coalesce(retained_since, fanned_out_at) < $1 and due_at <= $3 order by id limit $2 for update skip locked
         ), gone as (
             delete from delivery d where d.id = any (array(select id from old)) returning d.*
         ), buried as (
             insert into dead_letter (id, issuer_id, stream_id, event_id, event_type, subject, payload, txn, lane, attempts, error_code, error,
                    occurred_at, recorded_at, fanned_out_at, died_at, seq, first_taken_at, attempt_log, batch_id)
             select g.id, g.issuer_id, g.stream_id, g.event_id, g.event_type, e.subject, e.payload, e.txn, g.lane, g.attempts, 'expired',
                    coalesce(g.last_error, case when s.status = 'paused' then 'held by a paused stream' else 'never answered' end), g.occurred_at, g.recorded_at, g.fanned_out_at, $3, g.seq, g.first_taken_at, g.attempt_log, g.batch_id
               from gone g cross join lateral (
                        select * from event where event.event_id = g.event_id and event.recorded_at = g.recorded_at offset 0) e
               join stream s on s.id = g.stream_id
         )
         insert into delivery_history (id, settled_at, seq, issuer_id, stream_id, event_id, event_type, delivery_method, lane, outcome, error_code,
                attempts, occurred_at, recorded_at, fanned_out_at, first_taken_at, sent_at, batch_id)
         select g.id, $3, g.seq, g.issuer_id, g.stream_id, g.event_id, g.event_type, s.delivery_method, g.lane, 'expired', 'expired',
                g.attempts, g.occurred_at, g.recorded_at, g.fanned_out_at, g.first_taken_at, g.sent_at, g.batch_id
           from gone g join stream s on s.id = g.stream_id",
        before as _,
        limit,
        now as _,
        DeliveryId::first_of(before) as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Lets one process at a time make and drop partitions, until the transaction ends: two that start together would both
/// find one missing, and the second would fail. From then on nothing is waited for long: what wants the whole history
/// makes everybody wait behind it, and is given up before PostgreSQL looks for deadlocks (`deadlock_timeout`, 1 s).
pub(crate) async fn lock_partitions(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('ssf_transmitter.partitions'), hashtext(current_schema))")
        .execute(&mut *conn)
        .await?;
    sqlx::query!("set local lock_timeout = '200ms'").execute(conn).await?;
    Ok(())
}

/// Makes the partitions from the day of `first` to the day of `last` (UTC) where they are missing.
pub(crate) async fn ensure_partitions(conn: &mut PgConnection, first: Timestamp, last: Timestamp) -> sqlx::Result<i32> {
    let made = sqlx::query_scalar!(
        r#"select ensure_partitions(($1::timestamptz at time zone 'UTC')::date, ($2::timestamptz at time zone 'UTC')::date) as "made!""#,
        first as _,
        last as _,
    );
    made.fetch_one(conn).await
}

/// When the oldest event was recorded that a delivery sent again from the dead letters still needs. To be asked while
/// partitions are locked: whoever sends again holds the lock too.
pub(crate) async fn oldest_replayed(conn: &mut PgConnection) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar!(
        r#"select recorded_at as "at: Timestamp" from delivery where retained_since is not null order by recorded_at limit 1"#
    )
    .fetch_optional(conn)
    .await
}

/// Forgets events before `before` that have no partition of their own to be dropped with, and that nothing waiting needs,
/// at most `limit`.
pub(crate) async fn forget_stray_events(conn: &mut PgConnection, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from event_rest where (event_id, recorded_at) in (
             select e.event_id, e.recorded_at from event_rest e
              where e.recorded_at < $1 and not exists (select from delivery d where d.event_id = e.event_id)
              limit $2)",
        before as _,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Drops the partitions of whole days before the day of `before` (UTC).
pub(crate) async fn drop_partitions(conn: &mut PgConnection, before: Timestamp) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        r#"select drop_partitions(($1::timestamptz at time zone 'UTC')::date) as "dropped!""#,
        before as _
    )
    .fetch_one(conn)
    .await
}
