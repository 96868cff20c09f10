//! Reads `received_set` and `applied_batch` for reports.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::report::{BETWEEN, ISSUER, Leg, Legs, RECEIVER, Row};
use super::{ClockOffset, RoundTrip};

/// One row per upstream, method and event type, and one over all types (first, with no type).
pub(super) async fn rows(
    db: &mut PgConnection,
    since: Timestamp,
    upstream: Option<&str>,
) -> Result<Vec<Row>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with received as (
               select r.upstream_id, r.method, r.event_type, r.effect in ('verified', 'stream_status') as is_control,
                      extract(epoch from r.recorded_at - r.occurred_at)::float8 * 1000 as decided_to_recorded,
                      extract(epoch from r.fanned_out_at - r.occurred_at)::float8 * 1000 as decided_to_fanned_out,
                      extract(epoch from r.taken_at - r.occurred_at)::float8 * 1000 as decided_to_taken,
                      extract(epoch from r.received_at - r.occurred_at)::float8 * 1000 as decided_to_received,
                      extract(epoch from a.applied_at - r.occurred_at)::float8 * 1000 as decided_to_applied,
                      extract(epoch from a.applied_at - r.received_at)::float8 * 1000 as received_to_applied
               from upstream u
               -- `offset 0` keeps the two look-ups as they stand, by index and from $1 on: a plan for an unknown $1
               -- expects a third of all history and would read the whole of both tables
               cross join lateral (
                   select * from received_set where upstream_id = u.id and received_at >= $1 offset 0
               ) r
               left join lateral (select applied_at from applied_batch where id = r.batch_id offset 0) a on true
               where $2::text is null or u.name = $2
           ), figures as (
               select upstream_id, method, event_type, count(*) as received,
                      count(decided_to_recorded) as recorded_count,
                      count(decided_to_fanned_out) as fanned_out_count,
                      count(decided_to_taken) as taken_count,
                      count(decided_to_received) as received_count,
                      count(decided_to_applied) as applied_count,
                      count(received_to_applied) as here_count,
                      percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by decided_to_recorded) as recorded,
                      percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by decided_to_fanned_out) as fanned_out,
                      percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by decided_to_taken) as taken,
                      percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by decided_to_received) as arrived,
                      percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by decided_to_applied) as applied,
                      percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by received_to_applied) as here
               from received
               group by grouping sets ((upstream_id, method, is_control), (upstream_id, method, is_control, event_type))
               -- what the stream says about itself was decided by nobody: it stands under its type only
               having not (is_control and grouping(event_type) = 1)
           )
           select u.name, f.method as "method!", f.event_type as "event_type?", f.received as "received!",
                  u.verified_asked_at, u.verified_occurred_at, u.verified_taken_at, u.verified_answered_at,
                  f.recorded_count as "recorded_count!", f.fanned_out_count as "fanned_out_count!",
                  f.taken_count as "taken_count!", f.received_count as "received_count!",
                  f.applied_count as "applied_count!", f.here_count as "here_count!",
                  f.recorded, f.fanned_out, f.taken, f.arrived, f.applied, f.here
           from figures f
           join upstream u on u.id = f.upstream_id
           order by u.name, f.method, f.event_type nulls first"#,
        since as Timestamp,
        upstream,
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let times = (row.verified_asked_at, row.verified_occurred_at, row.verified_taken_at, row.verified_answered_at);
        let trip = match times {
            (Some(asked), Some(occurred), Some(taken), Some(answered)) => {
                Some(RoundTrip { asked, occurred, taken, answered })
            }
            _ => None,
        };
        Row {
            upstream: row.name,
            method: row.method,
            event_type: row.event_type,
            received: row.received,
            clock_offset_ms: trip.and_then(|trip| ClockOffset::during(&trip)),
            legs: Legs {
                decided_to_recorded: leg(ISSUER, row.recorded_count, row.recorded.as_deref()),
                decided_to_fanned_out: leg(ISSUER, row.fanned_out_count, row.fanned_out.as_deref()),
                decided_to_taken: leg(ISSUER, row.taken_count, row.taken.as_deref()),
                decided_to_received: leg(BETWEEN, row.received_count, row.arrived.as_deref()),
                decided_to_applied: leg(BETWEEN, row.applied_count, row.applied.as_deref()),
                received_to_applied: leg(RECEIVER, row.here_count, row.here.as_deref()),
            },
        }
    });
    Ok(rows.collect())
}

/// Of a leg that no SET tells of, PostgreSQL gives no percentiles.
fn leg(clocks: &'static str, count: i64, percentiles: Option<&[f64]>) -> Leg {
    match percentiles {
        Some([p50, p90, p99, max]) => {
            let [p50_ms, p90_ms, p99_ms, max_ms] = [p50, p90, p99, max].map(|ms| Some(*ms));
            Leg { clocks, count, p50_ms, p90_ms, p99_ms, max_ms }
        }
        _ => Leg { clocks, count, ..Leg::default() },
    }
}
