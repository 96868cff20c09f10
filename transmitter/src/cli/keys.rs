//! `keys list|rotate|retire|import`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use secrecy::SecretString;
use ssf_common::clock::Timestamp;
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::Env;
use ssf_common::runtime::config::Span;
use ssf_transmitter::admin::{EnteredKey, IssuerKeys, KeyRules, ListedKey};
use ssf_transmitter::config::Settings;

use super::database::{Begins, Database, actor, on_database, sealing_key};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the published keys: state, since when, until when, and what comes next.
    List(List),
    /// Makes the next key of an algorithm, which signs once it has been published for keys.publish_ahead.
    Rotate(Rotate),
    /// Ends the signing of a key nobody needs, or takes back a next one.
    Retire(Retire),
    /// Brings in a private key: PEM (PKCS#8, PKCS#1, SEC1) or JWK; RSA of at least 2048 bits, P-256 or Ed25519.
    Import(Import),
}

impl Command {
    /// A key of one's own may be brought in before the first start makes another.
    fn begins(&self) -> Begins {
        if matches!(self, Self::Import(_)) { Begins::Maybe } else { Begins::Never }
    }
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Removed keys too.
    #[arg(long)]
    all: bool,
    /// As JSON, one object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// RS256, PS256, ES256 or EdDSA; every algorithm in use if left out.
    #[arg(long, value_name = "ALG")]
    algorithm: Option<Algorithm>,
    /// Lets the new key sign at once: for a key that may be in wrong hands. Receivers that keep an older key set refuse its
    /// SETs until they read the set anew.
    #[arg(long)]
    now: bool,
    /// As JSON, one object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Retire {
    /// Its id, as `keys list` shows it.
    #[arg(allow_hyphen_values = true)]
    kid: String,
    /// Takes it out of the published set at once and erases its private half: for a key in wrong hands.
    #[arg(long)]
    remove: bool,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file with the key; - for standard input. A JWK keeps its `kid`.
    file: PathBuf,
    /// What it signs with, where the key leaves a choice: RS256 or PS256.
    #[arg(long, value_name = "ALG")]
    algorithm: Option<Algorithm>,
    /// Lets it sign at once instead of when it has been published for keys.publish_ahead: for a key that receivers know.
    #[arg(long)]
    activate: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Runs one of them.
pub(super) async fn run(settings: &Settings, at: Option<&str>, command: Command) -> anyhow::Result<()> {
    let env = Env::system();
    on_database(settings, command.begins(), async |database| work(settings, at, database, command, &env).await).await
}

async fn work(
    settings: &Settings,
    at: Option<&str>,
    database: &Database,
    command: Command,
    env: &Env,
) -> anyhow::Result<String> {
    let issuer = match command.begins() {
        Begins::Maybe => database.issuer_to_be(settings, at, env).await?,
        Begins::Never => database.issuer(settings, at).await?,
    };
    let (sealing, actor, rules) = (sealing_key(settings, env)?, actor(), KeyRules::of(settings));
    let keys = IssuerKeys { pool: &database.pool, issuer: &issuer, rules, sealing: &sealing, actor: &actor, env };
    let now = env.now();
    match command {
        Command::List(list) => {
            let listed = keys.list(list.all).await?;
            if list.json {
                return Ok(listed.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?.join("\n"));
            }
            if listed.is_empty() {
                return Ok("there are no keys yet; the first start of the service makes one".to_owned());
            }
            Ok(listed.iter().map(|key| line(key, now)).collect::<Vec<_>>().join("\n"))
        }
        Command::Rotate(rotate) => {
            let entered = keys.rotate(rotate.algorithm, rotate.now).await?;
            let shown = entered.iter().map(|key| show(key, rotate.json, settings, now));
            Ok(shown.collect::<anyhow::Result<Vec<_>>>()?.join("\n"))
        }
        Command::Retire(retire) => {
            let retired = keys.retire(&retire.kid.as_str().into(), retire.remove).await?;
            Ok(match retired.published_until {
                Some(until) => {
                    format!("{} ({}) signs no more; it stays published until {until}", retired.kid, retired.algorithm)
                }
                None => format!(
                    "{} ({}) is no longer published and its private half is erased.\nWhoever keeps the key set goes on trusting it until they read the set anew: up to an hour or longer.",
                    retired.kid, retired.algorithm
                ),
            })
        }
        Command::Import(import) => {
            let entered = keys.import(&read(&import.file)?, import.algorithm, import.activate).await?;
            show(&entered, import.json, settings, now)
        }
    }
}

fn line(key: &ListedKey, now: Timestamp) -> String {
    let next = match (key.next_state, key.next_at) {
        (Some(state), Some(at)) if at <= now => format!("{state} any moment"),
        (Some(state), Some(at)) => format!("{state} at {} (in {})", whole(at), span(at, now)),
        _ if key.state == "active" => "until you rotate (keys.rotate_every is 0s)".to_owned(),
        _ => "-".to_owned(),
    };
    let until = key.published_until.map_or_else(|| "-".to_owned(), whole);
    format!(
        "{:<44} {:<6} {:<8} since {}  published until {until:<20}  then {next}",
        key.kid.as_str(),
        key.algorithm.as_str(),
        key.state,
        whole(key.since),
    )
}

/// A key that was put on its way, and what that means for those who keep the key set.
fn show(key: &EnteredKey, as_json: bool, settings: &Settings, now: Timestamp) -> anyhow::Result<String> {
    if as_json {
        return Ok(serde_json::to_string(key)?);
    }
    let (kid, algorithm) = (&key.kid, key.algorithm);
    if key.signs_from > now.plus(A_MOMENT) {
        let was_there = if key.was_there { "is next already" } else { "is next" };
        return Ok(format!(
            "{kid} ({algorithm}) {was_there}: published since {}, it signs from {} (in {})",
            whole(key.published_since),
            whole(key.signs_from),
            span(key.signs_from, now)
        ));
    }
    let ahead = settings.keys.publish_ahead;
    let mut lines =
        vec![format!("{kid} ({algorithm}) SIGNS FROM NOW ON, published since {}", whole(key.published_since))];
    if now.since(key.published_since) < ahead.duration() {
        lines.push(format!(
            "WARNING: it was not published for {ahead} before. Receivers that keep an older key set do not know it and refuse its\n\
             SETs until they read the set anew, many only after an hour. These SETs are kept and sent again; revocations are\n\
             late by as much. Tell your receivers to read the key set now."
        ));
    }
    if let Some(replaced) = &key.replaced {
        lines.push(format!(
            "{replaced} is retired and stays published for {}; if it is in wrong hands: ssf-transmitter keys retire {replaced} --remove",
            settings.keys.publish_after
        ));
    }
    Ok(lines.join("\n"))
}

/// The text of a key file. What cannot be a key is not read to its end.
fn read(file: &Path) -> anyhow::Result<SecretString> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(LONGEST + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
    };
    let length = read.with_context(|| format!("{} cannot be read", file.display()))?;
    anyhow::ensure!(u64::try_from(length)? <= LONGEST, "{} is longer than any key", file.display());
    let text = String::from_utf8(bytes).ok().with_context(|| {
        format!("{} is not text; convert DER with: openssl pkey -inform DER -in FILE", file.display())
    })?;
    Ok(text.into())
}

/// To the second, as people read it.
fn whole(at: Timestamp) -> String {
    Timestamp::from_unix_seconds(at.unix_seconds()).to_string()
}

fn span(at: Timestamp, now: Timestamp) -> Span {
    let seconds = at.since(now).as_secs();
    // minutes suffice for what is hours away
    Span::from_secs(if seconds > 3_600 { seconds / 60 * 60 } else { seconds })
}

const LONGEST: u64 = 64 * 1024;
const A_MOMENT: std::time::Duration = std::time::Duration::from_secs(1);
