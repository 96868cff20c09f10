//! `stream list|status|verify`.

use clap::Subcommand;
use serde_json::json;
use ssf_common::event::StreamStatus;
use ssf_common::runtime::Env;
use ssf_transmitter::admin;
use ssf_transmitter::config::Settings;
use ssf_transmitter::control::Unsolicited;
use ssf_transmitter::issuer::Issuer;
use ssf_transmitter::stream::StreamKey;

use super::database::{Database, actor};
use super::say;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the streams of all receivers: status, what waits, what went wrong.
    List {
        /// As JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
    /// Sets a stream's status; its receiver is told by a stream-updated event before anything else.
    Status {
        /// The stream.
        #[arg(value_name = "STREAM_ID")]
        stream: StreamKey,
        /// enabled sends; paused holds until it is enabled or delivery.retention ends; disabled discards what waits.
        #[arg(value_name = "enabled|paused|disabled")]
        status: StreamStatus,
        /// Why; the receiver reads it.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Sends a verification event that the receiver did not ask for.
    Verify {
        /// The stream.
        #[arg(value_name = "STREAM_ID")]
        stream: StreamKey,
    },
}

/// Runs one of them.
pub(super) async fn run(settings: &Settings, at: Option<&str>, command: Command) -> anyhow::Result<()> {
    let env = Env::system();
    let database = Database::visit(settings).await?;
    let done = work(settings, at, &database, command, &env).await;
    database.close().await;
    say(&done?)
}

async fn work(
    settings: &Settings,
    at: Option<&str>,
    database: &Database,
    command: Command,
    env: &Env,
) -> anyhow::Result<String> {
    let issuer = database.issuer(settings, at, env).await?;
    match command {
        Command::List { json } => list(&issuer, database, json, env).await,
        Command::Status { stream, status, reason } => {
            let reason = reason.as_deref().filter(|reason| !reason.is_empty());
            let change =
                admin::set_stream_status(&database.pool, &issuer, stream, status, reason, &actor(), env).await?;
            if change.from == status {
                return Ok(format!("{stream} is {} as before; its reason was replaced", status.as_str()));
            }
            let discarded = if change.discarded > 0 {
                format!("; {} SETs were discarded", change.discarded)
            } else {
                String::new()
            };
            Ok(format!("{stream} was {} and is {} now{discarded}", change.from.as_str(), status.as_str()))
        }
        Command::Verify { stream } => match admin::verify_stream(&database.pool, &issuer, stream, &actor(), env).await?
        {
            Unsolicited::Recorded(event_id) => Ok(json!({ "event_id": event_id }).to_string()),
            Unsolicited::StillWaiting => Ok(format!("the last verification event of {stream} is not settled yet")),
            Unsolicited::NotEnabled(status) => {
                anyhow::bail!("{stream} is {}: nothing is sent on it until it is enabled", status.as_str())
            }
        },
    }
}

async fn list(issuer: &Issuer, database: &Database, as_json: bool, env: &Env) -> anyhow::Result<String> {
    let clients = admin::list_clients(&database.pool, issuer).await?;
    let streams = admin::list_streams(&database.pool, issuer).await?;
    if streams.is_empty() && !as_json {
        return Ok("there are no streams; receivers create them".to_owned());
    }
    let now = env.now();
    let lines = streams.iter().map(|listed| {
        let stream = &listed.stream;
        let client = clients.iter().find(|listed| listed.client.key == stream.client);
        let client = client.map_or("(removed)", |listed| listed.client.client_id.as_str());
        let method = stream.wanted.method.as_str();
        if as_json {
            return json!({
                "stream_id": stream.key, "client_id": client, "status": stream.status, "reason": stream.status_reason,
                "delivery_method": method, "endpoint_url": stream.wanted.endpoint_url,
                "events_delivered": stream.wanted.events_delivered, "created_at": stream.created_at,
                "waiting": listed.waiting, "oldest_decision": listed.oldest_decision, "failures": listed.failures,
                "trouble": listed.trouble, "last_success_at": listed.last_success_at, "dead_letters": listed.dead_letters,
            })
            .to_string();
        }
        let oldest =
            listed.oldest_decision.map_or(String::new(), |at| format!(" (oldest {} s)", now.since(at).as_secs()));
        let reason = stream.status_reason.as_ref().map_or(String::new(), |reason| format!("  ({})", printable(reason)));
        let trouble = listed
            .trouble
            .as_ref()
            .map_or(String::new(), |trouble| format!("  TROUBLE: {trouble}, {} times", listed.failures));
        format!(
            "{}  {client:<20} {:<8} {method:<4} waiting {}{oldest}  dead letters {}  {}{reason}{trouble}",
            stream.key,
            stream.status.as_str(),
            listed.waiting,
            listed.dead_letters,
            stream.wanted.endpoint_url.as_deref().unwrap_or("-"),
        )
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// A stranger's words, fit for a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
