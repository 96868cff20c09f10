//! SQL of the fan-out: out of the outbox, into the deliveries.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::promote::Missed;
use crate::delivery::DeliveryId;
use crate::issuer::IssuerId;
use crate::outbox::{BatchId, EventId, Lane};
use crate::stream::StreamKey;

/// A decision from the outbox.
#[expect(clippy::struct_field_names, reason = "a column's name")]
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
    pub(crate) recorded_at: Timestamp,
    pub(crate) batch: Option<BatchId>,
}

/// A delivery to be made.
pub(crate) struct Planned {
    pub(crate) id: DeliveryId,
    /// Of which decision: its place among those that were taken.
    pub(crate) place: usize,
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
                  o.event_type, o.subject::text as "subject!", o.payload::text as "payload!", o.order_key, o.lane, o.checked, o.occurred_at, o.recorded_at, o.batch_id as "batch: BatchId"
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
        recorded_at: row.recorded_at,
        batch: row.batch,
    });
    Ok(recorded.collect())
}

/// Moves the decisions into the history and makes their deliveries, in one statement: earlier waiting deliveries of the
/// same stream and subject are promoted to the lane of a more urgent new one. Returns those that somebody else held just
/// then: a claim that may yet pass them over, a breach that is being written down.
///
/// Nothing in it is joined: what a row needs is looked up by its place in the arrays, and what waits by its index, so
/// there is nothing a planner could take for small that is not.
pub(crate) async fn finish(
    conn: &mut PgConnection,
    recorded: &[Recorded],
    rejections: &[Option<String>],
    deliveries: &[Planned],
    rings: Rings,
    now: Timestamp,
) -> sqlx::Result<Vec<Missed>> {
    let mut streams_of_each = vec![0_i32; recorded.len()];
    let mut urgent: HashMap<(StreamKey, i64), Lane> = HashMap::new();
    let mut place_of_each = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let place = delivery.place;
        streams_of_each[place] += 1;
        // arrays of PostgreSQL begin with 1
        place_of_each.push(i32::try_from(place + 1).unwrap_or(i32::MAX));
        if delivery.lane < Lane::Bulk {
            let lane = urgent.entry((delivery.stream, recorded[place].order_key)).or_insert(delivery.lane);
            *lane = delivery.lane.min(*lane);
        }
    }
    let ids: Vec<DeliveryId> = deliveries.iter().map(|delivery| delivery.id).collect();
    let streams: Vec<StreamKey> = deliveries.iter().map(|delivery| delivery.stream).collect();
    let lanes: Vec<i16> = deliveries.iter().map(|delivery| delivery.lane.number()).collect();
    let urgent_streams: Vec<StreamKey> = urgent.keys().map(|(stream, _)| *stream).collect();
    let urgent_keys: Vec<i64> = urgent.keys().map(|(_, order_key)| *order_key).collect();
    let urgent_lanes: Vec<i16> = urgent.values().map(|lane| lane.number()).collect();
    let seqs: Vec<i64> = recorded.iter().map(|event| event.seq).collect();
    let issuers: Vec<IssuerId> = recorded.iter().map(|event| event.issuer).collect();
    let events: Vec<EventId> = recorded.iter().map(|event| event.event_id).collect();
    let recorded_at: Vec<Timestamp> = recorded.iter().map(|event| event.recorded_at).collect();
    let occurred_at: Vec<Timestamp> = recorded.iter().map(|event| event.occurred_at).collect();
    let types: Vec<&str> = recorded.iter().map(|event| event.event_type.as_str()).collect();
    let batches: Vec<Option<BatchId>> = recorded.iter().map(|event| event.batch).collect();
    let order_keys: Vec<i64> = recorded.iter().map(|event| event.order_key).collect();
    let missed = sqlx::query_as!(
        Missed,
        r#"with left_outbox as (
             delete from outbox o where o.seq = any ($1) returning o.*, array_position($1::bigint[], o.seq) as place
         ), kept as (
             insert into event (event_id, recorded_at, seq, issuer_id, stream_id, event_type, subject, lane, txn, payload, occurred_at,
                    fanned_out_at, streams, state, rejection, batch_id)
             select event_id, recorded_at, seq, issuer_id, stream_id, event_type, subject, lane, txn, payload, occurred_at, $7,
                    ($8::int[])[place], case when ($2::text[])[place] is null then 'fanned_out' else 'rejected' end, ($2::text[])[place], batch_id
               from left_outbox
         ), slow as materialized (
             select e.id, t.lane
               from unnest($9::uuid[], $10::bigint[], $11::smallint[]) as t (stream_id, order_key, lane)
              cross join lateral (
                   select e.id from delivery e
                    where e.stream_id = t.stream_id and e.order_key = t.order_key and e.lane > t.lane
                   order by e.seq offset 0) e
         ), free as materialized (
             -- waits for nobody: somebody who waits for one of many rows while holding others may be waited for in turn
             select id from delivery where id = any (array(select id from slow)) for update skip locked
         ), promoted as (
             update delivery d set lane = least(d.lane, (select slow.lane from slow where slow.id = d.id))
              where d.id = any (array(select id from free))
         ), made as (
         insert into delivery (id, issuer_id, stream_id, event_id, recorded_at, event_type, order_key, lane, due_at, occurred_at, fanned_out_at,
                retained_since, batch_id)
         select p.id, ($12::uuid[])[p.place], p.stream_id, ($13::uuid[])[p.place], ($14::timestamptz[])[p.place], ($15::text[])[p.place],
                ($16::bigint[])[p.place], p.lane, $7, ($17::timestamptz[])[p.place], $7,
                -- what waited in the outbox for days keeps its event from being dropped with its day, as what is sent again does
                case when ($14::timestamptz[])[p.place] < $7 - interval '1 day' then $7 end,
                ($18::uuid[])[p.place]
           from unnest($3::uuid[], $4::int[], $5::uuid[], $6::smallint[]) as p (id, place, stream_id, lane)
         )
         select id as "id: DeliveryId", lane as "lane!" from slow where id <> all (array(select id from free))"#,
        &seqs,
        rejections as _,
        ids as _,
        &place_of_each,
        streams as _,
        &lanes,
        now as _,
        &streams_of_each,
        urgent_streams as _,
        &urgent_keys,
        &urgent_lanes,
        issuers as _,
        events as _,
        recorded_at as _,
        types as _,
        &order_keys,
        occurred_at as _,
        batches as _,
    )
    .fetch_all(&mut *conn)
    .await?;
    // other processes' workers and long polls; ours are rung directly after the commit
    ring(conn, rings).await?;
    Ok(missed)
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
