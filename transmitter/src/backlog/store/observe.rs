//! SQL of looking at what waits.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::issuer::IssuerId;
use crate::stream::StreamKey;

/// One lane of a stream.
pub(crate) struct LaneRow {
    pub(crate) stream: StreamKey,
    pub(crate) issuer: IssuerId,
    pub(crate) issuer_url: String,
    pub(crate) client_id: String,
    pub(crate) status: String,
    pub(crate) delivery_method: String,
    pub(crate) level: Option<String>,
    pub(crate) failures: i32,
    pub(crate) retry_at: Option<Timestamp>,
    pub(crate) settled: i64,
    pub(crate) settled_since_busy: i64,
    pub(crate) busy_since: Option<Timestamp>,
    pub(crate) waiting: i64,
    pub(crate) acknowledged: i64,
    pub(crate) refused: i64,
    pub(crate) expired: i64,
    pub(crate) discarded: i64,
    pub(crate) breached: i64,
    pub(crate) oldest: Option<Timestamp>,
    pub(crate) newest: Option<Timestamp>,
}

/// Streams by id behind `after`, of one issuer or of all, three rows each in order of lane: sums and what is not yet
/// added up, how much was settled since `since`, and the ends of each lane from the index of ages. Nothing is counted.
pub(crate) async fn lanes(
    conn: &mut PgConnection,
    issuer: Option<IssuerId>,
    after: StreamKey,
    limit: i64,
    since: Timestamp,
) -> sqlx::Result<Vec<LaneRow>> {
    sqlx::query_as!(
        LaneRow,
        r#"select s.id as "stream: StreamKey", s.issuer_id as "issuer: IssuerId", i.url as issuer_url, c.client_id, s.status, s.delivery_method,
                  s.level, coalesce(h.failures, 0) as "failures!", h.retry_at as "retry_at?", r.settled as "settled!",
                  r.settled_since_busy as "settled_since_busy!", w.busy_since as "busy_since?",
                  coalesce(b.waiting, 0) + t.waiting as "waiting!", coalesce(b.acknowledged, 0) + t.acknowledged as "acknowledged!",
                  coalesce(b.refused, 0) + t.refused as "refused!", coalesce(b.expired, 0) + t.expired as "expired!",
                  coalesce(b.discarded, 0) + t.discarded as "discarded!", coalesce(b.breached, 0) + t.breached as "breached!",
                  e.oldest as "oldest?", e.newest as "newest?"
             from (select * from stream where ($1::uuid is null or issuer_id = $1) and id > $2 order by id limit $3) s
            cross join lateral (select url from issuer where issuer.id = s.issuer_id offset 0) i
            cross join lateral (select client_id from client where client.id = s.client_id offset 0) c
             left join lateral (select * from stream_health where stream_id = s.id offset 0) h on true
             left join lateral (select * from stream_watch where stream_id = s.id offset 0) w on true
            cross join lateral (
                select coalesce(sum(d.settled), 0)::bigint as settled,
                       coalesce(sum(d.settled) filter (where d.slot >= w.busy_since - interval '5 seconds'), 0)::bigint as settled_since_busy
                  -- `is true` hides the time from the planner: the index of ages would be read whole for every stream
                  from stream_drain d where d.stream_id = s.id and (d.slot > $4) is true offset 0) r
            cross join (values (0::smallint), (1::smallint), (2::smallint)) lanes (lane)
             left join lateral (select * from stream_backlog o where o.stream_id = s.id and o.lane = lanes.lane offset 0) b on true
            cross join lateral (
                select coalesce(sum(waiting), 0)::bigint as waiting, coalesce(sum(acknowledged), 0)::bigint as acknowledged,
                       coalesce(sum(refused), 0)::bigint as refused, coalesce(sum(expired), 0)::bigint as expired,
                       coalesce(sum(discarded), 0)::bigint as discarded, coalesce(sum(breached), 0)::bigint as breached
                  from tally o where o.stream_id = s.id and o.lane = lanes.lane and o.replayed = 0 offset 0) t
            cross join lateral (
                -- those seen to be late and the others, each from its end of the index
                select least((select d.occurred_at from delivery d
                               where d.stream_id = s.id and d.lane = lanes.lane and d.overdue and d.event_type not like 'https://schemas.openid.net/secevent/ssf/%'
                               order by d.occurred_at limit 1),
                             (select d.occurred_at from delivery d
                               where d.stream_id = s.id and d.lane = lanes.lane and not d.overdue and d.event_type not like 'https://schemas.openid.net/secevent/ssf/%'
                               order by d.occurred_at limit 1)) as oldest,
                       greatest((select d.occurred_at from delivery d
                                  where d.stream_id = s.id and d.lane = lanes.lane and d.overdue and d.event_type not like 'https://schemas.openid.net/secevent/ssf/%'
                                  order by d.occurred_at desc limit 1),
                                (select d.occurred_at from delivery d
                                  where d.stream_id = s.id and d.lane = lanes.lane and not d.overdue and d.event_type not like 'https://schemas.openid.net/secevent/ssf/%'
                                  order by d.occurred_at desc limit 1)) as newest offset 0) e
            order by s.id, lanes.lane"#,
        issuer as _,
        after as _,
        limit,
        since as _,
    )
    .fetch_all(conn)
    .await
}

