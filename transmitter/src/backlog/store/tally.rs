//! SQL of adding up: what statements appended to `tally` goes into the sums.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::backlog::Promise;

/// Adds up the oldest rows of the tally, at most `limit`; returns how many there were. Readers see the sums and what is
/// not yet added up as one, before and after. Rows that another process is adding up are passed over.
pub(crate) async fn add_up(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query_scalar!(
        r#"with step as materialized (
               select seq from tally order by seq limit $1 for update skip locked
           ), gone as materialized (
               delete from tally t where t.seq = any (array(select seq from step)) returning t.*
           ), of_streams as (
               -- in one order everywhere, so that two that add up never wait for each other in a circle
               insert into stream_backlog as b (stream_id, lane, waiting, acknowledged, refused, expired, discarded, breached)
               select stream_id, lane, sum(waiting), sum(acknowledged), sum(refused), sum(expired), sum(discarded), sum(breached)
                 from gone where stream_id is not null and replayed = 0 group by 1, 2 order by 1, 2
               on conflict (stream_id, lane) do update set waiting = b.waiting + excluded.waiting,
                  acknowledged = b.acknowledged + excluded.acknowledged, refused = b.refused + excluded.refused,
                  expired = b.expired + excluded.expired, discarded = b.discarded + excluded.discarded, breached = b.breached + excluded.breached
           ), of_slots as (
               insert into stream_drain as d (stream_id, slot, settled)
               select stream_id, slot, sum(acknowledged + refused)
                 from gone where slot is not null and acknowledged + refused > 0 group by 1, 2 order by 1, 2
               on conflict (stream_id, slot) do update set settled = d.settled + excluded.settled
           ), of_batches as (
               insert into batch_stream as b (batch_id, stream_id, waiting, acknowledged, refused, expired, discarded, last_settled_at)
               select batch_id, stream_id, sum(waiting), sum(acknowledged), sum(refused), sum(expired), sum(discarded), max(last_at)
                 from gone where batch_id is not null and stream_id is not null group by 1, 2 order by 1, 2
               on conflict (batch_id, stream_id) do update set waiting = b.waiting + excluded.waiting,
                  acknowledged = b.acknowledged + excluded.acknowledged, refused = b.refused + excluded.refused,
                  expired = b.expired + excluded.expired, discarded = b.discarded + excluded.discarded,
                  last_settled_at = greatest(b.last_settled_at, excluded.last_settled_at)
           ), fanned_out as materialized (
               select batch_id, sum(fanned_out)::bigint as events from gone where fanned_out > 0 group by 1
           ), of_decisions as (
               update batch b set fanned_out = b.fanned_out + (select f.events from fanned_out f where f.batch_id = b.id)
                where b.id = any (array(select batch_id from fanned_out))
           )
           select count(*) as "rows!" from gone"#,
        limit,
    )
    .fetch_one(conn)
    .await?;
    Ok(u64::try_from(done).unwrap_or(0))
}

/// Lets one process at a time watch, until the transaction ends; whether it is us.
pub(crate) async fn is_ours(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtext('ssf_transmitter.watch'), hashtext(current_schema)) as "ours!""#
    )
    .fetch_one(conn)
    .await
}

/// Forgets what is too old: drain before `drained`, breaches and alarms before `kept`, batches before `batches`, and sums of
/// streams that are gone. A bounded amount of each.
pub(crate) async fn forget(
    conn: &mut PgConnection,
    drained: Timestamp,
    kept: Timestamp,
    batches: Timestamp,
    limit: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with old as (select stream_id, slot from stream_drain where slot < $1 order by slot limit $2 for update skip locked)
         delete from stream_drain d using old where d.stream_id = old.stream_id and d.slot = old.slot",
        drained as _,
        limit,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "delete from breach where jti = any (array(select jti from breach where found_at < $1 order by found_at limit $2))",
        kept as _,
        limit,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "delete from backlog_alarm where id = any (array(
             select id from backlog_alarm where raised_at < $1 order by raised_at, id limit $2)) and cleared_at is not null",
        kept as _,
        limit,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "with old as materialized (select id from batch where created_at < $1 order by created_at limit $2),
              gone as (delete from batch_stream s where s.batch_id = any (array(select id from old)))
         delete from batch b where b.id = any (array(select id from old))",
        batches as _,
        limit,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "delete from stream_watch w where w.stream_id = any (array(
             select o.stream_id from stream_watch o where not exists (select from stream s where s.id = o.stream_id) limit $1))",
        limit,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        // the sums of streams that are gone live on together, or those of the service would shrink
        "with gone as (
             delete from stream_backlog b where b.stream_id = any (array(
                 select o.stream_id from stream_backlog o
                  where o.stream_id <> '00000000-0000-0000-0000-000000000000' and not exists (select from stream s where s.id = o.stream_id)
                  limit $1))
             returning b.*
         )
         insert into stream_backlog as b (stream_id, lane, acknowledged, refused, expired, discarded, breached)
         select '00000000-0000-0000-0000-000000000000', lane, sum(acknowledged), sum(refused), sum(expired), sum(discarded), sum(breached)
           from gone group by lane order by lane
         on conflict (stream_id, lane) do update set acknowledged = b.acknowledged + excluded.acknowledged, refused = b.refused + excluded.refused,
            expired = b.expired + excluded.expired, discarded = b.discarded + excluded.discarded, breached = b.breached + excluded.breached",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Tells the database what is promised, if that has changed.
pub(crate) async fn promise(conn: &mut PgConnection, promise: &Promise) -> sqlx::Result<()> {
    sqlx::query!(
        "update promise set level = $1, sl2 = make_interval(secs => $2), sl3 = make_interval(secs => $3), bulk = $4
          where (level, sl2, sl3, bulk) is distinct from ($1, make_interval(secs => $2), make_interval(secs => $3), $4)",
        promise.level.as_str(),
        promise.sl2.as_secs_f64(),
        promise.sl3.as_secs_f64(),
        promise.bulk,
    )
    .execute(conn)
    .await?;
    Ok(())
}
