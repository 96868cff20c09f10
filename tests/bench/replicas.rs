//! Scenario `replicas`: two transmitter processes on one database beside one: deliveries per second, what came twice, and
//! what came in the wrong order.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ssf_harness::road::Plan;

use crate::field::Field;
use crate::figures::{Figure, note, percentile};
use crate::ledger::Ledger;

/// One process and two in turns, so many times; `decisions` to each of 8 streams in every turn.
pub(crate) async fn measure(rounds: usize, decisions: i64) -> anyhow::Result<Vec<Figure>> {
    let mut field = Field::open(&Plan { algorithm: "ES256", receivers: Vec::new(), ..Plan::default() }).await?;
    let ledger = Ledger::start().await?;
    for number in 0..STREAMS {
        field.stream(Some(&ledger.endpoint(number))).await?;
    }
    // warms connections and plans
    let mut next = 0;
    pace(&field, &ledger, decisions / 4, &mut next).await?;
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        note(&format!("round {round} of {rounds}: one process, then two"));
        alone.push(pace(&field, &ledger, decisions, &mut next).await?);
        field.road.start_second_transmitter().await?;
        together.push(pace(&field, &ledger, decisions, &mut next).await?);
        let mut second = field.road.second.take().context("there is a second process")?;
        ensure!(second.stop().await?.is_some_and(|status| status.success()), "{}", second.last_words());
    }
    let balance = ledger.balance();
    field.close().await?;
    let figure = Figure::new("replicas", "deliveries with 2 processes", percentile(&mut together, 0.5), "1/s");
    let figure = figure.beside(percentile(&mut alone, 0.5));
    let is_met = figure.ratio.is_some_and(|ratio| ratio >= 1.0);
    Ok(vec![
        figure.aiming("≥ 1.0 × one process", is_met),
        count("delivered twice", balance.twice),
        count("delivered before an earlier one of its subject", balance.too_early),
    ])
}

/// Deliveries per second from the commit of so many decisions, each subject in ten of them, to the last acknowledgement.
async fn pace(field: &Field, ledger: &Ledger, decisions: i64, next: &mut i64) -> anyhow::Result<f64> {
    let before = ledger.balance().taken;
    let deliveries = usize::try_from(decisions)? * STREAMS;
    let began = Instant::now();
    field.numbered(decisions, *next, decisions / 10).await?;
    *next += decisions;
    while ledger.balance().taken < before + deliveries {
        ensure!(began.elapsed() < Duration::from_mins(3), "{:?} of {deliveries} more came", ledger.balance());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    Ok(deliveries as f64 / began.elapsed().as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn count(metric: &str, count: usize) -> Figure {
    Figure::new("replicas", metric, count as f64, "SETs").aiming("0", count == 0)
}

const STREAMS: usize = 8;
