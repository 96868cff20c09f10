//! Scenario `model`: how long decisions take at some load, as predicted from what each stage takes alone, and as
//! measured at the same load.
//!
//! The costs are those of this very run ([`calibration`]), the prediction is a simulation with them ([`simulation`]), and
//! the loads are shares of what the road carried when everything came at once. `docs/scale.md` says what
//! follows from it.

mod arrivals;
mod calibration;
mod offer;
mod simulation;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ssf_common::jwks::Algorithm;
use ssf_harness::road::Plan;

use self::arrivals::{Arrival, Lane, arrivals, evenly};
use self::calibration::{Cpu, Measured};
use self::offer::offer;
use self::simulation::run;
use crate::cpu;
use crate::field::Field;
use crate::figures::{Figure, note, percentile};

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Decisions that come alone, 20 a second.
    pub(crate) alone: usize,
    /// Decisions that come at once.
    pub(crate) together: usize,
    /// How long each load lasts.
    pub(crate) seconds: f64,
}

/// RS256, one receiver, everything on this machine.
pub(crate) async fn measure(size: Size) -> anyhow::Result<Vec<Figure>> {
    let plan = Plan { receivers: vec!["push"], own_server: true, ..Plan::default() };
    let field = Field::open(&plan).await?;
    field.road.joined().await?;
    let measured = measure_in(&field, size).await;
    field.close().await?;
    measured
}

