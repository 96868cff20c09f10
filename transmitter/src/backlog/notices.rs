//! Webhooks: whoever asked for it is told that an alarm was raised, and that it was cleared.

use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::json;
use sqlx::PgPool;
use ssf_common::backoff::Backoff;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use ssf_common::runtime::outgoing::{CallError, Client};
use ssf_common::runtime::webhook::{Secret, headers};
use ssf_common::runtime::worker::Worker;

use super::store::alarms::{self as store, Due};
use crate::outbox::Lane;

/// The worker that posts them. Each is tried for about an hour, with the same `webhook-id`; after that the alarm stands in
/// the log, the metrics and the admin API all the same.
#[derive(Debug)]
pub struct Notices {
    pool: PgPool,
    env: Env,
    to: Option<Hook>,
}

/// Where to, and how.
#[derive(Debug)]
struct Hook {
    client: Client,
    url: String,
    secret: Secret,
}

impl Notices {
    /// Posts to `url` over `client`, signed with `secret`; or to nobody.
    pub fn new(pool: PgPool, env: Env, to: Option<(Client, String, Secret)>) -> Self {
        Self { pool, env, to: to.map(|(client, url, secret)| Hook { client, url, secret }) }
    }

    async fn post(&self, hook: &Hook, due: &Due) -> Result<(), NotTaken> {
        let (now, body) = (self.env.now(), body(due));
        let id = format!("{}.{}", due.alarm, due.kind);
        let request = hook.client.request(Method::POST, &hook.url)?.header(CONTENT_TYPE, "application/json");
        let signed = headers(std::slice::from_ref(&hook.secret), &id, now, body.as_bytes());
        let request = signed.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let status = Client::send(request.body(body)).await?.status();
        if status.is_success() { Ok(()) } else { Err(NotTaken::Status(status.as_u16())) }
    }
}

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("it answered HTTP {0}")]
    Status(u16),
}

impl Worker for Notices {
    const NAME: &'static str = "alarm webhooks";
    type Error = sqlx::Error;

    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let Some(hook) = &self.to else { return Ok(0) };
        let now = self.env.now();
        let due = store::take_due(&mut *self.pool.acquire().await?, now, now.plus(HELD), AT_ONCE).await?;
        for one in &due {
            let posted = self.post(hook, one).await;
            let mut conn = self.pool.acquire().await?;
            let Err(error) = posted else {
                store::done(&mut conn, one.alarm, &one.kind).await?;
                continue;
            };
            let attempts = u32::try_from(one.attempts).unwrap_or(u32::MAX);
            if attempts >= MOST_ATTEMPTS {
                tracing::error!(alarm.id = %one.alarm, attempts, error = %error, "backlog.webhook_url did not take an alarm and is not told of it any more");
                store::done(&mut conn, one.alarm, &one.kind).await?;
            } else {
                tracing::warn!(alarm.id = %one.alarm, attempts, error = %error, "backlog.webhook_url did not take an alarm; it is told again");
                let due_at = self.env.now().plus(AGAIN.delay(attempts, &*self.env.random));
                store::put_off(&mut conn, one.alarm, &one.kind, due_at).await?;
            }
        }
        Ok(due.len())
    }
}

/// What is posted: figures and our own ids, nothing of whom a decision is about.
fn body(due: &Due) -> String {
    let is_over = due.cleared_at.filter(|_| due.kind == "cleared");
    let at: Timestamp = is_over.unwrap_or(due.raised_at);
    json!({
        "type": format!("backlog.alarm.{}", due.kind),
        "timestamp": at,
        "data": {
            "alarm_id": due.alarm,
            "stream_id": due.stream,
            "issuer": due.issuer_url,
            "lane": Lane::from_number(due.lane).as_str(),
            "cause": due.cause,
            "waiting": due.waiting,
            "oldest_decision": due.oldest_at,
            "predicted_ms": due.predicted_ms,
            "window_ms": due.window_ms,
            "raised_at": due.raised_at,
            "cleared_at": is_over,
        },
    })
    .to_string()
}

const AT_ONCE: i64 = 20;
/// Longer than an attempt takes.
const HELD: Duration = Duration::from_mins(5);
const AGAIN: Backoff = Backoff { first: Duration::from_secs(1), ceiling: Duration::from_mins(10) };
const MOST_ATTEMPTS: u32 = 15;