/// What became of all deliveries of a lane.
pub(crate) struct OutcomesRow {
    pub(crate) lane: i16,
    pub(crate) acknowledged: i64,
    pub(crate) refused: i64,
    pub(crate) expired: i64,
    pub(crate) discarded: i64,
    pub(crate) breached: i64,
}

/// What became of all deliveries of the service, those of streams that are gone too, as far as it was added up.
pub(crate) async fn outcomes(conn: &mut PgConnection) -> sqlx::Result<Vec<OutcomesRow>> {
    sqlx::query_as!(
        OutcomesRow,
        r#"select lane, sum(acknowledged)::bigint as "acknowledged!", sum(refused)::bigint as "refused!", sum(expired)::bigint as "expired!",
                  sum(discarded)::bigint as "discarded!", sum(breached)::bigint as "breached!"
             from stream_backlog group by lane order by lane"#
    )
    .fetch_all(conn)
    .await
}

/// How much of a lane's head is being sent.
pub(crate) struct InFlightRow {
    pub(crate) stream: StreamKey,
    pub(crate) in_flight: i64,
}

/// How many of each stream's deliveries are leased, among the first `looked_at` of each lane: they are taken from there.
pub(crate) async fn in_flight(
    conn: &mut PgConnection,
    streams: &[StreamKey],
    looked_at: i64,
    now: Timestamp,
) -> sqlx::Result<Vec<InFlightRow>> {
    sqlx::query_as!(
        InFlightRow,
        r#"select s.id as "stream!: StreamKey", sum(f.leased)::bigint as "in_flight!"
             from unnest($1::uuid[]) as s (id)
            cross join (values (0::smallint), (1::smallint), (2::smallint)) lanes (lane)
            cross join lateral (
                select count(*) filter (where head.state = 'leased' and head.due_at > $3) as leased
                  from (select d.state, d.due_at from delivery d where d.stream_id = s.id and d.lane = lanes.lane order by d.seq limit $2) head) f
            group by s.id"#,
        streams as _,
        looked_at,
        now as _,
    )
    .fetch_all(conn)
    .await
}

/// What of one issuer waits in one lane of the outbox.
pub(crate) struct OutboxRow {
    pub(crate) issuer: IssuerId,
    pub(crate) lane: i16,
    pub(crate) waiting: i64,
    pub(crate) oldest: Timestamp,
    pub(crate) recorded_at: Timestamp,
}

/// The outbox per issuer and lane, looked at no further than `looked_at` in each lane: the fan-out takes 500 at a time, so
/// more than that is rare, and far more is told by its age.
pub(crate) async fn outbox(conn: &mut PgConnection, looked_at: i64) -> sqlx::Result<Vec<OutboxRow>> {
    sqlx::query_as!(
        OutboxRow,
        r#"select o.issuer_id as "issuer!: IssuerId", lanes.lane as "lane!", count(*) as "waiting!", min(o.occurred_at) as "oldest!: Timestamp",
                  min(o.recorded_at) as "recorded_at!: Timestamp"
             from (values (0::smallint), (1::smallint), (2::smallint)) lanes (lane)
            cross join lateral (
                select issuer_id, occurred_at, recorded_at from outbox o where o.lane = lanes.lane and o.stream_id is null order by o.seq limit $1) o
            group by 1, 2 order by 1, 2"#,
        looked_at,
    )
    .fetch_all(conn)
    .await
}

/// Since when something waits on each stream: notes what began and forgets what ended.
pub(crate) async fn note_busy(
    conn: &mut PgConnection,
    began: &[StreamKey],
    ended: &[StreamKey],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into stream_watch (stream_id, busy_since) select id, $2 from unnest($1::uuid[]) as s (id) order by id on conflict do nothing",
        began as _,
        now as _,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("delete from stream_watch where stream_id = any ($1)", ended as _).execute(conn).await?;
    Ok(())
}
