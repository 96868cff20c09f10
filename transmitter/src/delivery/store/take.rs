//! SQL of taking push deliveries.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::delivery::{DeliveryId, LeaseId, Taken};
use crate::issuer::IssuerId;
use crate::stream::StreamKey;

/// What this process is sending already, and how much it may.
pub(crate) struct Room<'a> {
    /// Streams of which something is known here …
    pub(crate) busy: &'a [StreamKey],
    /// … how much is on the wire to each …
    pub(crate) in_flight: &'a [i32],
    /// … how much more it may be given …
    pub(crate) free: &'a [i32],
    /// … and how much more bulk.
    pub(crate) bulk_free: &'a [i32],
    /// The most to a stream that nothing is known of.
    pub(crate) window: i32,
    /// The most to be taken now …
    pub(crate) limit: i64,
    /// … and the most bulk beside that: it waits in the hand.
    pub(crate) bulk_limit: i64,
    /// Hosts with something on the wire …
    pub(crate) busy_hosts: &'a [String],
    /// … and how much each.
    pub(crate) in_flight_to_hosts: &'a [i32],
    /// The most to one host …
    pub(crate) per_host: i32,
    /// … and the most until bulk finds no room there.
    pub(crate) per_host_of_bulk: i32,
}

/// Takes what is due, fairly: from every enabled push stream at most as many as its window has room for, to every host at
/// most as many as it may have, in order of lane and fan-out, and never one whose subject has an earlier unsettled delivery
/// on that stream. A stream whose breaker is open gives one, once its time to probe has come. Rows that another process is
/// taking are passed over.
///
/// Bulk is taken beside that, into the hand: as much as `bulk_free` and `bulk_limit` say, and nothing of a stream on which
/// something more urgent finds no room.
///
/// An announcement goes first, whatever the stream's status is, and nothing else goes before it is settled, unless it was
/// first taken before `impatient_since`.
#[expect(clippy::too_many_lines, reason = "one statement")]
pub(crate) async fn push(
    conn: &mut PgConnection,
    room: &Room<'_>,
    lease: LeaseId,
    now: Timestamp,
    lease_ends: Timestamp,
    impatient_since: Timestamp,
) -> sqlx::Result<Vec<Taken>> {
    sqlx::query_as!(
        Taken,
        r#"with heads as materialized (
               -- each stream's oldest announcement, from an index that is nearly always empty
               select distinct on (a.stream_id) a.stream_id, a.id, a.due_at <= $6 as is_due,
                      (a.first_taken_at is null or a.first_taken_at > $9) as holds_back
                 from delivery a where a.announces order by a.stream_id, a.seq
           ), room as (
               select s.id as stream_id, s.endpoint_host, $12 - coalesce(o.n, 0) as host_free,
                      s.status = 'enabled' and not coalesce(a.holds_back, false) as flows,
                      -- the probes of a receiver that will not take its announcement are shared with what it may take
                      case when a.is_due and (a.holds_back or s.status <> 'enabled' or coalesce(h.failures, 0) % 2 = 0
                                or not exists (select 1 from delivery d where d.stream_id = s.id and d.due_at <= $6 and not d.announces))
                           then a.id end as announcement,
                      case when coalesce(h.failures, 0) > 0 then least(1, $3 - coalesce(b.n, 0))
                           when a.id is not null then greatest(1, coalesce(b.free, $3))
                           else coalesce(b.free, $3) end as free,
                      case when coalesce(h.failures, 0) > 0 then least(1, $3 - coalesce(b.n, 0))
                           when a.id is not null then 1
                           else coalesce(b.bulk_free, 1) end as bulk_free
                 from stream s
                 left join heads a on a.stream_id = s.id
                 left join unnest($1::uuid[], $2::int[], $8::int[], $13::int[]) as b (stream_id, n, free, bulk_free) on b.stream_id = s.id
                 left join unnest($10::text[], $11::int[]) as o (host, n) on o.host = s.endpoint_host
                 left join stream_health h on h.stream_id = s.id
                where s.delivery_method = 'push' and (s.status = 'enabled' or a.id is not null)
                  and (h.retry_at is null or (h.retry_at <= $6 and coalesce(b.n, 0) = 0))
           ), announcing as (
               select room.announcement, room.endpoint_host, room.host_free,
                      row_number() over (partition by room.endpoint_host order by room.announcement) as place
                 from room where room.announcement is not null and room.free > 0
           ), announced as materialized (
               select d.id, a.endpoint_host from announcing a join delivery d on d.id = a.announcement
                where a.place <= a.host_free and d.due_at <= $6
                limit $4 for update of d skip locked
           ), due as (
               select due.*, room.endpoint_host, case when due.lane = 2 then room.host_free - ($12 - $15) else room.host_free end as host_free,
                      row_number() over (partition by room.stream_id order by due.lane, due.seq) as place,
                      count(*) filter (where due.lane < 2) over (partition by room.stream_id) as more_urgent,
                      room.free, greatest(room.free, room.bulk_free) as free_of_both
                 from room cross join lateral (
                   -- each kind is looked at, and so locked, only as far as there is room for it; one more shows that there is not
                   select * from (
                       select d.id, d.lane, d.seq from delivery d
                        where d.stream_id = room.stream_id and d.lane < 2 and d.due_at <= $6 and not d.announces
                          and d.seq = (select min(e.seq) from delivery e where e.stream_id = d.stream_id and e.order_key = d.order_key)
                        order by d.lane, d.seq
                        limit case when room.flows then greatest(least(room.free + 1, room.host_free, $4) - (room.announcement is not null)::int, 0) else 0 end
                          for update of d skip locked) more_urgent
                   union all
                   select * from (
                       select d.id, d.lane, d.seq from delivery d
                        where d.stream_id = room.stream_id and d.lane = 2 and d.due_at <= $6 and not d.announces
                          and d.seq = (select min(e.seq) from delivery e where e.stream_id = d.stream_id and e.order_key = d.order_key)
                        order by d.lane, d.seq
                        limit case when room.flows then greatest(least(room.bulk_free, room.host_free - ($12 - $15), $14::bigint) - (room.announcement is not null)::int, 0) else 0 end
                          for update of d skip locked) bulk
               ) due
           ), fitting as (
               select due.*,
                      -- streams of one host share what is free of it
                      row_number() over (partition by due.endpoint_host order by due.lane, due.seq) as place_at_host
                 from due
                where due.place <= case when due.lane < 2 then due.free else due.free_of_both end
                  -- no bulk while something more urgent finds no room
                  and (due.lane < 2 or due.more_urgent <= due.free)
           ), picked as (
               select id from announced
               union all
               select following.id from (
                   select f.id, f.lane, row_number() over (partition by f.lane = 2 order by f.lane, f.seq) as place_of_kind from fitting f
                    where f.place_at_host <= f.host_free - (select count(*) from announced a where a.endpoint_host = f.endpoint_host)
               ) following
                where following.place_of_kind <= case when following.lane = 2 then $14::bigint else $4 - (select count(*) from announced) end
           ), taken as (
               -- an array here, and laterals with `offset 0` below, keep the planner on primary keys, whatever it thinks of what
               -- is above
               update delivery d
                  set state = 'leased', lease_id = $5, due_at = $7, attempts = d.attempts + 1, first_taken_at = coalesce(d.first_taken_at, $6)
                where d.id = any (array(select id from picked))
               returning d.*
           )
           select d.id as "id: DeliveryId", d.stream_id as "stream: StreamKey", s.version as "stream_version!", d.issuer_id as "issuer: IssuerId", s.audience, s.algorithm,
                     s.timeline_claim, s.endpoint_url, s.endpoint_host, s.authorization_sealed, d.event_type, d.lane, e.subject, e.payload, e.txn, d.attempts,
                     d.occurred_at, d.recorded_at, d.fanned_out_at, d.first_taken_at as "first_taken_at!"
             from taken d
            cross join lateral (select * from event where event.event_id = d.event_id and event.recorded_at = d.recorded_at offset 0) e
            cross join lateral (select stream.*, stream.xmin::text as version from stream where stream.id = d.stream_id offset 0) s"#,
        room.busy as _,
        room.in_flight,
        room.window,
        room.limit,
        lease as _,
        now as _,
        lease_ends as _,
        room.free,
        impatient_since as _,
        room.busy_hosts,
        room.in_flight_to_hosts,
        room.per_host,
        room.bulk_free,
        room.bulk_limit,
        room.per_host_of_bulk,
    )
    .fetch_all(conn)
    .await
}
