//! `ssf-receiver`: the command line of the receiver.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use ssf_common::runtime::telemetry::chain;

fn main() -> ExitCode {
    let command_line = cli::CommandLine::parse();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(command_line.run()));
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
