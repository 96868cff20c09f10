//! What can be asked for on the command line, and who does it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ssf_common::runtime::config::{Layers, effective};
use ssf_common::runtime::{Env, telemetry};
use ssf_receiver::config::{DEFAULTS, Settings};

use super::break_glass::BreakGlass;
use super::forget::Forget;
use super::interop::{EXIT_CODES, Interop, Poll, Stream, Subject, Tail, Verify, not_meant};
use super::managed_stream::ManagedStream;
use super::print::print;
use super::upstream::Upstream;
use super::withheld::Withheld;
use super::{ask, database, effect, facts, policy, report, serve};

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
    /// The transmitters the service listens to: make, see, change, remove them while it runs
    #[command(subcommand)]
    Upstream(Upstream),
    /// Let the sessions of an issuer go on although it is silent or events may have been lost
    #[command(subcommand)]
    BreakGlass(BreakGlass),
    /// What each event becomes here, and which table says so
    Policy(policy::Policy),
    /// What issuers decided that they may not decide here: see it, apply or discard it
    #[command(subcommand)]
    Withheld(Withheld),
    /// Remove what is kept of a subject
    #[command(subcommand)]
    Forget(Forget),
    /// Make one call about the stream that the service keeps for an upstream, as its database says
    #[command(subcommand)]
    ManagedStream(ManagedStream),
    /// What the application was to be told of its sessions, and sending it again
    #[command(subcommand)]
    Effect(effect::Effect),
    /// Ask the running service whether a session is still good
    Check(ask::Check),
    /// Ask the running service what issuers told of a session's user and device
    Facts(facts::Facts),
    /// Ask the running service how long events took from the decision to their effect here
    Latency(ask::Latency),
    /// Ask the running service how the windows were kept: from the decision until nobody was let in
    Report(report::Report),
    /// By hand, at any transmitter: one call about a stream, checked against SSF 1.0
    #[command(subcommand)]
    Stream(Stream),
    /// By hand: add a subject to a stream, or remove it (SSF 1.0 §8.1.3)
    #[command(subcommand)]
    Subject(Subject),
    /// By hand: ask for a verification event (SSF 1.0 §8.1.4.2)
    #[command(after_help = EXIT_CODES)]
    Verify(Verify),
    /// By hand: poll once (RFC 8936)
    #[command(after_help = EXIT_CODES)]
    Poll(Poll),
    /// By hand: follow a stream, print its SETs once they are verified, and why others are refused
    #[command(after_help = EXIT_CODES)]
    Tail(Tail),
}

impl CommandLine {
    /// Does what was asked for.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let settings = match self.settings.load() {
            // These commands have exit codes of their own.
            Err(error) if self.command.is_by_hand() => return Ok(not_meant(&error)),
            settings => settings?,
        };
        telemetry::init(&settings.log)?;
        let env = Env::system();
        match self.command {
            Command::Serve => serve::serve(settings, env).await?,
            Command::Migrate => database::migrate(&settings).await?,
            Command::Config => print(&effective(&settings)?)?,
            Command::BreakGlass(break_glass) => break_glass.run(settings, env).await?,
            Command::Policy(policy) => policy.run(settings, env).await?,
            Command::Withheld(withheld) => withheld.run(settings, env).await?,
            Command::Forget(forget) => forget.run(settings, env).await?,
            Command::Facts(facts) => facts.run(&settings).await?,
            Command::Upstream(upstream) => upstream.run(settings, env).await?,
            Command::ManagedStream(stream) => stream.run(settings, env).await?,
            Command::Effect(effect) => effect.run(settings, env).await?,
            Command::Check(check) => check.run(&settings).await?,
            Command::Latency(latency) => latency.run(&settings, &env).await?,
            Command::Report(report) => report.run(&settings, &env).await?,
            Command::Stream(stream) => return Ok(Interop::Stream(stream).run(&settings, env).await),
            Command::Subject(subject) => return Ok(Interop::Subject(subject).run(&settings, env).await),
            Command::Verify(verify) => return Ok(Interop::Verify(verify).run(&settings, env).await),
            Command::Poll(poll) => return Ok(Interop::Poll(poll).run(&settings, env).await),
            Command::Tail(tail) => return Ok(Interop::Tail(tail).run(&settings, env).await),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Command {
    /// Whether a stream is driven by hand.
    const fn is_by_hand(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::Subject(_) | Self::Verify(_) | Self::Poll(_) | Self::Tail(_))
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
  ssf-receiver upstream list                            the transmitters, and how they are
  ssf-receiver managed-stream status --upstream idp     what the transmitter says of the service's stream
  ssf-receiver check 4f9d-session-id                    is this session still good?
  ssf-receiver latency --since 15m                      from the decision to its effect here
  ssf-receiver report --since 24h --format svg --out windows.svg
  ssf-receiver tail --upstream idp --create --ack       a stream for the moment, its SETs verified
  ssf-receiver stream list --issuer https://idp.example --client-id rp-1 --client-secret-file secret --trace

Every setting is described in config.default.toml; each can also be an environment variable, such as
SSF_RECEIVER__SERVER__LISTEN for [server] listen.";
