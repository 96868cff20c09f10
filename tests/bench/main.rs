//! `bench`: how fast, beside what bounds it, measured in the same run.
//!
//! `cargo run --release --bin bench -- SCENARIO [--json] [--seconds N]`. Every compared pair is measured interleaved in
//! one run; a figure stands beside its limit and their ratio. Nothing here is a test: the exit code says only whether
//! the measurement could be made.

mod cpu;
mod figures;
mod floor;
mod latency;
mod openssl_signer;
mod sign;
mod throughput;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::figures::Figure;

/// Measures on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 100)]
struct Arguments {
    /// What to measure.
    scenario: Scenario,
    /// One JSON object per line instead of a table.
    #[arg(long)]
    json: bool,
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
    /// All of them.
    All,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if cfg!(debug_assertions) {
        figures::note("this is a debug build: the figures mean nothing; use cargo run --release --bin bench");
    }
    let wanted = |scenario| arguments.scenario == scenario || arguments.scenario == Scenario::All;
    for scenario in [Scenario::Sign, Scenario::Latency, Scenario::Throughput].into_iter().filter(|s| wanted(*s)) {
        let measured: anyhow::Result<Vec<Figure>> = match scenario {
            Scenario::Sign => sign::measure(arguments.seconds),
            Scenario::Latency => latency::measure(arguments.seconds).await,
            _ => throughput::measure(arguments.seconds).await,
        };
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
