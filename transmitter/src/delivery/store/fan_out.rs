//! SQL of the fan-out: out of the outbox, into the deliveries.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::delivery::DeliveryId;
use crate::issuer::IssuerId;
use crate::outbox::{EventId, Lane};
use crate::stream::StreamKey;

/// A decision from the outbox.
pub(crate) struct Recorded {
    pub(crate) seq: i64,
    pub(crate) event_id: EventId,
    pub(crate) issuer: IssuerId,
    pub(crate) stream: Option<StreamKey>,
    pub(crate) event_type: String,
    /// `None` if it is deeper or its numbers are larger than we read.
    pub(crate) subject: Option<Value>,
    /// As `subject`.
    pub(crate) payload: Option<Value>,
    pub(crate) order_key: i64,
    pub(crate) lane: Lane,
    pub(crate) checked: bool,
    pub(crate) occurred_at: Timestamp,
}

/// A delivery to be made.
pub(crate) struct Planned {
    pub(crate) id: DeliveryId,
    pub(crate) seq: i64,
    pub(crate) stream: StreamKey,
    pub(crate) lane: Lane,
}

/// Keeps every other fan-out out until the transaction ends: those that ran are committed, those that follow see what this
/// transaction does.
pub(crate) async fn lock(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('ssf_transmitter.fan_out'), hashtext(current_schema))")
        .execute(conn)
        .await?;
    Ok(())
}

/// The next decisions in order of lane and recording, together with every earlier one about the same subjects, returned
/// in order of recording. Whoever gets rows holds the fan-out lock until the transaction ends.
pub(crate) async fn take(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Recorded>> {
    lock(&mut *conn).await?;
    let rows = sqlx::query!(
        // `offset 0` and `array(…)` keep the planner on the two indexes of the outbox
        r#"with head as materialized (select seq, order_key from outbox order by lane, seq limit $1),
                batch as (select seq from head
                          union
                          select o.seq from (select order_key, max(seq) as last from head group by order_key) h
                           cross join lateral (
                               select o.seq from outbox o where o.order_key = h.order_key and o.seq < h.last order by o.seq offset 0
                           ) o)
           select o.seq, o.event_id as "event_id: EventId", o.issuer_id as "issuer: IssuerId", o.stream_id as "stream: StreamKey",
                  o.event_type, o.subject::text as "subject!", o.payload::text as "payload!", o.order_key, o.lane, o.checked, o.occurred_at
             from outbox o where o.seq = any (array(select seq from batch)) order by o.seq"#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let recorded = rows.into_iter().map(|row| Recorded {
        seq: row.seq,
        event_id: row.event_id,
        issuer: row.issuer,
        stream: row.stream,
        event_type: row.event_type,
        // one row that cannot be read must not hold up the others
        subject: serde_json::from_str(&row.subject).ok(),
        payload: serde_json::from_str(&row.payload).ok(),
        order_key: row.order_key,
        lane: Lane::from_number(row.lane),
        checked: row.checked,
        occurred_at: row.occurred_at,
    });
    Ok(recorded.collect())
}

/// Moves the decisions into the history and makes their deliveries, in one statement: earlier waiting deliveries of the
/// same stream and subject are promoted to the lane of a more urgent new one.
pub(crate) async fn finish(
    conn: &mut PgConnection,
    recorded: &[Recorded],
    rejections: &[Option<String>],
    deliveries: &[Planned],
    rings: Rings,
    now: Timestamp,
) -> sqlx::Result<()> {
    let seqs: Vec<i64> = recorded.iter().map(|event| event.seq).collect();
    let mut counts: HashMap<i64, i32> = HashMap::new();
    for delivery in deliveries {
        *counts.entry(delivery.seq).or_default() += 1;
    }
    let streams_of_each: Vec<i32> = seqs.iter().map(|seq| counts.get(seq).copied().unwrap_or(0)).collect();
    let ids: Vec<DeliveryId> = deliveries.iter().map(|delivery| delivery.id).collect();
    let of: Vec<i64> = deliveries.iter().map(|delivery| delivery.seq).collect();
    let streams: Vec<StreamKey> = deliveries.iter().map(|delivery| delivery.stream).collect();
    let lanes: Vec<i16> = deliveries.iter().map(|delivery| delivery.lane.number()).collect();
    sqlx::query!(
        "with planned as (
             select * from unnest($3::uuid[], $4::bigint[], $5::uuid[], $6::smallint[]) with ordinality as p (id, seq, stream_id, lane, place)
         ), left_outbox as (
             delete from outbox o using unnest($1::bigint[], $2::text[], $8::int[]) as r (seq, rejection, streams)
              where o.seq = r.seq
             returning o.*, r.rejection, r.streams
         ), kept as (
             insert into event (event_id, recorded_at, seq, issuer_id, stream_id, event_type, subject, lane, txn, payload, occurred_at,
                    fanned_out_at, streams, state, rejection)
             select event_id, recorded_at, seq, issuer_id, stream_id, event_type, subject, lane, txn, payload, occurred_at, $7,
                    streams, case when rejection is null then 'fanned_out' else 'rejected' end, rejection
               from left_outbox
         ), promoted as (
             -- waits for nobody: what is locked is being taken or settled, and needs no promotion
             update delivery d set lane = slow.lane
               from (select e.id, urgent.lane
                       from (select p.stream_id, o.order_key, min(p.lane) as lane from planned p join left_outbox o using (seq) group by 1, 2) urgent
                       join delivery e on e.stream_id = urgent.stream_id and e.order_key = urgent.order_key and e.lane > urgent.lane
                        for update of e skip locked) slow
              where d.id = slow.id
         )
         insert into delivery (id, issuer_id, stream_id, event_id, recorded_at, event_type, order_key, lane, due_at, occurred_at, fanned_out_at,
                retained_since)
         select p.id, o.issuer_id, p.stream_id, o.event_id, o.recorded_at, o.event_type, o.order_key, p.lane, $7, o.occurred_at, $7,
                -- what waited in the outbox for days keeps its event from being dropped with its day, as what is sent again does
                case when o.recorded_at < $7 - interval '1 day' then $7 end
           from planned p join left_outbox o using (seq) order by p.place",
        &seqs,
        rejections as _,
        ids as _,
        &of,
        streams as _,
        &lanes,
        now as _,
        &streams_of_each,
    )
    .execute(&mut *conn)
    .await?;
    // other processes' workers and long polls; ours are rung directly after the commit
    ring(conn, rings).await
}

/// Who hears of new deliveries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rings {
    /// The push workers.
    pub(crate) push: bool,
    /// Long polls: every ring costs a look at each stream that somebody waits for.
    pub(crate) polls: bool,
}

/// Rings in every process, at commit.
pub(crate) async fn ring(conn: &mut PgConnection, rings: Rings) -> sqlx::Result<()> {
    if rings.push {
        sqlx::query!("select pg_notify('ssf_delivery', '')").execute(&mut *conn).await?;
    }
    if rings.polls {
        sqlx::query!("select pg_notify('ssf_poll', '')").execute(conn).await?;
    }
    Ok(())
}
