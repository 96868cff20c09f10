//! Reads `received_set` and `applied_batch` for reports.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::report::{Leg, Legs, Row};

/// One row per upstream, method and event type, and one over all types (first, with no type).
pub(super) async fn rows(
    db: &mut PgConnection,
    since: Timestamp,
    upstream: Option<&str>,
) -> Result<Vec<Row>, sqlx::Error> {
    let legs = sqlx::query!(
        r#"select u.name, r.method, kind.event_type as "event_type?", leg.name as "leg!",
                  max(u.verification_round_trip_micros) as bound, count(*) as "received!", count(leg.ms) as "count!",
                  percentile_disc(0.5) within group (order by leg.ms) as p50,
                  percentile_disc(0.9) within group (order by leg.ms) as p90,
                  percentile_disc(0.99) within group (order by leg.ms) as p99,
                  max(leg.ms) as max
           from received_set r
           join upstream u on u.id = r.upstream_id
           left join applied_batch a on a.id = r.batch_id
           -- once under its type, once among all types; what the stream says about itself was decided by nobody
           cross join lateral (
               select r.event_type
               union all
               select null where r.effect not in ('verified', 'stream_status')
           ) as kind (event_type)
           cross join lateral (values
               ('decided_to_recorded', extract(epoch from r.recorded_at - r.occurred_at)::float8 * 1000),
               ('decided_to_fanned_out', extract(epoch from r.fanned_out_at - r.occurred_at)::float8 * 1000),
               ('decided_to_taken', extract(epoch from r.taken_at - r.occurred_at)::float8 * 1000),
               ('decided_to_received', extract(epoch from r.received_at - r.occurred_at)::float8 * 1000),
               ('decided_to_applied', extract(epoch from a.applied_at - r.occurred_at)::float8 * 1000),
               ('received_to_applied', extract(epoch from a.applied_at - r.received_at)::float8 * 1000)
           ) as leg (name, ms)
           where r.received_at >= $1 and ($2::text is null or u.name = $2)
           group by u.name, r.method, kind.event_type, leg.name
           order by u.name, r.method, kind.event_type nulls first"#,
        since as Timestamp,
        upstream,
    )
    .fetch_all(db)
    .await?;
    let mut rows: Vec<Row> = Vec::new();
    for leg in legs {
        let same = |row: &Row| row.upstream == leg.name && row.method == leg.method && row.event_type == leg.event_type;
        if !rows.last().is_some_and(same) {
            rows.push(Row {
                upstream: leg.name,
                method: leg.method,
                event_type: leg.event_type,
                received: leg.received,
                #[expect(clippy::cast_precision_loss, reason = "a round trip is far below 2^52 microseconds")]
                clock_bound_ms: leg.bound.map(|micros| micros as f64 / 1_000.0),
                legs: Legs::default(),
            });
        }
        let row = rows.last_mut().expect("one was pushed if there was none");
        if let Some((place, clocks)) = row.legs.by_name(&leg.leg) {
            let (p50_ms, p90_ms, p99_ms, max_ms) = (leg.p50, leg.p90, leg.p99, leg.max);
            *place = Leg { clocks, count: leg.count, p50_ms, p90_ms, p99_ms, max_ms };
        }
    }
    Ok(rows)
}
