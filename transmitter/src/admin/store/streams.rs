//! SQL of streams with their health, and of what waits on one.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::delivery::DeliveryId;
use crate::issuer::IssuerId;
use crate::outbox::EventId;
use crate::stream::StreamKey;

/// A stream and how delivery to it goes.
pub(crate) struct Row {
    pub(crate) key: StreamKey,
    pub(crate) client_id: String,
    pub(crate) client_removed: bool,
    pub(crate) audience: Vec<String>,
    pub(crate) status: String,
    pub(crate) status_reason: Option<String>,
    pub(crate) delivery_method: String,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) events_requested: Option<Vec<String>>,
    pub(crate) events_delivered: Vec<String>,
    pub(crate) description: Option<String>,
    pub(crate) algorithm: String,
    pub(crate) algorithm_wanted: Option<String>,
    pub(crate) default_subjects: String,
    pub(crate) subjects: i32,
    pub(crate) subjects_excluded: i32,
    pub(crate) min_verification_interval_s: i32,
    pub(crate) inactivity_timeout_s: Option<i32>,
    pub(crate) last_activity_at: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) failures: i32,
    pub(crate) retry_at: Option<Timestamp>,
    pub(crate) trouble: Option<String>,
    pub(crate) last_success_at: Option<Timestamp>,
    pub(crate) odd_success_at: Option<Timestamp>,
    pub(crate) last_failure_at: Option<Timestamp>,
    pub(crate) urgent: i64,
    pub(crate) prompt: i64,
    pub(crate) bulk: i64,
    pub(crate) oldest_decision: Option<Timestamp>,
    pub(crate) dead_letters: i64,
}

/// The streams of an issuer by id: from `from` on, without the stream `but`, at most `limit`.
pub(crate) async fn page(
    conn: &mut PgConnection,
    issuer: IssuerId,
    from: StreamKey,
    but: Option<StreamKey>,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select s.id as "key: StreamKey", c.client_id, c.removed_at is not null as "client_removed!", s.audience, s.status, s.status_reason,
                  s.delivery_method, s.endpoint_url, s.events_requested, s.events_delivered, s.description, s.algorithm,
                  s.algorithm_wanted, s.default_subjects, s.subjects, s.subjects_excluded,
                  s.min_verification_interval_s, s.inactivity_timeout_s, s.last_activity_at, s.created_at, s.updated_at,
                  coalesce(h.failures, 0) as "failures!", h.retry_at as "retry_at?", h.trouble as "trouble?",
                  h.last_success_at as "last_success_at?", h.odd_success_at as "odd_success_at?", h.last_failure_at as "last_failure_at?",
                  w.urgent as "urgent!", w.prompt as "prompt!", w.bulk as "bulk!", w.oldest_decision, l.dead_letters as "dead_letters!"
             from (select * from stream where issuer_id = $1 and id >= $2 and id is distinct from $3 order by id limit $4) s
             join client c on c.id = s.client_id
             left join stream_health h on h.stream_id = s.id
            cross join lateral (
                -- counted no further than anybody needs to know: what waits may be millions
                select (select count(*) from (select from delivery d where d.stream_id = s.id and d.lane = 0 limit $5) counted) as urgent,
                       (select count(*) from (select from delivery d where d.stream_id = s.id and d.lane = 1 limit $5) counted) as prompt,
                       (select count(*) from (select from delivery d where d.stream_id = s.id and d.lane = 2 limit $5) counted) as bulk,
                       (select min(first.occurred_at) from (values (0::smallint), (1), (2)) lanes (lane)
                         cross join lateral (select d.occurred_at from delivery d
                                              where d.stream_id = s.id and d.lane = lanes.lane order by d.seq limit 1) first) as oldest_decision) w
            cross join lateral (
                select count(*) as dead_letters from (select from dead_letter d where d.stream_id = s.id limit $5) counted) l
            order by s.id"#,
        issuer as _,
        from as _,
        but as _,
        limit,
        COUNTED,
    )
    .fetch_all(conn)
    .await
}

/// How far what waits in one lane, and what is dead, is counted.
const COUNTED: i64 = 10_000;

/// A delivery that waits.
pub(crate) struct WaitingRow {
    pub(crate) id: DeliveryId,
    pub(crate) seq: i64,
    pub(crate) event_id: EventId,
    pub(crate) event_type: String,
    pub(crate) lane: i16,
    pub(crate) state: String,
    pub(crate) attempts: i32,
    pub(crate) due_at: Timestamp,
    pub(crate) occurred_at: Timestamp,
    pub(crate) fanned_out_at: Timestamp,
    pub(crate) last_error: Option<String>,
    pub(crate) retained_since: Option<Timestamp>,
}

/// What waits on a stream in the order in which it is taken, behind the place `after` (lane and seq).
pub(crate) async fn waiting(
    conn: &mut PgConnection,
    stream: StreamKey,
    after: (i16, i64),
    limit: i64,
) -> sqlx::Result<Vec<WaitingRow>> {
    sqlx::query_as!(
        WaitingRow,
        r#"select id as "id: DeliveryId", seq, event_id as "event_id: EventId", event_type, lane, state, attempts, due_at, occurred_at,
                  fanned_out_at, last_error, retained_since
             from delivery where stream_id = $1 and (lane, seq) > ($2, $3) order by lane, seq limit $4"#,
        stream as _,
        after.0,
        after.1,
        limit,
    )
    .fetch_all(conn)
    .await
}
