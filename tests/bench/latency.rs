//! Scenario `latency`: single revokes on an idle road, each followed by one sample of the floor.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use ssf_common::clock::{Clock as _, SystemClock};
use ssf_harness::road::{Plan, Road};

use crate::figures::{Figure, note, percentile};
use crate::floor::Floor;

/// 300 revokes, or as many as the time allows.
pub(crate) async fn measure(seconds: Option<u64>) -> anyhow::Result<Vec<Figure>> {
    let road = Road::open(&Plan::default(), note).await?;
    road.joined().await?;
    let mut floor =
        Floor::new(&road.scratch_database("floor_t").await?, &road.scratch_database("floor_r").await?).await?;
    for number in 0..WARM_UP {
        revoke(&road, number).await?;
    }
    // what is still being written of the warm-up is not counted
    tokio::time::sleep(Duration::from_millis(200)).await;
    let since = SystemClock.now().to_string();
    let began = Instant::now();
    let mut revokes = 0;
    while revokes < REVOKES && seconds.is_none_or(|limit| began.elapsed().as_secs() < limit) {
        revoke(&road, WARM_UP + revokes).await?;
        floor.measure().await?;
        revokes += 1;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let bound = [percentile(floor.samples(), 0.5), percentile(floor.samples(), 0.99)];
    let mut figures =
        vec![Figure::new("latency", "floor p50", bound[0], "ms"), Figure::new("latency", "floor p99", bound[1], "ms")];
    let transmitter = road.transmitter_latency(&since).await?;
    for rp in &road.receivers {
        let applied = applied(&rp.latency(&road.http, &since).await?, revokes)?;
        let acknowledged = acknowledged(&transmitter, rp.method)?;
        let of = |to: &str, share: &str| format!("{} decision→{to} {share}", rp.method);
        let p50 = Figure::new("latency", of("applied", "p50"), applied[0], "ms").beside(bound[0]);
        let is_near = p50.ratio.is_some_and(|ratio| ratio <= 3.0);
        figures.push(p50.aiming("≤ 3 × floor", is_near));
        let p99 = Figure::new("latency", of("applied", "p99"), applied[1], "ms").beside(bound[1]);
        figures.push(p99.aiming("≤ 10 ms", applied[1] <= 10.0));
        figures.push(Figure::new("latency", of("acknowledged", "p50"), acknowledged[0], "ms").beside(bound[0]));
        figures.push(Figure::new("latency", of("acknowledged", "p99"), acknowledged[1], "ms").beside(bound[1]));
    }
    let mut road = road;
    road.stop().await?;
    Ok(figures)
}

/// One decision, followed until both RPs have acknowledged it.
async fn revoke(road: &Road, number: usize) -> anyhow::Result<()> {
    let subject = json!({"format": "iss_sub", "iss": road.issuer, "sub": format!("user-{number}")});
    let events = road.emit(&json!({"type": "session-revoked", "subject": subject})).await?;
    let event = events.first().context("no event id")?;
    let patience = Instant::now();
    loop {
        // long enough not to disturb what is measured
        tokio::time::sleep(Duration::from_millis(15)).await;
        if road.progress(event).await?["delivered"].as_u64() == Some(road.receivers.len() as u64) {
            return Ok(());
        }
        ensure!(patience.elapsed() < Duration::from_secs(30), "event {event} was not acknowledged");
    }
}

fn applied(report: &Value, revokes: usize) -> anyhow::Result<[f64; 2]> {
    let rows = report["rows"].as_array().context("a report without rows")?;
    let row = rows.iter().find(|row| row["event_type"].is_null()).context("nothing was received")?;
    let leg = &row["legs"]["decided_to_applied"];
    ensure!(leg["count"].as_u64() == Some(revokes as u64), "{revokes} revokes, but {} were applied", leg["count"]);
    Ok([leg["p50_ms"].as_f64().unwrap_or(f64::NAN), leg["p99_ms"].as_f64().unwrap_or(f64::NAN)])
}

fn acknowledged(report: &Value, method: &str) -> anyhow::Result<[f64; 2]> {
    let rows = report["rows"].as_array().context("a report without rows")?;
    let row = rows.iter().find(|row| row["delivery_method"] == method && row.get("event_type").is_none());
    let legs = row.and_then(|row| row["legs"].as_array()).context("nothing was acknowledged")?;
    let leg = legs.iter().find(|leg| leg["to"] == "acknowledged").context("no leg to the acknowledgement")?;
    Ok([leg["p50"].as_f64().unwrap_or(f64::NAN), leg["p99"].as_f64().unwrap_or(f64::NAN)])
}

const WARM_UP: usize = 30;
const REVOKES: usize = 300;
