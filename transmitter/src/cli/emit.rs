//! `emit`: one decision straight into the outbox; a running service sends it at once.

use clap::Args;
use serde_json::{Map, Value, json};
use ssf_common::runtime::Env;
use ssf_transmitter::config::Settings;
use ssf_transmitter::outbox::{Draft, record};

use super::database::{Begins, Database, on_database};

/// The decision.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ssf-transmitter emit session-revoked \\
      --subject '{\"format\":\"opaque\",\"id\":\"session-1\"}'
  ssf-transmitter emit revalidate \\
      --subject '{\"format\":\"iss_sub\",\"iss\":\"https://idp.example\",\"sub\":\"u1\"}'
  ssf-transmitter emit credential-change \\
      --subject '{\"format\":\"email\",\"email\":\"a@example.com\"}' \\
      --member credential_type=password --member change_type=update")]
pub(super) struct Emit {
    /// Short name (session-revoked, revalidate, account-disabled, …) or URI.
    event_type: String,
    /// The subject identifier, JSON (RFC 9493).
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    subject: Value,
    /// A member of the event; the value is JSON, or text if it is not. May be given several times.
    #[arg(long = "member", value_name = "NAME=VALUE", value_parser = member)]
    members: Vec<(String, Value)>,
    /// When it happened, RFC 3339; now if left out.
    #[arg(long, value_name = "TIME")]
    occurred_at: Option<String>,
    /// The cause, the same for all SETs of this event.
    #[arg(long)]
    txn: Option<String>,
    /// urgent, prompt or bulk, instead of the type's own.
    #[arg(long)]
    lane: Option<String>,
}

/// Records it and prints its ids.
pub(super) async fn run(settings: &Settings, at: Option<&str>, emit: Emit) -> anyhow::Result<()> {
    let env = Env::system();
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
        let mut draft = Map::new();
        draft.insert("type".into(), json!(self.event_type));
        draft.insert("subject".into(), self.subject.clone());
        for (name, text) in [("occurred_at", &self.occurred_at), ("txn", &self.txn), ("lane", &self.lane)] {
            if let Some(text) = text {
                draft.insert(name.into(), json!(text));
            }
        }
        draft.extend(self.members.iter().cloned());
        serde_json::from_value(Value::Object(draft))
            .map_err(|error| anyhow::anyhow!("the decision is not valid: {error}"))
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
