//! `dead-letter list|show|replay|discard`.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::Value;
use ssf_common::clock::Timestamp;
use ssf_common::event::EventType;
use ssf_common::runtime::Env;
use ssf_common::subject::Subject;
use ssf_transmitter::admin::{self, Batch, DeadLetter, InspectedDeadLetter, MAX_PAGE, Selection, Which};
use ssf_transmitter::config::Settings;
use ssf_transmitter::delivery::DeliveryId;
use ssf_transmitter::issuer::Issuer;
use ssf_transmitter::stream::StreamKey;

use super::database::{Begins, Database, actor, on_database};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists dead letters, oldest first.
    List {
        #[command(flatten)]
        choice: Choice,
        /// The most that are listed.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u16,
        /// As JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
    /// Shows one: its claims as they would be sent, its failed attempts and the receiver's answers.
    Show {
        /// Its jti.
        jti: DeliveryId,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Sends dead letters again: the same SETs, with their jti, iat and txn.
    Replay {
        /// Their jtis; or a choice by --stream, --subject, --since, --until.
        #[arg(value_name = "JTI")]
        jtis: Vec<DeliveryId>,
        #[command(flatten)]
        choice: Choice,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Takes dead letters away for good.
    Discard {
        /// Their jtis; or a choice by --stream, --subject, --since, --until.
        #[arg(value_name = "JTI")]
        jtis: Vec<DeliveryId>,
        #[command(flatten)]
        choice: Choice,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Which dead letters.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Of this stream.
    #[arg(long, value_name = "STREAM_ID")]
    stream: Option<StreamKey>,
    /// About this subject, JSON (RFC 9493): the same JSON, its members in any order.
    #[arg(long, value_name = "JSON", value_parser = subject)]
    subject: Option<Value>,
    /// Given up then or later, RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Given up before, RFC 3339.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// With this code, such as invalid_request or expired.
    #[arg(long)]
    code: Option<String>,
    /// Of this type: short name or URI.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
}

/// Runs one of them.
pub(super) async fn run(settings: &Settings, at: Option<&str>, command: Command) -> anyhow::Result<()> {
    let env = Env::system();
    on_database(settings, Begins::Never, async |database| work(settings, at, database, command, &env).await).await
}

async fn work(
    settings: &Settings,
    at: Option<&str>,
    database: &Database,
    command: Command,
    env: &Env,
) -> anyhow::Result<String> {
    let issuer = database.issuer(settings, at).await?;
    let pool = &database.pool;
    match command {
        Command::List { choice, limit, json } => {
            anyhow::ensure!((1..=MAX_PAGE).contains(&limit), "--limit must be a number from 1 to {MAX_PAGE}");
            let selection = choice.selection(settings)?;
            let page = admin::list_dead_letters(pool, &issuer, &selection, None, limit, env).await?;
            if page.items.is_empty() && !json {
                return Ok("there are no such dead letters".to_owned());
            }
            let mut lines = page
                .items
                .iter()
                .map(|one| if json { as_json(one) } else { Ok(line(one)) })
                .collect::<Result<Vec<_>, _>>()?;
            if page.next.is_some() && !json {
                lines.push("and more: raise --limit, or choose".to_owned());
            }
            Ok(lines.join("\n"))
        }
        Command::Show { jti, json } => {
            let vocabulary = settings.vocabulary();
            let found = admin::inspect_dead_letter(pool, &issuer, jti, &vocabulary, settings.timeline_claim()).await?;
            let found = found.context("there is no such dead letter; it may have been sent again or discarded")?;
            if json { as_json(&found) } else { shown(&found) }
        }
        Command::Replay { jtis, choice, json } => {
            let which = choice.which(jtis, settings)?;
            let done = replay(database, &issuer, &which, env).await?;
            report(&done, &which, json, "sent again", REASONS_LEFT)
        }
        Command::Discard { jtis, choice, reason, json } => {
            let reason = reason.trim();
            anyhow::ensure!(!reason.is_empty() && reason.len() <= 1_024, "--reason must have 1 to 1024 bytes");
            let which = choice.which(jtis, settings)?;
            let done = discard(database, &issuer, &which, reason, env).await?;
            report(&done, &which, json, "discarded", "they are dead letters no more")
        }
    }
}

/// Batch after batch until everything that was dead at the first one was seen.
async fn replay(database: &Database, issuer: &Issuer, which: &Which, env: &Env) -> anyhow::Result<Batch> {
    let mut all = Batch { done: 0, left: 0, next: None };
    let mut which = which.clone();
    loop {
        let batch = admin::replay_dead_letters(&database.pool, issuer, which.clone(), &actor(), env).await?;
        match added(&mut all, &batch, which)? {
            Some(rest) => which = rest,
            None => return Ok(all),
        }
    }
}

async fn discard(
    database: &Database,
    issuer: &Issuer,
    which: &Which,
    reason: &str,
    env: &Env,
) -> anyhow::Result<Batch> {
    let mut all = Batch { done: 0, left: 0, next: None };
    let mut which = which.clone();
    loop {
        let batch = admin::discard_dead_letters(&database.pool, issuer, which.clone(), reason, &actor(), env).await?;
        match added(&mut all, &batch, which)? {
            Some(rest) => which = rest,
            None => return Ok(all),
        }
    }
}

/// Adds up, and says what is left to do.
fn added(all: &mut Batch, batch: &Batch, which: Which) -> anyhow::Result<Option<Which>> {
    all.done += batch.done;
    all.left += batch.left;
    Ok(match (&batch.next, which) {
        (Some(next), Which::Matching(selection, _, limit)) => {
            Some(Which::Matching(selection, Some(next.parse()?), limit))
        }
        _ => None,
    })
}

impl Choice {
    fn which(self, jtis: Vec<DeliveryId>, settings: &Settings) -> anyhow::Result<Which> {
        let chooses = self.stream.is_some() || self.subject.is_some() || self.since.is_some() || self.until.is_some();
        anyhow::ensure!(
            jtis.is_empty() != (!chooses && self.code.is_none() && self.event_type.is_none()),
            "say which: jtis, or --stream, --subject, --since, --until; not both"
        );
        if !jtis.is_empty() {
            anyhow::ensure!(jtis.len() <= usize::from(MAX_PAGE), "at most {MAX_PAGE} jtis at once");
            return Ok(Which::Ids(jtis));
        }
        anyhow::ensure!(chooses, "--code and --type narrow a choice by --stream, --subject, --since or --until");
        Ok(Which::Matching(self.selection(settings)?, None, AT_ONCE))
    }

    fn selection(self, settings: &Settings) -> anyhow::Result<Selection> {
        let vocabulary = settings.vocabulary();
        let uri = |name: String| {
            let known = EventType::from_name(&name, &vocabulary).map(|known| known.uri(&vocabulary).to_owned());
            known.context("--type is neither a known short name (such as session-revoked) nor a URI")
        };
        Ok(Selection {
            stream: self.stream,
            subject: self.subject,
            since: self.since,
            until: self.until,
            code: self.code,
            event_type: self.event_type.map(uri).transpose()?,
        })
    }
}

fn subject(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|_| "is not JSON; quote it for the shell")?;
    Subject::parse(&value).map_err(|error| error.to_string())?;
    Ok(value)
}

fn line(one: &DeadLetter) -> String {
    let error = if one.error.is_empty() { String::new() } else { format!(": {}", one.error) };
    format!(
        "{}  {}  {:<20} stream {}  {}  {}{error}",
        one.jti, one.died_at, one.client_id, one.stream_id, one.event_type, one.error_code
    )
}

fn shown(found: &InspectedDeadLetter) -> anyhow::Result<String> {
    let one = &found.dead_letter;
    let mut lines =
        vec![line(one), format!("decided at {}, tried {} times; of the last attempts:", one.occurred_at, one.attempts)];
    lines.extend(found.failures.iter().map(|failure| format!("  {}  {}", failure.at, failure.said)));
    lines.push("its claims, as they would be sent:".to_owned());
    lines.push(match &found.claims {
        Some(claims) => serde_json::to_string_pretty(claims)?,
        None => "the stored event cannot be read any more".to_owned(),
    });
    Ok(lines.join("\n"))
}

/// What was done. Of those that were named, one at least must have been there to be done.
fn report(batch: &Batch, which: &Which, json: bool, done: &str, left: &str) -> anyhow::Result<String> {
    let rest = if batch.left == 0 { String::new() } else { format!("; {} were left: {left}", batch.left) };
    let said = if json { as_json(batch)? } else { format!("{} {done}{rest}", batch.done) };
    anyhow::ensure!(batch.done > 0 || !matches!(which, Which::Ids(_)), "{said}");
    Ok(said)
}

fn as_json<T: serde::Serialize>(value: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)?)
}

const REASONS_LEFT: &str =
    "their stream is disabled, they are old news of the stream itself, or they are dead letters no more";
/// One transaction holds up the fan-out for as long as it takes.
const AT_ONCE: u16 = 500;
