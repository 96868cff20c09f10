//! `bench`: how fast, beside what bounds it, measured in the same run.
//!
//! `cargo run --release --bin bench -- SCENARIO [--json] [--seconds N]`. A figure and its limit are measured in one
//! run, in turns where that can be, and stand beside each other with their ratio. Nothing here is a test: the exit code says only whether
//! the measurement could be made.

mod backlog;
mod check;
mod cpu;
mod crowd;
mod fan_out;
mod field;
mod figures;
mod floor;
mod intake;
mod isolation;
mod issuer;
mod latency;
mod ledger;
mod model;
mod openssl_signer;
mod priority;
mod receive;
mod replicas;
mod sign;
mod soak;
mod throughput;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::figures::Figure;

/// Measures on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 100)]
struct Arguments {
    /// What to measure.
    #[arg(default_value = "all")]
    scenario: Scenario,
    /// One JSON object per line instead of a table.
    #[arg(long)]
    json: bool,
    /// Small sizes, for a first look: a few seconds each.
    #[arg(long)]
    quick: bool,
    /// The longest one measurement may take; each scenario has its own measure otherwise.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// SETs signed per second and core, per algorithm, beside the bare OpenSSL signature of the same key.
    Sign,
    /// 300 single revokes on an idle road, push and poll: decision → applied and → acknowledged, beside their floor.
    Latency,
    /// 10,000 events to one push receiver, RS256 and ES256: delivered and applied per second and per CPU second.
    Throughput,
    /// 200 urgent decisions while a bulk job waits and drains, beside as many with an empty queue.
    Priority,
    /// 100 push streams of which 30 fall sick: the latency of the others, beside that when everybody is well.
    Isolation,
    /// 1 decision to 1,000 streams, push and poll: the last acknowledgement, beside as many bare signatures.
    Fanout,
    /// Deliveries per second with a long queue and with a long history, beside a short queue and none.
    Backlog,
    /// Decisions recorded per second, singles and batches, beside bare committed inserts.
    Intake,
    /// SETs pushed to one receiver, RS256 and ES256, beside bare signature checks and beside another receiver of the field.
    Receive,
    /// One check in memory with 1,000,000 cut-offs, and what these take; checks over HTTP and a unix socket beside a constant.
    Check,
    /// Two transmitter processes on one database beside one: deliveries per second, duplicates, order.
    Replicas,
    /// Predicted and measured latency at five loads, from what each stage takes in the same run.
    Model,
    /// A steady load for ten minutes (or --seconds): memory, tables, errors, lost, twice. Not part of `all`.
    Soak,
    /// All of them but `soak`.
    All,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if cfg!(debug_assertions) {
        figures::note("this is a debug build: the figures mean nothing; use cargo run --release --bin bench");
    }
    let scenarios = match arguments.scenario {
        Scenario::All => Scenario::value_variants()
            .iter()
            .copied()
            .filter(|one| !matches!(one, Scenario::All | Scenario::Soak))
            .collect(),
        one => vec![one],
    };
    for scenario in scenarios {
        let measured = measure(scenario, &arguments).await;
        match measured {
            Ok(figures) if arguments.json => figures::print_json(&figures),
            Ok(figures) => figures::print_table(&figures),
            Err(error) => {
                figures::note(&format!("{scenario:?}: {error:#}"));
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

async fn measure(scenario: Scenario, arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    let quick = arguments.quick;
    let seconds = arguments.seconds.or(quick.then_some(8));
    match scenario {
        Scenario::Sign => sign::measure(arguments.seconds.or(quick.then_some(1))),
        Scenario::Latency => latency::measure(seconds).await,
        Scenario::Throughput => throughput::measure(arguments.seconds.or(quick.then_some(2))).await,
        Scenario::Priority => priority::measure(seconds, if quick { 20_000 } else { 1_000_000 }).await,
        Scenario::Isolation => isolation::measure(seconds.map(|s| s * 2)).await,
        Scenario::Fanout => fan_out::measure(seconds, if quick { 200 } else { 1_000 }).await,
        Scenario::Backlog => {
            let (waiting, history) = if quick { (30_000, 100_000) } else { (1_000_000, 10_000_000) };
            backlog::measure(seconds, backlog::Size { waiting, history }).await
        }
        Scenario::Intake => intake::measure(seconds).await,
        Scenario::Receive => receive::measure(if quick { 1_000 } else { 10_000 }).await,
        Scenario::Check => {
            let (cutoffs, sessions) = if quick { (60_000, 6_000) } else { (1_000_000, 120_000) };
            let turn = Duration::from_millis(if quick { 300 } else { 1_500 });
            check::measure(check::Size { cutoffs, sessions, turn }).await
        }
        Scenario::Replicas => replicas::measure(if quick { 1 } else { 5 }, if quick { 500 } else { 2_000 }).await,
        Scenario::Model => {
            let (alone, together, seconds) = if quick { (100, 600, 3.0) } else { (400, 6_000, 15.0) };
            model::measure(model::Size { alone, together, seconds }).await
        }
        Scenario::Soak => soak::measure(arguments.seconds.unwrap_or(if quick { 30 } else { 600 })).await,
        Scenario::All => Ok(Vec::new()),
    }
}
