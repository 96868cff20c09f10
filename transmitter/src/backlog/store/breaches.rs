//! SQL of missed windows.

use std::time::Duration;

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::delivery::DeliveryId;
use crate::issuer::IssuerId;
use crate::outbox::{EventId, Lane};
use crate::stream::StreamKey;

/// Writes down what waits past its window on these streams in these lanes, each once, at most `limit` a lane and
/// `altogether`: those decided before `now` minus the window. Returns how many there were. What is being settled just now is left to its settlement.
pub(crate) async fn find_overdue(
    conn: &mut PgConnection,
    streams: &[(StreamKey, Duration)],
    lanes: &[Lane],
    limit: i64,
    altogether: i64,
    now: Timestamp,
) -> sqlx::Result<u64> {
    let lanes: Vec<i16> = lanes.iter().map(|lane| lane.number()).collect();
    let ids: Vec<StreamKey> = streams.iter().map(|(stream, _)| *stream).collect();
    let windows: Vec<i64> =
        streams.iter().map(|(_, window)| i64::try_from(window.as_millis()).unwrap_or(i64::MAX)).collect();
    let done = sqlx::query!(
        "with late as materialized (
             select d.id, w.window_ms
               from unnest($1::uuid[], $2::bigint[]) as w (stream_id, window_ms)
              cross join unnest($5::smallint[]) as lanes (lane)
              cross join lateral (
                   select d.id from delivery d
                    where d.stream_id = w.stream_id and d.lane = lanes.lane and not d.overdue
                      and d.event_type not like 'https://schemas.openid.net/secevent/ssf/%'
                      and d.occurred_at < $3::timestamptz - w.window_ms * interval '1 millisecond'
                    order by d.occurred_at limit $4 for update skip locked) d
              limit $6
         ), marked as (
             update delivery d set overdue = true where d.id = any (array(select id from late)) returning d.*
         )
         insert into breach (jti, issuer_id, stream_id, event_id, event_type, lane, window_ms, held, occurred_at, recorded_at, fanned_out_at,
                first_taken_at, sent_at, found_at)
         select m.id, m.issuer_id, m.stream_id, m.event_id, m.event_type, m.lane, (select l.window_ms from late l where l.id = m.id),
                (select s.status = 'paused' from stream s where s.id = m.stream_id), m.occurred_at, m.recorded_at, m.fanned_out_at,
                m.first_taken_at, m.sent_at, $3
           from marked m
         on conflict (jti) do nothing",
        ids as _,
        &windows,
        now as _,
        limit,
        &lanes,
        altogether,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A missed window.
pub(crate) struct Row {
    pub(crate) jti: DeliveryId,
    pub(crate) stream: StreamKey,
    pub(crate) event_id: EventId,
    pub(crate) event_type: String,
    pub(crate) lane: i16,
    pub(crate) window_ms: i64,
    pub(crate) held: bool,
    pub(crate) occurred_at: Timestamp,
    pub(crate) recorded_at: Timestamp,
    pub(crate) fanned_out_at: Timestamp,
    pub(crate) first_taken_at: Option<Timestamp>,
    pub(crate) sent_at: Option<Timestamp>,
    pub(crate) settled_at: Option<Timestamp>,
    pub(crate) outcome: Option<String>,
    pub(crate) found_at: Timestamp,
}

/// An issuer's, newest first, before the place `before`; of one stream if it is named.
pub(crate) async fn page(
    conn: &mut PgConnection,
    issuer: IssuerId,
    stream: Option<StreamKey>,
    before: (Timestamp, DeliveryId),
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    match stream {
        None => {
            sqlx::query_as!(
                Row,
                r#"select jti as "jti: DeliveryId", stream_id as "stream: StreamKey", event_id as "event_id: EventId", event_type, lane, window_ms,
                          held, occurred_at, recorded_at, fanned_out_at, first_taken_at, sent_at, settled_at, outcome, found_at
                     from breach where issuer_id = $1 and (found_at, jti) < ($2, $3) order by found_at desc, jti desc limit $4"#,
                issuer as _,
                before.0 as _,
                before.1 as _,
                limit,
            )
            .fetch_all(conn)
            .await
        }
        Some(stream) => {
            sqlx::query_as!(
                Row,
                r#"select jti as "jti: DeliveryId", stream_id as "stream: StreamKey", event_id as "event_id: EventId", event_type, lane, window_ms,
                          held, occurred_at, recorded_at, fanned_out_at, first_taken_at, sent_at, settled_at, outcome, found_at
                     from breach where stream_id = $5 and (issuer_id = $1) is true and (found_at, jti) < ($2, $3)
                    order by found_at desc, jti desc limit $4"#,
                issuer as _,
                before.0 as _,
                before.1 as _,
                limit,
                stream as _,
            )
            .fetch_all(conn)
            .await
        }
    }
}
