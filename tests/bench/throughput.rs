//! Scenario `throughput`: many events to one push receiver, all of them signed, delivered, verified and applied.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use ssf_common::event::Vocabulary;
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::set::{DEFAULT_TIMELINE_CLAIM, sign};
use ssf_harness::road::{Plan, Road};

use crate::figures::{Figure, note};
use crate::openssl_signer::BareSigner;
use crate::{cpu, sign};

/// RS256, then ES256. With `seconds`, as many events as a first guess of the pace fits into it.
pub(crate) async fn measure(seconds: Option<u64>) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let events =
            seconds.map_or(EVENTS, |limit| usize::try_from(limit).unwrap_or(1).max(1) * GUESS_PER_SECOND).min(EVENTS);
        figures.extend(one(algorithm, events).await?);
    }
    Ok(figures)
}

async fn one(algorithm: Algorithm, events: usize) -> anyhow::Result<Vec<Figure>> {
    note(&format!("{algorithm}:"));
    let plan = Plan { algorithm: algorithm.as_str(), receivers: vec!["push"], ..Plan::default() };
    let mut road = Road::open(&plan, note).await?;
    road.joined().await?;
    let receiver = &road.receivers[0];
    // warms connections and plans
    emit(&road, 0, 200).await?;
    let mut connection = PgConnection::connect_with(&receiver.database.options).await?;
    applied(&road, 200, &mut connection).await?;
    // half of the bare signatures before, half after: the same machine in the same minute
    let before = bare(algorithm, events / 2)?;
    let roots: Vec<u32> =
        [road.transmitter.pid(), receiver.process.pid(), road.server_pid()].into_iter().flatten().collect();
    let cpu_before = cpu::seconds(&roots);
    let began = Instant::now();
    emit(&road, 200, events).await?;
    applied(&road, 200 + events, &mut connection).await?;
    let took = began.elapsed().as_secs_f64();
    let cpu_spent = cpu::seconds(&roots).zip(cpu_before).map(|(after, before)| after - before);
    let after = bare(algorithm, events / 2)?;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let (count, bare_per_second) = (events as f64, events as f64 / (before + after).as_secs_f64());
    let metric = format!("{algorithm} delivered and applied");
    let mut figure = Figure::new("throughput", metric, count / took, "1/s").beside(bare_per_second);
    if algorithm == Algorithm::Rs256 {
        let is_met = figure.ratio.is_some_and(|ratio| ratio >= 0.5);
        figure = figure.aiming("≥ 50 % of one core's signatures", is_met);
    }
    let mut figures = vec![figure];
    if let Some(spent) = cpu_spent.filter(|_| roots.len() == 3) {
        let metric = format!("{algorithm} delivered and applied per CPU second of all processes");
        figures.push(Figure::new("throughput", metric, count / spent, "1/CPU s").beside(bare_per_second));
    }
    road.stop().await?;
    Ok(figures)
}

/// Hands in `count` events, in batches of 500.
async fn emit(road: &Road, first: usize, count: usize) -> anyhow::Result<()> {
    let numbers: Vec<usize> = (first..first + count).collect();
    for batch in numbers.chunks(500) {
        let event = |number: &usize| {
            let subject = json!({"format": "iss_sub", "iss": road.issuer, "sub": format!("user-{number}")});
            json!({"type": "session-revoked", "subject": subject})
        };
        road.emit(&Value::Array(batch.iter().map(event).collect())).await?;
    }
    Ok(())
}

/// Waits until the receiver has applied `count` in all, and fails if it ever has more.
async fn applied(road: &Road, count: usize, connection: &mut PgConnection) -> anyhow::Result<()> {
    let patience = Instant::now();
    loop {
        let applied = road.receivers[0].applied(connection).await?;
        ensure!(applied <= count, "{applied} applied of {count}: something was applied twice");
        if applied == count {
            return Ok(());
        }
        ensure!(patience.elapsed() < Duration::from_mins(3), "only {applied} of {count} were applied");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How long so many bare signatures of a key like the transmitter's take one core.
fn bare(algorithm: Algorithm, count: usize) -> anyhow::Result<Duration> {
    let key = SigningKey::generate(algorithm)?;
    let signer = BareSigner::of(&key)?;
    let set = sign(&sign::claims()?, &Vocabulary::default(), &key, Some(DEFAULT_TIMELINE_CLAIM))?;
    let began = Instant::now();
    for _ in 0..count {
        signer.sign(set.as_bytes())?;
    }
    Ok(began.elapsed())
}

const EVENTS: usize = 10_000;
const GUESS_PER_SECOND: usize = 1_000;
