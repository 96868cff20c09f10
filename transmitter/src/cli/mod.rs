//! The command line: what each command takes, and who does it.

mod audit;
mod backlog;
mod client;
mod credential;
mod database;
mod dead_letter;
mod emit;
mod issuer;
mod keys;
mod secure;
mod serve;
mod stream;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ssf_common::runtime::config::{Layers, effective};
use ssf_transmitter::config::{DEFAULTS, Settings};

/// A Shared Signals transmitter (OpenID SSF 1.0) on PostgreSQL.
///
/// Without any configuration `serve` starts on 127.0.0.1:8701 with a private PostgreSQL cluster under ./data/transmitter.
#[derive(Debug, Parser)]
#[command(name = "ssf-transmitter", version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Common {
    /// The settings file; without it ./ssf-transmitter.toml is read if it is there.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides one setting, for example --set server.listen=127.0.0.1:9000. May be given several times.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    overrides: Vec<(String, String)>,
    /// The issuer a command is about; issuer.url if left out.
    #[arg(long, global = true, value_name = "URL")]
    issuer: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service until SIGTERM or Ctrl-C.
    Serve {
        /// Serves TLS with a certificate for localhost by an authority made under data.dir: for development.
        #[arg(long)]
        dev_tls: bool,
    },
    /// Brings the database schema up to date and ends. `serve` and every other command that opens the database do it too.
    Migrate,
    /// Prints the settings in force, secrets masked.
    Config,
    /// Who did what, and whether that log is whole.
    #[command(subcommand)]
    Audit(audit::Command),
    /// What waits for whom, how old it is and how fast it goes; and windows that were missed.
    Backlog(backlog::Asked),
    /// Who may call: receivers, producers and operators.
    #[command(subcommand)]
    Client(client::Command),
    /// SETs that were given up: looked at, sent again, discarded.
    #[command(subcommand)]
    DeadLetter(dead_letter::Command),
    /// Records a decision, as POST /events would, or a file of them.
    Emit(emit::Emit),
    /// In whose names the service speaks.
    #[command(subcommand)]
    Issuer(issuer::Command),
    /// What SETs are signed with.
    #[command(subcommand)]
    Keys(keys::Command),
    /// The receivers' streams.
    #[command(subcommand)]
    Stream(stream::Command),
}

/// Runs one command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut overrides = arguments.common.overrides;
    if matches!(arguments.command, Command::Serve { dev_tls: true }) {
        overrides.push(("tls.development".to_owned(), "true".to_owned()));
    }
    let layers = Layers { file: arguments.common.config, overrides, ..Layers::new("transmitter", DEFAULTS) };
    let settings = Settings::load(&layers)?;
    let at = arguments.common.issuer.as_deref();
    let is_about_one =
        !matches!(arguments.command, Command::Serve { .. } | Command::Migrate | Command::Config | Command::Issuer(_));
    anyhow::ensure!(
        is_about_one || at.is_none(),
        "--issuer is for commands about one issuer; what issuer.url is, --set issuer.url=URL says"
    );
    match arguments.command {
        Command::Serve { .. } => serve::serve(settings).await,
        Command::Migrate => database::migrate(&settings).await,
        Command::Config => say(&effective(&settings)?),
        Command::Audit(command) => audit::run(&settings, at, command).await,
        Command::Backlog(asked) => backlog::run(&settings, at, asked).await,
        Command::Client(command) => client::run(&settings, at, command).await,
        Command::DeadLetter(command) => dead_letter::run(&settings, at, command).await,
        Command::Emit(emit) => emit::run(&settings, at, emit).await,
        Command::Issuer(command) => issuer::run(&settings, command).await,
        Command::Keys(command) => keys::run(&settings, at, command).await,
        Command::Stream(command) => stream::run(&settings, at, command).await,
    }
}

/// One sentence with its causes on standard error.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    let mut sentence = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // a transparent wrapper says what its source says; once is enough
        if !sentence.ends_with(&cause) {
            sentence.push_str(": ");
            sentence.push_str(&cause);
        }
    }
    let _ = writeln!(std::io::stderr(), "{sentence}");
    ExitCode::FAILURE
}

/// Text for the user, on standard output, unless nobody reads on.
fn say(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        said => Ok(said?),
    }
}

/// Something else the user should know, on standard error.
fn hint(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, for example server.listen=127.0.0.1:9000")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
