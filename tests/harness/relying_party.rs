//! One relying party on the road: its receiver as a real process, asked over its own API and, where something is being
//! measured, in its database.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use sqlx::PgConnection;
use ssf_common::clock::{Clock as _, SystemClock, Timestamp};

use crate::ScratchDatabase;
use crate::processes::{Process, json};
use crate::road::text;

/// One relying party's receiver.
#[derive(Debug)]
pub struct RelyingParty {
    /// `rp-push` or so.
    pub name: String,
    /// `push` or `poll`.
    pub method: &'static str,
    /// Its process.
    pub process: Process,
    /// Its database.
    pub database: ScratchDatabase,
}

impl RelyingParty {
    /// How many decisions it has applied, straight from its database: cheap enough to ask again and again while
    /// something is measured.
    pub async fn applied(&self, connection: &mut PgConnection) -> anyhow::Result<usize> {
        let count = "select count(*) from ssf_receiver.received_set where effect not in ('verified', 'stream_status')";
        let count: i64 = sqlx::query_scalar(count).fetch_one(connection).await?;
        Ok(usize::try_from(count)?)
    }

    /// Registers a session.
    pub async fn register(&self, http: &reqwest::Client, sid: &str, description: &Value) -> anyhow::Result<()> {
        json(http.put(format!("{}/v1/sessions/{sid}", self.process.base)).json(description)).await.map(drop)
    }

    /// The states of these sessions, by one batch of checks.
    pub async fn states(&self, http: &reqwest::Client, sids: &[String]) -> anyhow::Result<Vec<String>> {
        let checks: Vec<Value> = sids.iter().map(|sid| json!({ "sid": sid })).collect();
        self.states_of(http, &checks).await
    }

    /// Tells the receiver of a new assertion for a session; returns its state after it.
    pub async fn revalidated(&self, http: &reqwest::Client, sid: &str, validated: f64) -> anyhow::Result<String> {
        let url = format!("{}/v1/sessions/{sid}/revalidated", self.process.base);
        text(&json(http.post(url).json(&json!({ "validated": validated }))).await?, "state")
    }

    /// The states of sessions that are only described, not registered: as of now, everything committed before the call is
    /// taken into account.
    pub async fn states_of(&self, http: &reqwest::Client, descriptions: &[Value]) -> anyhow::Result<Vec<String>> {
        let mut states = Vec::new();
        for chunk in descriptions.chunks(500) {
            let url = format!("{}/v1/check/batch", self.process.base);
            let asked_at = SystemClock.now();
            let answer = loop {
                let answer = json(http.post(&url).json(&json!({ "checks": chunk }))).await?;
                let as_of: Timestamp = text(&answer, "as_of")?.parse()?;
                if as_of >= asked_at || SystemClock.now().since(asked_at) > PATIENCE {
                    break answer;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            };
            for result in answer["results"].as_array().context("an answer without results")? {
                states.push(text(result, "state")?);
            }
        }
        Ok(states)
    }

    /// The latency report since a time (RFC 3339).
    pub async fn latency(&self, http: &reqwest::Client, since: &str) -> anyhow::Result<Value> {
        json(http.get(format!("{}/v1/latency?since={since}", self.process.base))).await
    }

    /// How many SETs of a type it has received; of all types but the control events for `""`.
    pub async fn received(&self, http: &reqwest::Client, event_type: &str) -> anyhow::Result<i64> {
        let report = self.latency(http, "2000-01-01T00:00:00Z").await?;
        let rows = report["rows"].as_array().context("a report without rows")?;
        let wanted = |row: &&Value| row["event_type"].as_str().unwrap_or_default() == event_type;
        Ok(rows.iter().filter(wanted).filter_map(|row| row["received"].as_i64()).sum())
    }
}

/// A process that is well looks at its database several times a second.
const PATIENCE: Duration = Duration::from_secs(10);
