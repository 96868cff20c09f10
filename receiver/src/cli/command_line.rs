//! What can be asked for on the command line, and who does it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ssf_common::runtime::config::{Layers, effective};
use ssf_common::runtime::{Env, telemetry};
use ssf_receiver::config::{DEFAULTS, Settings};

use super::print::print;
use super::{ask, database, serve, stream};

/// Receives Shared Signals and answers whether a session is still good.
///
/// Listens to transmitters (identity providers) over the OpenID Shared Signals Framework, by push and by poll, keeps what
/// they decide in PostgreSQL, and tells the application on the same host which sessions must end or be proved again.
#[derive(Debug, Parser)]
#[command(name = "ssf-receiver", version, propagate_version = true, after_long_help = EXAMPLES)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct SettingsArgs {
    /// The settings file; without it ./ssf-receiver.toml is read if it is there
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides one setting, for example server.listen=127.0.0.1:9000; may be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    overrides: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM or Ctrl-C
    Serve,
    /// Bring the database schema up to date, and end
    Migrate,
    /// Print the settings in force, secrets masked
    Config,
    /// Make one call about an upstream's stream and print the transmitter's answer
    #[command(subcommand)]
    Stream(stream::Stream),
    /// Ask the running service whether a session is still good
    Check(ask::Check),
    /// Ask the running service how long events took from the decision to their effect here
    Latency(ask::Latency),
}

impl CommandLine {
    /// Does what was asked for.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let settings = self.settings.load()?;
        telemetry::init(&settings.log)?;
        match self.command {
            Command::Serve => serve::serve(settings, Env::system()).await,
            Command::Migrate => database::migrate(&settings).await,
            Command::Config => print(&effective(&settings)?),
            Command::Stream(stream) => stream.run(settings, Env::system()).await,
            Command::Check(check) => check.run(&settings).await,
            Command::Latency(latency) => latency.run(&settings, &Env::system()).await,
        }
    }
}

impl SettingsArgs {
    fn load(self) -> anyhow::Result<Settings> {
        let layers = Layers { file: self.config, overrides: self.overrides, ..Layers::new("receiver", DEFAULTS) };
        Ok(Settings::load(&layers)?)
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, for example server.listen=127.0.0.1:9000".to_owned()),
    }
}

const EXAMPLES: &str = "\
Examples:
  ssf-receiver serve                                    on loopback, data under ./data/receiver
  ssf-receiver --config /etc/ssf/receiver.toml serve
  ssf-receiver --set log.format=json serve
  ssf-receiver stream status --upstream idp             what the transmitter says of our stream
  ssf-receiver check 4f9d-session-id                    is this session still good?
  ssf-receiver latency --since 15m                      from the decision to its effect here

Every setting is described in config.default.toml; each can also be an environment variable, such as
SSF_RECEIVER__SERVER__LISTEN for [server] listen.";
