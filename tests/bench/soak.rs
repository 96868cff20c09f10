//! Scenario `soak`: a steady load for as long as is wanted: memory, tables, errors, what was lost and what came twice.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use ssf_harness::road::{Plan, Road};

use crate::cpu;
use crate::figures::{Figure, note};

/// A hundred decisions a second, in batches of 20, to a push and a poll receiver.
pub(crate) async fn measure(seconds: u64) -> anyhow::Result<Vec<Figure>> {
    let time = Duration::from_secs(seconds);
    let mut road = Road::open(&Plan { algorithm: "ES256", ..Plan::default() }, note).await?;
    road.joined().await?;
    let mut database = PgConnection::connect_with(&road.transmitter_database().options).await?;
    let began = Instant::now();
    let (mut emitted, mut samples) = (0, Vec::new());
    let every = (time / 60).max(Duration::from_millis(500));
    while began.elapsed() < time {
        road.emit(&batch(&road.issuer, emitted)).await?;
        emitted += BATCH;
        if began.elapsed() >= every * u32::try_from(samples.len() + 1)? {
            samples.push(Sample::take(&road, &mut database).await?);
        }
        let turns = u32::try_from(emitted / BATCH)?;
        tokio::time::sleep((EVERY * turns).saturating_sub(began.elapsed())).await;
    }
    note(&format!("{emitted} decisions in {} s; waiting for the last", began.elapsed().as_secs()));
    let (mut lost, mut twice) = (0, 0);
    for receiver in &road.receivers {
        let mut connection = PgConnection::connect_with(&receiver.database.options).await?;
        let patience = Instant::now();
        let mut applied = receiver.applied(&mut connection).await?;
        while applied < emitted && patience.elapsed() < Duration::from_mins(1) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            applied = receiver.applied(&mut connection).await?;
        }
        lost += emitted.saturating_sub(applied);
        twice += applied.saturating_sub(emitted);
    }
    let log = std::fs::read_to_string(road.transmitter.log())?;
    let errors = log.lines().filter(|line| line.contains(" ERROR ")).count();
    road.stop().await?;
    // the first third fills caches and pools
    let settled = samples.get(samples.len() / 3..).context("too short to say anything")?;
    ensure!(settled.len() >= 5, "too short to say anything; take --seconds 30 or more");
    let memory = slope(settled, |sample| sample.memory_mib);
    let tables = slope(settled, |sample| sample.hot_mib);
    let figure = |metric: &str, value: f64, unit: &'static str| Figure::new("soak", metric, value, unit);
    Ok(vec![
        figure("memory of the transmitter, growth per hour", memory, "MiB/h")
            .aiming("flat: < 5 % an hour", memory < 0.05 * average(settled, |sample| sample.memory_mib)),
        figure("outbox and deliveries on disk, growth per hour", tables, "MiB/h")
            .aiming("flat: < 8 MiB an hour", tables < 8.0),
        count("errors in the transmitter's log", errors),
        count("lost", lost),
        count("applied twice", twice),
    ])
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    hours: f64,
    memory_mib: f64,
    hot_mib: f64,
}

impl Sample {
    async fn take(road: &Road, database: &mut PgConnection) -> anyhow::Result<Self> {
        let pid = road.transmitter.pid().context("the transmitter runs")?;
        let memory = cpu::resident_bytes(pid).context("what it holds in memory")?;
        let hot = "select (pg_total_relation_size('ssf_transmitter.outbox') + pg_total_relation_size('ssf_transmitter.delivery'))::bigint";
        let hot: i64 = sqlx::query_scalar(hot).fetch_one(&mut *database).await?;
        let now: f64 =
            sqlx::query_scalar("select extract(epoch from clock_timestamp())::float8").fetch_one(database).await?;
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        Ok(Self { hours: now / 3_600.0, memory_mib: memory as f64 / MIB, hot_mib: hot as f64 / MIB })
    }
}

/// By least squares, per hour.
fn slope(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let (mean_x, mean_y) = (average(samples, |sample| sample.hours), average(samples, &of));
    let above: f64 = samples.iter().map(|sample| (sample.hours - mean_x) * (of(sample) - mean_y)).sum();
    let below: f64 = samples.iter().map(|sample| (sample.hours - mean_x).powi(2)).sum();
    above / below
}

fn average(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let count = samples.len() as f64;
    samples.iter().map(of).sum::<f64>() / count
}

fn batch(issuer: &str, first: usize) -> Value {
    let event = |number: usize| {
        let subject = json!({"format": "iss_sub", "iss": issuer, "sub": format!("user-{}", number % USERS)});
        json!({"type": "session-revoked", "subject": subject})
    };
    Value::Array((first..first + BATCH).map(event).collect())
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn count(metric: &str, count: usize) -> Figure {
    Figure::new("soak", metric, count as f64, "").aiming("0", count == 0)
}

const BATCH: usize = 20;
const EVERY: Duration = Duration::from_millis(200);
const USERS: usize = 5_000;
const MIB: f64 = 1_048_576.0;
