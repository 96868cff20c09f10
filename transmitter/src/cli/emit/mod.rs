//! `emit`: decisions straight into the outbox; a running service sends them at once. One is given by arguments, many in a
//! file ([`file`]).

mod file;
mod progress;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};
use ssf_common::runtime::Env;
use ssf_transmitter::config::Settings;
use ssf_transmitter::outbox::{Draft, record};

use super::database::{Begins, Database, on_database};

/// The decision, or a file of them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ssf-transmitter emit session-revoked \\
      --subject '{\"format\":\"opaque\",\"id\":\"session-1\"}'
  ssf-transmitter emit revalidate \\
      --subject '{\"format\":\"iss_sub\",\"iss\":\"https://idp.example\",\"sub\":\"u1\"}'
  ssf-transmitter emit credential-change \\
      --subject '{\"format\":\"email\",\"email\":\"a@example.com\"}' \\
      --member credential_type=password --member change_type=update
  ssf-transmitter emit session-revoked --file users.ndjson --watch")]
pub(super) struct Emit {
    /// Short name (session-revoked, revalidate, account-disabled, …) or URI.
    #[arg(required_unless_present = "file")]
    event_type: Option<String>,
    /// The subject identifier, JSON (RFC 9493).
    #[arg(long, value_name = "JSON", value_parser = json_object, required_unless_present = "file", conflicts_with = "file")]
    subject: Option<Value>,
    /// Many decisions, one a line: each a subject identifier, or a whole event as POST /events takes it. Run again after an
    /// interruption, the same file with the same arguments sends nothing twice.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The type of the lines that name none; the same as EVENT_TYPE.
    #[arg(long = "type", value_name = "TYPE", requires = "file", conflicts_with = "event_type")]
    of_type: Option<String>,
    /// Sets this sending of a file apart from an earlier one, so that it is sent once more.
    #[arg(long, value_name = "TEXT", requires = "file")]
    label: Option<String>,
    /// Waits until everything of the file is settled at every receiver.
    #[arg(long, requires = "file")]
    watch: bool,
    /// A member of the event; the value is JSON, or text if it is not. May be given several times.
    #[arg(long = "member", value_name = "NAME=VALUE", value_parser = member)]
    members: Vec<(String, Value)>,
    /// When it happened, RFC 3339; now if left out.
    #[arg(long, value_name = "TIME")]
    occurred_at: Option<String>,
    /// The cause, the same for all SETs of this event, or of the whole file.
    #[arg(long)]
    txn: Option<String>,
    /// urgent, prompt or bulk, instead of the type's own.
    #[arg(long)]
    lane: Option<String>,
}

/// Records it and prints its ids.
pub(super) async fn run(settings: &Settings, at: Option<&str>, emit: Emit) -> anyhow::Result<()> {
    let env = Env::system();
    if let Some(path) = &emit.file {
        let orders = file::Orders { path, common: emit.common(), label: emit.label.as_deref(), watch: emit.watch };
        return on_database(settings, Begins::Never, async |database| {
            file::send(settings, at, database, &orders, &env).await
        })
        .await;
    }
    let draft = emit.draft()?;
    on_database(settings, Begins::Never, async |database| work(settings, at, database, draft, &env).await).await
}

async fn work(
    settings: &Settings,
    at: Option<&str>,
    database: &Database,
    draft: Draft,
    env: &Env,
) -> anyhow::Result<String> {
    let issuer = database.issuer(settings, at).await?;
    let event = draft.check(issuer.id, &settings.vocabulary(), env)?;
    let mut tx = database.pool.begin().await?;
    record(&mut tx, &event, env.now()).await?;
    tx.commit().await?;
    Ok(json!({"event_id": event.event_id, "txn": event.txn}).to_string())
}

impl Emit {
    fn draft(&self) -> anyhow::Result<Draft> {
        let mut draft = self.common();
        draft.extend(self.subject.clone().map(|subject| ("subject".to_owned(), subject)));
        serde_json::from_value(Value::Object(draft))
            .map_err(|error| anyhow::anyhow!("the decision is not valid: {error}"))
    }

    /// What the arguments say of every decision.
    fn common(&self) -> Map<String, Value> {
        let mut common = Map::new();
        let event_type = self.event_type.as_ref().or(self.of_type.as_ref());
        let named = [
            ("type", event_type),
            ("occurred_at", self.occurred_at.as_ref()),
            ("txn", self.txn.as_ref()),
            ("lane", self.lane.as_ref()),
        ];
        for (name, text) in named {
            common.extend(text.map(|text| (name.to_owned(), json!(text))));
        }
        common.extend(self.members.iter().cloned());
        common
    }
}

fn json_object(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|_| "is not JSON; quote it for the shell")?;
    if value.is_object() { Ok(value) } else { Err("must be a JSON object with a member \"format\"".into()) }
}

fn member(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
}