async fn measure_in(field: &Field, size: Size) -> anyhow::Result<Vec<Figure>> {
    let cores = std::thread::available_parallelism()?.get();
    let mut users = 0;
    let mut next = |count: usize| {
        users += count;
        users - count
    };
    offer(field, &arrivals(100.0, WARM_UP, 1), next(WARM_UP)).await?;
    note("nothing, for a while");
    tokio::time::sleep(SETTLED).await;
    let background = background(field).await?;
    note(&format!("{} decisions alone, then {} at once", size.alone, size.together));
    let alone = measured(field, &evenly(20.0, size.alone), next(size.alone), background).await?;
    let at_once = evenly(f64::INFINITY, size.together);
    let together = measured(field, &at_once, next(size.together), background).await?;
    let signature = calibration::signature(Algorithm::Rs256)?;
    let costs = calibration::costs(&alone, &together, signature, background, cores);
    let carried = per_second(size.together, together.offered.time.as_secs_f64());
    note("a load in between");
    let between = arrivals(carried * BETWEEN, how_many(carried * BETWEEN, size.seconds), 4);
    let each = measured(field, &between, next(between.len()), background).await?.each;
    let costs = calibration::warmed(costs, &between, each.total());
    let predicted = run(&costs, &at_once, 1).took.into_iter().fold(0.0, f64::max) / 1_000.0;
    let figure =
        Figure::new("model", "decisions carried when all come at once, measured beside predicted", carried, "1/s");
    let mut figures = vec![judged(figure.beside(per_second(size.together, predicted)))];
    let mut table = Table::new(cores, carried, &alone, &together, signature);
    for share in SHARES {
        let rate = carried * share;
        note(&format!("{:.0} decisions a second, {:.0} % of that", rate, share * 100.0));
        let count = how_many(rate, size.seconds);
        let load = arrivals(rate, count, 2);
        let Measured { offered, each, others } = measured(field, &load, next(count), background).await?;
        let real = Latencies::of(offered.trips.iter().map(|trip| (trip.lane == 0, trip.whole * 1_000.0)), each.total());
        // longer than the real one, so that chance has less to say
        let load = arrivals(rate, count.max(SIMULATED), 2);
        let simulated = run(&costs, &load, 3);
        let urgent = load.iter().map(|arrival| arrival.lane == Lane::Urgent);
        let model = Latencies::of(urgent.zip(simulated.took), simulated.computed);
        table.row(share, rate, others, &model, &real);
        if others > FEW {
            note(&format!("others use {others:.2} cores: what is measured here is not what is predicted"));
        }
        for (name, measured, predicted) in [("p50", real.p50, model.p50), ("p99", real.p99, model.p99)] {
            let metric = format!("{name} at {:.0} % of that, measured beside predicted", share * 100.0);
            figures.push(judged(Figure::new("model", metric, measured, "ms").beside(predicted)));
        }
        // what is still being written down belongs to no load
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    note(&table.text);
    Ok(figures)
}

fn judged(figure: Figure) -> Figure {
    let is_met = figure.ratio.is_some_and(|ratio| (0.5..=2.0).contains(&ratio));
    figure.aiming("within a factor of 2", is_met)
}

/// One of the two loads that costs are found from.
async fn measured(field: &Field, load: &[Arrival], first: usize, background: Cpu) -> anyhow::Result<Measured> {
    let everybody = || cpu::of_everybody().context("/proc does not say what the machine spends");
    let (before, all_before, began) = (Cpu::spent(field)?, everybody()?, Instant::now());
    let offered = offer(field, load, first).await?;
    let (after, all_after, seconds) = (Cpu::spent(field)?, everybody()?, began.elapsed().as_secs_f64());
    let of_others = (all_after - all_before) - (after.total() - before.total());
    let each = after.each_since(before, background, seconds, load.len());
    Ok(Measured { offered, each, others: (of_others / seconds).max(0.0) })
}

/// What everybody spends in a second in which nothing happens.
async fn background(field: &Field) -> anyhow::Result<Cpu> {
    let (before, began) = (Cpu::spent(field)?, Instant::now());
    tokio::time::sleep(IDLE).await;
    let nothing = Cpu { transmitter: 0.0, receiver: 0.0, database: 0.0, bench: 0.0 };
    let seconds = began.elapsed().as_secs_f64();
    let spent = Cpu::spent(field)?.each_since(before, nothing, seconds, 1);
    Ok(Cpu {
        transmitter: spent.transmitter / seconds,
        receiver: spent.receiver / seconds,
        database: spent.database / seconds,
        bench: spent.bench / seconds,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a count")]
fn per_second(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
fn how_many(per_second: f64, seconds: f64) -> usize {
    (per_second * seconds).max(100.0) as usize
}

/// Milliseconds from the decision to the acknowledgement, and of computing for one decision.
struct Latencies {
    computing: f64,
    p50: f64,
    p99: f64,
    urgent_p99: f64,
}

impl Latencies {
    fn of(samples: impl Iterator<Item = (bool, f64)>, computing: f64) -> Self {
        let samples: Vec<(bool, f64)> = samples.collect();
        let mut all: Vec<f64> = samples.iter().map(|(_, ms)| *ms).collect();
        let mut urgent: Vec<f64> = samples.iter().filter(|(is_urgent, _)| *is_urgent).map(|(_, ms)| *ms).collect();
        Self {
            computing: computing * 1_000.0,
            p50: percentile(&mut all, 0.5),
            p99: percentile(&mut all, 0.99),
            urgent_p99: percentile(&mut urgent, 0.99),
        }
    }
}

/// The same for `docs/scale.md`.
struct Table {
    text: String,
}

impl Table {
    fn new(cores: usize, carried: f64, alone: &Measured, together: &Measured, signature: f64) -> Self {
        let ms = |seconds: f64| seconds * 1_000.0;
        let mut text = format!(
            "\nMeasured with `bench model` on {cores} cores{}; carried when all come at once: {carried:.0} decisions a second; one RS256\n\
             signature: {:.2} ms of a core.\n\n\
             | CPU per decision, ms | transmitter | receiver | PostgreSQL | who hands in | together |\n|---|---|---|---|---|---|\n",
            if cfg!(debug_assertions) { ", not optimised" } else { "" },
            ms(signature),
        );
        for (name, Measured { each, .. }) in [("alone", alone), ("at once", together)] {
            let _ = writeln!(
                text,
                "| {name} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
                ms(each.transmitter),
                ms(each.receiver),
                ms(each.database),
                ms(each.bench),
                ms(each.total()),
            );
        }
        text.push_str(
            "\n| load | decisions per second | p50 predicted | measured | ratio | p99 predicted | measured | ratio | urgent p99 predicted | measured | CPU per decision predicted | measured | cores taken by others |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        Self { text }
    }

    fn row(&mut self, share: f64, rate: f64, others: f64, model: &Latencies, real: &Latencies) {
        let _ = writeln!(
            self.text,
            "| {:.0} % | {rate:.0} | {:.1} ms | {:.1} ms | {:.2} | {:.1} ms | {:.1} ms | {:.2} | {:.1} ms | {:.1} ms | {:.2} ms | {:.2} ms | {others:.2} |",
            share * 100.0,
            model.p50,
            real.p50,
            real.p50 / model.p50,
            model.p99,
            real.p99,
            real.p99 / model.p99,
            model.urgent_p99,
            real.urgent_p99,
            model.computing,
            real.computing,
        );
    }
}

/// Cores that others may use without a word.
const FEW: f64 = 0.1;
/// The load in between, of what is carried at once; none of those that are judged.
const BETWEEN: f64 = 0.4;
const SHARES: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.85];
const WARM_UP: usize = 300;
const SIMULATED: usize = 20_000;
const SETTLED: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(4);
