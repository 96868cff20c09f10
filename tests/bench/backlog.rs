//! Scenario `backlog`: what a long queue and a long history cost: deliveries per second, beside a short queue and none.

use std::time::{Duration, Instant};

use anyhow::ensure;
use ssf_harness::road::Plan;

use crate::crowd::{Crowd, Health};
use crate::field::Field;
use crate::figures::{Figure, note};

/// How much waits, and how much was settled before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) waiting: i64,
    pub(crate) history: i64,
}

/// Deliveries per second to one receiver that answers at once: with little waiting, with much, with much history.
pub(crate) async fn measure(seconds: Option<u64>, size: Size) -> anyhow::Result<Vec<Figure>> {
    let time = Duration::from_secs(seconds.unwrap_or(45).max(9) / 9);
    let field = Field::open(&Plan { algorithm: "ES256", receivers: Vec::new(), ..Plan::default() }).await?;
    let crowd = Crowd::start().await?;
    field.stream(Some(&crowd.endpoint(Health::Good, 0))).await?;
    let mut next = 0;
    short_queue(&field, &crowd, time, &mut next).await?;
    let before = short_queue(&field, &crowd, time, &mut next).await?;
    note(&format!("{} decisions wait", size.waiting));
    field.bulk(size.waiting, next).await?;
    next += size.waiting;
    field.fanned_out().await?;
    let long = topped_up(&field, &crowd, crowd.taken(), time * 2, &mut next).await?;
    ensure!(field.waiting().await? > size.waiting / 2, "the queue was not kept as long as it was to be");
    let forget = "with gone as (delete from delivery returning id) select count(*) from gone";
    sqlx::query(forget).execute(&field.pool).await?;
    // or what follows would be measured on what the long queue has left behind
    tidy(&field).await?;
    let after = short_queue(&field, &crowd, time, &mut next).await?;
    note(&format!("{} settled deliveries in the history", size.history));
    remember(&field, size.history).await?;
    tidy(&field).await?;
    let old = short_queue(&field, &crowd, time, &mut next).await?;
    field.close().await?;
    let short = f64::midpoint(before, after);
    let figures = [
        Figure::new("backlog", format!("deliveries with {} waiting", size.waiting), long, "1/s").beside(short),
        Figure::new("backlog", format!("deliveries with {} in the history", size.history), old, "1/s").beside(after),
    ];
    Ok(figures
        .into_iter()
        .map(|figure| {
            let is_met = figure.ratio.is_some_and(|ratio| ratio >= 0.9);
            figure.aiming("≥ 0.9", is_met)
        })
        .collect())
}

/// Deliveries per second while about a thousand wait.
async fn short_queue(field: &Field, crowd: &Crowd, time: Duration, next: &mut i64) -> anyhow::Result<f64> {
    let before = crowd.taken();
    field.bulk(1_000, *next).await?;
    *next += 1_000;
    topped_up(field, crowd, before, time, next).await
}

/// Deliveries per second while as many decisions are recorded and fanned out as are delivered since there were `before`,
/// so that the queue stays as long as it was then.
async fn topped_up(field: &Field, crowd: &Crowd, before: usize, time: Duration, next: &mut i64) -> anyhow::Result<f64> {
    let (began, taken, mut replaced) = (Instant::now(), crowd.taken(), before);
    while began.elapsed() < time {
        while crowd.taken() >= replaced + AT_ONCE as usize {
            field.bulk(AT_ONCE.into(), *next).await?;
            *next += i64::from(AT_ONCE);
            replaced += AT_ONCE as usize;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    Ok((crowd.taken() - taken) as f64 / began.elapsed().as_secs_f64())
}

/// What autovacuum would do within minutes.
async fn tidy(field: &Field) -> anyhow::Result<()> {
    for table in ["delivery", "outbox", "event", "delivery_history"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("vacuum (analyze) {table}"))).execute(&field.pool).await?;
    }
    Ok(())
}

const AT_ONCE: u32 = 500;

/// So many settled deliveries of today.
async fn remember(field: &Field, count: i64) -> anyhow::Result<()> {
    for first in (0..count).step_by(500_000) {
        sqlx::query(
            "insert into delivery_history (id, settled_at, seq, issuer_id, stream_id, event_id, event_type, delivery_method, lane, outcome,
                    attempts, occurred_at, recorded_at, fanned_out_at)
             select gen_random_uuid(), now(), n, s.issuer_id, s.id, gen_random_uuid(), 'urn:x', 'push', 2, 'acknowledged', 1, now(), now(), now()
               from stream s, generate_series($1::bigint, $2) n",
        )
        .bind(first)
        .bind((first + 500_000).min(count) - 1)
        .execute(&field.pool)
        .await?;
    }
    Ok(())
}
