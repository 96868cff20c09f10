//! `ssf-receiver upstream …`: the transmitters this service listens to, made and changed while it runs. The commands work on
//! the database; a running service notices within a second.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use ssf_common::jwks::SigningKey;
use ssf_common::runtime::{Env, Shutdown};
use ssf_receiver::audit::Actor;
use ssf_receiver::config::Settings;
use ssf_receiver::upstream::managed::Sealing;
use ssf_receiver::upstream::store::Line;
use ssf_receiver::upstream::{Managed, Overview};

use super::database::{Database, Role};
use super::print::{print, print_json};

/// Make, see, change or remove an upstream.
#[derive(Debug, Subcommand)]
pub(super) enum Upstream {
    /// Listen to a further transmitter
    #[command(after_help = MEMBERS)]
    Add {
        /// Our name for it: lower-case letters, digits, - and _
        name: String,
        /// What its section in the settings would say, for example issuer=https://idp.example delivery=push
        #[arg(required = true, value_name = "KEY=VALUE")]
        members: Vec<String>,
    },
    /// Change one that was made so
    #[command(after_help = MEMBERS)]
    Set {
        /// Our name for it
        name: String,
        /// What changes; KEY= goes back to the default
        #[arg(required = true, value_name = "KEY=VALUE")]
        members: Vec<String>,
    },
    /// All of them, and how they are
    List {
        /// With those that were removed
        #[arg(long)]
        removed: bool,
        /// As JSON, one per line
        #[arg(long)]
        json: bool,
    },
    /// One of them: its state, its stream, what is configured
    Show(One),
    /// What became of one, the newest first
    History {
        #[command(flatten)]
        one: One,
        /// At most so many lines
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000))]
        limit: i64,
    },
    /// Listen to one no more: its stream is deleted there if it can be reached; what it decided stays in force
    Remove {
        /// Our name for it
        name: String,
    },
    /// The public half of a private key, as the JWK set that a transmitter registers for private_key_jwt
    PublicKey {
        /// The private key (JWK or PEM)
        file: PathBuf,
    },
}

/// Which one.
#[derive(Debug, Args)]
pub(super) struct One {
    /// Our name for it
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Upstream {
    pub(super) async fn run(self, settings: Settings, env: Env) -> anyhow::Result<()> {
        if let Self::PublicKey { file } = &self {
            return public_key(file);
        }
        let database = Database::open(&settings, Role::Guest).await?;
        let done = match database.migrate(&settings, &Shutdown::default()).await {
            Ok(_) => self.call(settings, &database, env).await,
            Err(error) => Err(error),
        };
        database.close().await;
        done
    }

    async fn call(self, settings: Settings, database: &Database, env: Env) -> anyhow::Result<()> {
        let sealing = Sealing::new(&settings.subject_key(&*env.random)?);
        let managed = Managed::new(database.pool.clone(), env, Arc::new(settings), sealing);
        let actor = Actor::CommandLine(rustix::process::getuid().as_raw());
        match self {
            Self::Add { name, members } => {
                managed.add(&name, read(&members)?, &actor).await?;
                print(&format!("upstream {name} is made; a running service begins within a second\n"))
            }
            Self::Set { name, members } => {
                managed.change(&name, read(&members)?, &actor).await?;
                print(&format!("upstream {name} is changed\n"))
            }
            Self::List { removed, json } => {
                let all = managed.overviews(removed).await?;
                if json {
                    let lines = all.iter().map(|one| Ok(format!("{}\n", serde_json::to_string(one)?)));
                    return print(&lines.collect::<anyhow::Result<String>>()?);
                }
                print(&table(&all))
            }
            Self::Show(One { name, json }) => {
                let one = managed.overview(&name).await?.with_context(|| unknown(&name))?;
                if json { print_json(&one) } else { print(&shown(&one)?) }
            }
            Self::History { one: One { name, json }, limit } => {
                let lines = managed.history(&name, None, limit).await?.with_context(|| unknown(&name))?;
                if json { print_json(&lines) } else { print(&told(&lines)) }
            }
            Self::Remove { name } => {
                let stream = managed.remove(&name, &actor).await?;
                let of_stream = match (&stream.stream_id, stream.is_deleted, &stream.reason) {
                    (Some(id), true, _) => format!("its stream {id} is deleted at the transmitter"),
                    (Some(id), false, Some(why)) => format!("its stream {id} may still be there: {why}"),
                    (_, _, why) => why.clone().unwrap_or_else(|| "it had no stream".to_owned()),
                };
                print(&format!("upstream {name} is removed; {of_stream}. What it decided stays in force.\n"))
            }
            Self::PublicKey { .. } => Ok(()),
        }
    }
}

/// `KEY=VALUE` as members: lists, objects and truth values as JSON, everything else as text; `@FILE` is the text of a file,
/// `@-` of standard input; nothing is null.
fn read(members: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut read = Map::new();
    for member in members {
        let Some((key, text)) = member.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            bail!("write KEY=VALUE, for example delivery=push (got a word without =)");
        };
        let value = match text {
            "" => Value::Null,
            "true" | "false" => json!(text == "true"),
            _ if text.starts_with(['[', '{']) => {
                // The text may be a private key: an error must not quote it.
                let value = serde_json::from_str::<Value>(text).ok().with_context(|| format!("{key}: is not JSON"))?;
                if key == "client_key" { json!(text) } else { value }
            }
            _ => match text.strip_prefix('@') {
                Some(file) => json!(contents(key, file)?),
                None => json!(text),
            },
        };
        if read.insert(key.to_owned(), value).is_some() {
            bail!("{key} is given twice");
        }
    }
    Ok(read)
}

