//! `stream list|algorithm|status|level|verify`.

use clap::Subcommand;
use serde_json::json;
use ssf_common::event::StreamStatus;
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::Env;
use ssf_common::runtime::config::Level;
use ssf_transmitter::admin::{self, AlgorithmChange, IssuerKeys, KeyRules, KeysError, MAX_PAGE};
use ssf_transmitter::config::Settings;
use ssf_transmitter::control::Unsolicited;
use ssf_transmitter::issuer::Issuer;
use ssf_transmitter::stream::StreamKey;

use super::database::{Begins, Database, actor, on_database, sealing_key};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the streams of all receivers: status, what waits, what went wrong.
    List {
        /// As JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
    /// Says how a stream is signed: at once if there is an active key of this algorithm, else when its first key has been
    /// published for keys.publish_ahead.
    Algorithm {
        /// Its id, as `stream list` shows it.
        stream_id: String,
        /// RS256, PS256, ES256 or EdDSA.
        algorithm: Algorithm,
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
    /// Says whose windows hold on a stream: the time within which its receiver must have acknowledged.
    Level {
        /// The stream.
        #[arg(value_name = "STREAM_ID")]
        stream: StreamKey,
        /// sl2, sl3, or default: as backlog.level says.
        #[arg(value_name = "sl2|sl3|default")]
        level: String,
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
    match command {
        Command::List { json } => list(&issuer, database, json, env).await,
        Command::Algorithm { stream_id, algorithm } => {
            set_algorithm(settings, at, database, &stream_id, algorithm, env).await
        }
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
        Command::Level { stream, level } => {
            let own = if level == "default" { None } else { Some(level.parse::<Level>()?) };
            admin::set_stream_level(&database.pool, &issuer, stream, own, &actor(), env).await?;
            Ok(format!("the windows of {} hold on {stream} now", own.unwrap_or(settings.backlog.level).as_str()))
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

async fn set_algorithm(
    settings: &Settings,
    at: Option<&str>,
    database: &Database,
    stream_id: &str,
    algorithm: Algorithm,
    env: &Env,
) -> anyhow::Result<String> {
    let issuer = database.issuer(settings, at).await?;
    let stream = StreamKey::of(&stream_id.into()).ok_or(KeysError::NoStream)?;
    let (sealing, actor, rules) = (sealing_key(settings, env)?, actor(), KeyRules::of(settings));
    let keys = IssuerKeys { pool: &database.pool, issuer: &issuer, rules, sealing: &sealing, actor: &actor, env };
    Ok(match keys.set_stream_algorithm(stream, algorithm).await? {
        AlgorithmChange::Now => format!("the stream is signed with {algorithm} from now on"),
        AlgorithmChange::Later { kid, at } => format!(
            "the stream is signed with {algorithm} from {at} on, when the key {kid} has been published for {}; until then as before",
            settings.keys.publish_ahead
        ),
    })
}

async fn list(issuer: &Issuer, database: &Database, as_json: bool, env: &Env) -> anyhow::Result<String> {
    let (mut streams, mut after) = (Vec::new(), None);
    loop {
        let page = admin::list_streams(&database.pool, issuer, after, MAX_PAGE, env).await?;
        after = page.items.last().map(|stream| stream.stream_id);
        streams.extend(page.items);
        if page.next.is_none() {
            break;
        }
    }
    if streams.is_empty() && !as_json {
        return Ok("there are no streams; receivers create them".to_owned());
    }
    let now = env.now();
    let lines = streams.iter().map(|stream| {
        let health = &stream.health;
        let client = if stream.client_removed { "(removed)" } else { &stream.client_id };
        let method = &stream.delivery_method;
        if as_json {
            return json!({
                "stream_id": stream.stream_id, "client_id": client, "status": stream.status, "reason": stream.reason, "delivery_method": method,
                "endpoint_url": stream.endpoint_url, "events_delivered": stream.events_delivered,
                "created_at": stream.created_at, "waiting": health.waiting.total,
                "oldest_decision": health.waiting.oldest_decision, "failures": health.breaker.failures,
                "trouble": health.last_error, "last_success_at": health.last_success_at,
                "last_odd_success_at": health.last_odd_success_at,
                "dead_letters": health.dead_letters, "default_subjects": stream.default_subjects,
                "subjects": stream.subjects, "subjects_excluded": stream.subjects_excluded,
                "algorithm": stream.algorithm, "algorithm_wanted": stream.algorithm_wanted,
            })
            .to_string();
        }
        let oldest = health.waiting.oldest_decision;
        let oldest = oldest.map_or(String::new(), |at| format!(" (oldest {} s)", now.since(at).as_secs()));
        let wanted = stream.algorithm_wanted.as_ref();
        let wanted = wanted.map_or(String::new(), |wanted| format!(" ({wanted} when its key signs)"));
        let trouble = health.last_error.as_ref();
        let trouble =
            trouble.map_or(String::new(), |trouble| format!("  TROUBLE: {trouble}, {} times", health.breaker.failures));
        let is_odd = health.last_odd_success_at.is_some() && health.last_odd_success_at >= health.last_success_at;
        let odd = if is_odd { "  answers 200 or 204 where RFC 8935 asks for 202" } else { "" };
        let reason = stream.reason.as_deref().filter(|_| stream.status != StreamStatus::Enabled);
        let reason = reason.map_or(String::new(), |reason| format!("  ({})", printable(reason)));
        format!(
            "{}  {client:<20} {:<8}{reason} {method:<4} {}{wanted}  waiting {}{oldest}  dead letters {}  {}{trouble}{odd}",
            stream.stream_id,
            stream.status.as_str(),
            stream.algorithm,
            health.waiting.total,
            health.dead_letters,
            stream.endpoint_url.as_deref().unwrap_or("-"),
        )
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// A stranger's words, fit for a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
