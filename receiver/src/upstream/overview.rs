//! [`Overview`]: an upstream as people see it, over HTTP and on the command line.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;

use super::managed::MASKED;
use super::{Held, State, store};
use crate::config::{Settings, UpstreamSettings};

/// What is known of one upstream, without secrets.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// Our name for it.
    pub name: String,
    /// Whose SETs it delivers.
    pub issuer: String,
    /// `push` or `poll`.
    pub delivery: String,
    /// Where it is configured: `settings` (the file), `managed` (made while running), or nowhere any more.
    pub source: Option<&'static str>,
    /// What it is at the moment.
    pub state: State,
    /// Since when, by our clock.
    pub since: Timestamp,
    /// What is wrong with it at present.
    pub trouble: Option<Trouble>,
    /// The stream.
    pub stream: Value,
    /// When the transmitter last answered a call or a poll, by our clock.
    pub last_contact_at: Option<Timestamp>,
    /// When the last SET arrived that was applied.
    pub last_set_at: Option<Timestamp>,
    /// When a good verification event last arrived.
    pub last_verified_at: Option<Timestamp>,
    /// Since when a verification that was granted has had no answer.
    pub unanswered_since: Option<Timestamp>,
    /// Until when some process has the right to look after it.
    pub held_until: Option<Timestamp>,
    /// Events may be lost since then, and still.
    pub losing: Option<Value>,
    /// How many of its decisions are withheld and wait for an operator.
    pub withheld: i64,
    /// The newest times in which events may have been lost, the newest first.
    pub gaps: Vec<Gap>,
    /// What is configured, secrets masked; null if it is nowhere.
    pub settings: Value,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// In words.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

/// A time in which events may have been lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Its begin.
    pub since: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// As `upstream_gap.cause`.
    pub cause: String,
}

/// What the database says.
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) withheld: i64,
    pub(super) delivery: String,
    pub(super) is_managed: bool,
    pub(super) last_set_at: Option<Timestamp>,
    pub(super) held_until: Option<Timestamp>,
    pub(super) updated_at: Timestamp,
    pub(super) trouble: Option<Trouble>,
    pub(super) gaps: Vec<Gap>,
    pub(super) held: Held,
}

/// All upstreams that there are, by name; with those that were, if asked for.
pub async fn all(
    pool: &PgPool,
    settings: &Settings,
    with_removed: bool,
    now: Timestamp,
) -> Result<Vec<Overview>, sqlx::Error> {
    let mut db = pool.acquire().await?;
    let seen = completed(&mut db, None, settings, now).await?;
    Ok(seen.into_iter().filter(|one| with_removed || one.state != State::Removed).collect())
}

/// The one of this name, also if it was removed.
pub async fn one(
    pool: &PgPool,
    name: &str,
    settings: &Settings,
    now: Timestamp,
) -> Result<Option<Overview>, sqlx::Error> {
    let mut db = pool.acquire().await?;
    Ok(completed(&mut db, Some(name), settings, now).await?.pop())
}

async fn completed(
    db: &mut PgConnection,
    name: Option<&str>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Vec<Overview>, sqlx::Error> {
    let managed = store::all(&mut *db).await?;
    let seen = store::overviews(db, name).await?;
    let of = |seen: Seen| {
        let configured = settings.upstreams.get(&seen.name);
        let row = managed.iter().find(|row| row.name == seen.name);
        let given = match (configured, row) {
            (Some(configured), _) => json!(configured),
            (None, Some(row)) => {
                let mut given = row.settings.clone();
                if row.sealed.is_some() {
                    given.insert("secrets".to_owned(), json!(MASKED));
                }
                Value::Object(given)
            }
            (None, None) => Value::Null,
        };
        let patience = patience(configured, &given);
        Overview::complete(seen, configured.is_some(), given, patience, now)
    };
    Ok(seen.into_iter().map(of).collect())
}

impl Overview {
    fn complete(seen: Seen, is_in_settings: bool, settings: Value, patience: Duration, now: Timestamp) -> Self {
        let held = seen.held;
        let source = if is_in_settings { Some("settings") } else { seen.is_managed.then_some("managed") };
        let state = if source.is_none() { State::Removed } else { State::of(&held, patience, now) };
        // A turn is told by whoever looks after the upstream, a moment later.
        let since = match state {
            State::Silent => held.unanswered(),
            state if state == held.told => held.told_since,
            _ => None,
        };
        let silence = held.unanswered().filter(|_| state == State::Silent);
        let silence = silence.map(|since| Trouble {
            text: "a verification event that was asked for has not come in time; the stream is looked after".to_owned(),
            since,
        });
        let losing = held.lost_since.zip(held.lost_cause.as_deref());
        Self {
            source,
            state,
            since: since.unwrap_or(seen.updated_at),
            trouble: seen.trouble.or(silence),
            stream: json!({
                "stream_id": held.stream_id, "status": held.status.map(StreamStatus::as_str), "reason": held.status_reason,
                "audiences": held.audiences, "events_delivered": held.events_delivered,
            }),
            last_contact_at: held.last_contact_at,
            last_set_at: seen.last_set_at,
            last_verified_at: held.last_verified_at,
            unanswered_since: held.unanswered(),
            held_until: seen.held_until,
            losing: losing.map(|(since, cause)| json!({"since": since, "cause": cause})),
            withheld: seen.withheld,
            gaps: seen.gaps,
            settings,
            name: seen.name,
            issuer: seen.issuer,
            delivery: seen.delivery,
        }
    }
}

/// How long a verification may take.
fn patience(configured: Option<&UpstreamSettings>, given: &Value) -> Duration {
    let of_managed = || given.get("verify_patience").and_then(Value::as_str)?.parse().ok();
    let span = configured.map(|configured| configured.verify_patience).or_else(of_managed);
    span.unwrap_or(UpstreamSettings::DEFAULT_PATIENCE).duration()
}
