//! Scenario `isolation`: 100 push streams, of which 30 fall sick. The other 70 must not notice.

use std::time::{Duration, Instant};

use serde_json::json;
use ssf_common::clock::Timestamp;
use ssf_harness::road::Plan;

use crate::crowd::{Crowd, Health};
use crate::field::{Field, now};
use crate::figures::{Figure, note, percentile};

/// Well and sick in turns, four times; the latency of the healthy streams, sick ÷ well.
pub(crate) async fn measure(seconds: Option<u64>) -> anyhow::Result<Vec<Figure>> {
    let phase = Duration::from_secs(seconds.unwrap_or(64).max(8) / 8);
    let field = Field::open(&Plan { algorithm: "ES256", receivers: Vec::new(), ..Plan::default() }).await?;
    let crowd = Crowd::start().await?;
    let mut healthy = Vec::new();
    for number in 0..STREAMS {
        let health = match number {
            0..10 => Health::Hangs,
            10..20 => Health::Busy,
            20..25 => Health::Resets,
            25..30 => Health::Trickles,
            _ => Health::Good,
        };
        let (stream, _) = field.stream(Some(&crowd.endpoint(health, number))).await?;
        if health == Health::Good {
            healthy.push(stream);
        }
    }
    decide_for(&field, Duration::from_secs(2)).await?;
    let (mut well, mut sick) = (Vec::new(), Vec::new());
    for round in 0..4 {
        note(&format!("round {} of 4: everybody is well, then 30 of {STREAMS} are sick", round + 1));
        for is_sick in [false, true] {
            crowd.set_sick(is_sick);
            // the first attempts that fail belong to neither
            decide_for(&field, phase / 4).await?;
            let since = now();
            let expected = decide_for(&field, phase).await? as usize * healthy.len();
            let samples = all_acknowledged(&field, since, &healthy, expected).await?;
            if is_sick { sick.extend(samples) } else { well.extend(samples) }
        }
        // what piled up drains before the next round
        crowd.set_sick(false);
        drained(&field).await?;
    }
    let [well_p50, well_p99] = [percentile(&mut well, 0.5), percentile(&mut well, 0.99)];
    let [sick_p50, sick_p99] = [percentile(&mut sick, 0.5), percentile(&mut sick, 0.99)];
    field.close().await?;
    let p99 = Figure::new("isolation", "p99 of the healthy 70, 30 others sick", sick_p99, "ms").beside(well_p99);
    let is_met = p99.ratio.is_some_and(|ratio| ratio <= 1.2);
    Ok(vec![
        Figure::new("isolation", "p50 of the healthy 70, 30 others sick", sick_p50, "ms").beside(well_p50),
        p99.aiming("≤ 1.2 × all well", is_met),
    ])
}

/// Every sample of a phase: a stream that is held up must not fall out of the figure because it is.
async fn all_acknowledged(
    field: &Field,
    since: Timestamp,
    streams: &[String],
    expected: usize,
) -> anyhow::Result<Vec<f64>> {
    let began = Instant::now();
    loop {
        let samples = field.acknowledged_since(since, streams).await?;
        if samples.len() >= expected {
            return Ok(samples);
        }
        let got = samples.len();
        anyhow::ensure!(began.elapsed() < Duration::from_mins(1), "only {got} of {expected} came to healthy streams");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Ten decisions a second, one after the other; how many that were.
async fn decide_for(field: &Field, time: Duration) -> anyhow::Result<u32> {
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < time {
        let subject = json!({"format": "opaque", "id": format!("{}-{number}", now().unix_micros())});
        field.road.emit(&json!({"type": "session-revoked", "subject": subject})).await?;
        number += 1;
        tokio::time::sleep((EVERY * number).saturating_sub(began.elapsed())).await;
    }
    Ok(number)
}

async fn drained(field: &Field) -> anyhow::Result<()> {
    let began = Instant::now();
    while field.waiting().await? > 0 {
        anyhow::ensure!(began.elapsed() < Duration::from_mins(2), "what piled up does not drain");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

const STREAMS: usize = 100;
const EVERY: Duration = Duration::from_millis(100);
