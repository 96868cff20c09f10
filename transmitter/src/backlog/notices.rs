//! Webhooks: whoever asked for it is told that an alarm was raised, and that it was cleared.

use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use sqlx::PgPool;
use ssf_common::backoff::Backoff;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use ssf_common::runtime::outgoing::{CallError, Client};
use ssf_common::runtime::webhook::{Secret, headers};
use ssf_common::runtime::worker::Worker;

use super::PostId;
use super::store::alarms::{self as store, Due};
use crate::outbox::Lane;

/// The worker that posts them, many alarms in one post. Each is tried for about an hour, with the same `webhook-id`; after that the alarm stands in
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

    async fn post(&self, hook: &Hook, post: PostId, due: &[Due]) -> Result<(), NotTaken> {
        let (now, body) = (self.env.now(), body(due));
        let request = hook.client.request(Method::POST, &hook.url)?.header(CONTENT_TYPE, "application/json");
        let signed = headers(std::slice::from_ref(&hook.secret), &post.to_string(), now, body.as_bytes());
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
        let new = PostId::new(now, &*self.env.random);
        let due = store::take_due(&mut *self.pool.acquire().await?, new, now, now.plus(HELD), AT_ONCE).await?;
        let Some(Due { post, attempts, .. }) = due.first() else { return Ok(0) };
        let (post, attempts) = (*post, u32::try_from(*attempts).unwrap_or(u32::MAX));
        let posted = self.post(hook, post, &due).await;
        let mut conn = self.pool.acquire().await?;
        match posted {
            Ok(()) => store::done(&mut conn, post).await?,
            Err(error) if attempts >= MOST_ATTEMPTS => {
                tracing::error!(webhook.id = %post, alarms = due.len(), attempts, error = %error, "backlog.webhook_url did not take alarms and is not told of them any more");
                store::done(&mut conn, post).await?;
            }
            Err(error) => {
                tracing::warn!(webhook.id = %post, alarms = due.len(), attempts, error = %error, "backlog.webhook_url did not take alarms; it is told again");
                let due_at = self.env.now().plus(AGAIN.delay(attempts, &*self.env.random));
                store::put_off(&mut conn, post, due_at).await?;
            }
        }
        Ok(due.len())
    }
}

/// What is posted: figures and our own ids, nothing of whom a decision is about. The same alarms make the same text.
fn body(due: &[Due]) -> String {
    let kind = due.first().map_or("raised", |first| first.kind.as_str());
    let is_over = |one: &Due| one.cleared_at.filter(|_| kind == "cleared");
    let at: Option<Timestamp> = due.iter().map(|one| is_over(one).unwrap_or(one.raised_at)).max();
    let alarms: Vec<Value> = due
        .iter()
        .map(|one| {
            json!({
                "alarm_id": one.alarm,
                "stream_id": one.stream,
                "issuer": one.issuer_url,
                "lane": Lane::from_number(one.lane).as_str(),
                "cause": one.cause,
                "waiting": one.waiting,
                "oldest_decision": one.oldest_at,
                "predicted_ms": one.predicted_ms,
                "window_ms": one.window_ms,
                "raised_at": one.raised_at,
                "cleared_at": is_over(one),
            })
        })
        .collect();
    json!({"type": format!("backlog.alarms.{kind}"), "timestamp": at, "data": {"alarms": alarms}}).to_string()
}

/// Alarms in one post: when a service stands, every stream's lanes ring, and whoever is told must not be called for each.
const AT_ONCE: i64 = 100;
/// Longer than an attempt takes.
const HELD: Duration = Duration::from_mins(5);
const AGAIN: Backoff = Backoff { first: Duration::from_secs(1), ceiling: Duration::from_mins(10) };
const MOST_ATTEMPTS: u32 = 15;
