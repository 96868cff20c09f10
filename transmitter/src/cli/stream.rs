//! `stream list`.

use clap::Subcommand;
use serde_json::json;
use ssf_common::runtime::Env;
use ssf_transmitter::admin;
use ssf_transmitter::config::Settings;

use super::database::Database;
use super::say;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the streams of all receivers: status, what waits, what went wrong.
    List {
        /// As JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
pub(super) async fn run(settings: &Settings, at: Option<&str>, Command::List { json }: Command) -> anyhow::Result<()> {
    let env = Env::system();
    let database = Database::visit(settings).await?;
    let done = work(settings, at, &database, json, &env).await;
    database.close().await;
    say(&done?)
}

async fn work(
    settings: &Settings,
    at: Option<&str>,
    database: &Database,
    as_json: bool,
    env: &Env,
) -> anyhow::Result<String> {
    let issuer = database.issuer(settings, at, env).await?;
    let clients = admin::list_clients(&database.pool, &issuer).await?;
    let streams = admin::list_streams(&database.pool, &issuer).await?;
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
                "stream_id": stream.key, "client_id": client, "status": stream.status, "delivery_method": method,
                "endpoint_url": stream.wanted.endpoint_url, "events_delivered": stream.wanted.events_delivered,
                "created_at": stream.created_at, "waiting": listed.waiting, "oldest_decision": listed.oldest_decision,
                "failures": listed.failures, "trouble": listed.trouble, "last_success_at": listed.last_success_at,
                "dead_letters": listed.dead_letters, "default_subjects": listed.default_subjects,
                "subjects": listed.subjects, "subjects_excluded": listed.subjects_excluded,
            })
            .to_string();
        }
        let oldest =
            listed.oldest_decision.map_or(String::new(), |at| format!(" (oldest {} s)", now.since(at).as_secs()));
        let trouble = listed
            .trouble
            .as_ref()
            .map_or(String::new(), |trouble| format!("  TROUBLE: {trouble}, {} times", listed.failures));
        format!(
            "{}  {client:<20} {:<8} {method:<4} waiting {}{oldest}  dead letters {}  {}{trouble}",
            stream.key,
            stream.status.as_str(),
            listed.waiting,
            listed.dead_letters,
            stream.wanted.endpoint_url.as_deref().unwrap_or("-"),
        )
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
