//! SQL of the latency report.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::{Enforcement, LatencyRow, Leg};
use crate::issuer::IssuerId;

/// Figures of acknowledged deliveries settled since `since`, per stream and per stream and type.
pub(crate) async fn latency(
    conn: &mut PgConnection,
    issuer: IssuerId,
    since: Timestamp,
) -> sqlx::Result<Vec<LatencyRow>> {
    let rows = sqlx::query!(
        r#"with settled as (
               select stream_id, delivery_method, event_type,
                      extract(epoch from recorded_at - occurred_at)::float8 * 1000 as recorded,
                      extract(epoch from fanned_out_at - occurred_at)::float8 * 1000 as fanned_out,
                      extract(epoch from first_taken_at - occurred_at)::float8 * 1000 as taken,
                      extract(epoch from sent_at - occurred_at)::float8 * 1000 as sent,
                      extract(epoch from settled_at - occurred_at)::float8 * 1000 as acknowledged,
                      extract(epoch from greatest(rp_applied_at, rp_visible_at, rp_last_allowed_at) - occurred_at)::float8 * 1000 as enforced,
                      rp_outcome
                 from delivery_history
                where issuer_id = $1 and settled_at >= $2 and outcome = 'acknowledged'
                  -- what a stream says about itself was decided by nobody
                  and event_type not like 'https://schemas.openid.net/secevent/ssf/%'
           )
           select stream_id::text as "stream_id!", delivery_method as "delivery_method!", event_type as "event_type?", count(*) as "count!",
                  percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by recorded) as recorded,
                  percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by fanned_out) as fanned_out,
                  percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by taken) as taken,
                  percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by sent) as sent,
                  percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by acknowledged) as acknowledged,
                  percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by enforced) as enforced,
                  count(enforced) as "told!", count(*) filter (where rp_outcome = 'breached') as "breached!"
             from settled
            group by grouping sets ((stream_id, delivery_method), (stream_id, delivery_method, event_type))
            order by stream_id, event_type nulls first"#,
        issuer as _,
        since as _,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let legs = [
            ("recorded", row.recorded),
            ("fanned_out", row.fanned_out),
            ("taken", row.taken),
            ("sent", row.sent),
            ("acknowledged", row.acknowledged),
        ];
        let enforcement = row.enforced.as_deref().and_then(|figures| {
            let Leg { p50, p90, p99, max, .. } = leg("enforced", figures)?;
            Some(Enforcement { clocks: RECEIVERS, count: row.told, breached: row.breached, p50, p90, p99, max })
        });
        LatencyRow {
            enforcement,
            stream_id: row.stream_id,
            delivery_method: row.delivery_method,
            event_type: row.event_type,
            count: row.count,
            legs: legs.into_iter().filter_map(|(to, figures)| leg(to, figures.as_deref()?)).collect(),
        }
    });
    Ok(rows.collect())
}

fn leg(to: &'static str, figures: &[f64]) -> Option<Leg> {
    let [p50, p90, p99, max] = *figures else { return None };
    Some(Leg { to, p50, p90, p99, max })
}

/// As `clocks` of the report says `transmitter`.
const RECEIVERS: &str = "receiver_minus_transmitter";