fn contents(key: &str, file: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == "-" {
        std::io::stdin()
            .lock()
            .read_to_string(&mut text)
            .with_context(|| format!("{key}: standard input cannot be read"))?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("{key}: {file} cannot be read"))?;
    }
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn public_key(file: &PathBuf) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let key = SigningKey::import(&text.into(), None)?;
    print_json(&json!({"keys": [key.public_jwk()]}))
}

fn unknown(name: &str) -> String {
    format!("there is no upstream {name}; `ssf-receiver upstream list --removed` shows all")
}

fn table(all: &[Overview]) -> String {
    let mut lines = vec![["name", "state", "since", "delivery", "source", "issuer"].map(str::to_owned)];
    lines.extend(all.iter().map(|one| {
        let source = one.source.unwrap_or("-");
        [&one.name, one.state.as_str(), &one.since.to_string(), &one.delivery, source, &one.issuer]
            .map(ToOwned::to_owned)
    }));
    let width = |column: usize| lines.iter().map(|line: &[String; 6]| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    lines.iter().fold(String::new(), |mut text, line| {
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    })
}

fn shown(one: &Overview) -> anyhow::Result<String> {
    let at =
        |time: Option<ssf_common::clock::Timestamp>| time.map_or_else(|| "never".to_owned(), |time| time.to_string());
    let mut text = format!(
        "name           {}\nissuer         {}\ndelivery       {}\nsource         {}\nstate          {} since {}\n",
        one.name,
        one.issuer,
        one.delivery,
        one.source.unwrap_or("removed"),
        one.state.as_str(),
        one.since
    );
    if let Some(trouble) = &one.trouble {
        let _ = writeln!(text, "trouble        {} (since {})", trouble.text, trouble.since);
    }
    let stream = one.stream["stream_id"].as_str().unwrap_or("none");
    let status = one.stream["status"].as_str().unwrap_or("-");
    let _ = write!(
        text,
        "stream         {stream}\nstatus         {status} {}\nlast contact   {}\nlast SET       {}\nlast verified  {}\n",
        one.stream["reason"].as_str().unwrap_or_default(),
        at(one.last_contact_at),
        at(one.last_set_at),
        at(one.last_verified_at)
    );
    if let Some(losing) = &one.losing {
        let _ = writeln!(text, "losing         {losing}");
    }
    for gap in &one.gaps {
        let _ = writeln!(text, "gap            {} to {}: {}", gap.since, gap.until, gap.cause);
    }
    let _ = writeln!(text, "settings       {}", serde_json::to_string(&one.settings)?);
    Ok(text)
}

fn told(lines: &[Line]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let reason = line.reason.as_deref().unwrap_or_default();
        let _ = writeln!(text, "{}  {:<12}  {reason}", line.at, line.what);
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    })
}

const MEMBERS: &str = "\
Every key of [upstreams.<name>] in config.default.toml. Lists are JSON: events_requested='[\"session-revoked\"]'.
A secret is best read from a file, client_secret=@FILE (or @- for standard input), and is then stored sealed;
client_secret_file=FILE keeps it in the file, which the service reads.";

#[cfg(test)]
mod tests {
    use super::*;

    fn members(of: &[&str]) -> anyhow::Result<Map<String, Value>> {
        read(&of.iter().map(|member| (*member).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn words_become_members() {
        let read = members(&["issuer=https://idp.example/a=b", "scope=", "events_requested=[\"revalidate\"]"]).unwrap();
        let expected = json!({"issuer": "https://idp.example/a=b", "scope": null, "events_requested": ["revalidate"]});
        assert_eq!(Value::Object(read), expected);
        assert_eq!(members(&["legacy_shapes=true", "client_id=7"]).unwrap()["client_id"], "7");
    }

    #[test]
    fn a_private_key_is_a_text_and_no_error_quotes_one() {
        assert_eq!(members(&["client_key={\"d\":1}"]).unwrap()["client_key"], "{\"d\":1}");
        let error = members(&["client_key={hush"]).unwrap_err().to_string();
        assert_eq!(error, "client_key: is not JSON");
        assert!(members(&["hush"]).unwrap_err().to_string().contains("write KEY=VALUE"));
        assert!(members(&["a=1", "a=2"]).is_err());
    }
}
