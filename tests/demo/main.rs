//! `demo`: one decision at the IdP ends the session at every RP, and the latency is on the table.
//!
//! Starts a private PostgreSQL, one transmitter, one receiver on push and one on poll as real processes, registers
//! sessions, takes decisions, and compares what the receivers say with what was decided. Any mismatch is a failure.

mod decisions;
mod report;
mod sessions;
mod steps;
mod story;

use std::process::ExitCode;

use clap::Parser;

/// Shows both parties at work on this machine.
#[derive(Debug, Parser)]
#[command(name = "demo", max_term_width = 100)]
struct Arguments {
    /// Leave everything running at the end and print addresses and curl commands; Ctrl-C ends it.
    #[arg(long)]
    keep: bool,
    /// Sessions at each RP.
    #[arg(long, default_value_t = 1_000)]
    sessions: usize,
    /// Users who own them.
    #[arg(long, default_value_t = 200)]
    users: usize,
    /// Random decisions after the four that are shown one by one.
    #[arg(long, default_value_t = 500)]
    decisions: usize,
    /// Where chance begins; the same seed takes the same decisions.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = story::Plan {
        keep: arguments.keep,
        sessions: arguments.sessions,
        users: arguments.users.max(8),
        decisions: arguments.decisions,
        seed: arguments.seed,
    };
    match story::tell(&plan).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            steps::complain(&error);
            ExitCode::FAILURE
        }
    }
}
