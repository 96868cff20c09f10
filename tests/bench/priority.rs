//! Scenario `priority`: an urgent decision while a bulk job waits and drains, beside the same with an empty queue.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use ssf_harness::road::Plan;

use crate::field::{Field, now};
use crate::figures::{Figure, note, percentile};

/// 200 urgent decisions with an empty queue, then 200 with a bulk job waiting and draining; of `bulk` decisions.
pub(crate) async fn measure(seconds: Option<u64>, bulk: i64) -> anyhow::Result<Vec<Figure>> {
    let time = Duration::from_secs(seconds.unwrap_or(60));
    let plan = Plan { receivers: vec!["push"], ..Plan::default() };
    let field = Field::open(&plan).await?;
    field.road.joined().await?;
    urgent(&field, 30, time).await?;
    let mut idle = urgent(&field, URGENT, time).await?;
    note(&format!("{bulk} bulk decisions go into the outbox"));
    field.bulk(bulk, 0).await?;
    // the queue is as full as it gets when all of it was fanned out
    let began = Instant::now();
    while field.recorded().await? > 0 && began.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let waiting = field.waiting().await? + field.recorded().await?;
    note(&format!("{waiting} wait; urgent decisions among them"));
    let mut loaded = urgent(&field, URGENT, time).await?;
    let left = field.waiting().await? + field.recorded().await?;
    ensure!(left > 0, "the bulk job was over before the urgent decisions were");
    let (idle_p50, idle_p99) = (percentile(&mut idle, 0.5), percentile(&mut idle, 0.99));
    let (loaded_p50, loaded_p99) = (percentile(&mut loaded, 0.5), percentile(&mut loaded, 0.99));
    field.close().await?;
    let p99 =
        Figure::new("priority", "urgent decision→acknowledged p99, bulk draining", loaded_p99, "ms").beside(idle_p99);
    let is_met = p99.ratio.is_some_and(|ratio| ratio <= 1.5);
    Ok(vec![
        Figure::new("priority", "urgent decision→acknowledged p50, bulk draining", loaded_p50, "ms").beside(idle_p50),
        p99.aiming("≤ 1.5 × empty queue", is_met),
    ])
}

/// So many urgent decisions, each after the one before was acknowledged; milliseconds from the decision to the
/// acknowledgement, which follows the effect, on the transmitter's clock.
async fn urgent(field: &Field, count: usize, time: Duration) -> anyhow::Result<Vec<f64>> {
    let (since, began) = (now(), Instant::now());
    let mut samples = Vec::new();
    while samples.len() < count && began.elapsed() < time {
        let id = format!("urgent-{}-{}", since.unix_micros(), samples.len());
        let event = json!({"type": "account-disabled", "subject": {"format": "opaque", "id": id}});
        let events = field.road.emit(&event).await?;
        samples.push(acknowledged(field, events.first().context("no event id")?).await?);
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    Ok(samples)
}

/// Milliseconds from the decision to the acknowledgement.
async fn acknowledged(field: &Field, event: &str) -> anyhow::Result<f64> {
    let patience = Instant::now();
    loop {
        let progress = field.road.progress(event).await?;
        if progress["delivered"].as_u64() == Some(1) {
            return progress["slowest"]["ms"].as_f64().context("a progress without a time");
        }
        ensure!(patience.elapsed() < Duration::from_secs(30), "event {event} was not acknowledged: {progress}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const URGENT: usize = 200;
