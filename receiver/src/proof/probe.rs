//! [`Probe`]: a session that exists only to be revoked, on a schedule, timed from outside. One worker per upstream.
//!
//! Everything goes the way of an application: the session is registered and asked for over the service's own address, and
//! its issuer is asked to revoke it over HTTP. All times are ours: from just before the issuer was asked (the decision was
//! not earlier) to the first check that said no.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::runtime::telemetry::chain;
use ssf_common::runtime::{Env, Worker};
use tokio::sync::Mutex;

use super::report::Terms;
use super::store::{self, Probed};
use crate::config::{BindingClass, Level, ProbeSettings, Settings};
use crate::session::Sid;
use crate::upstream::link::SetUpError;
use crate::upstream::token::Tokens;
use crate::upstream::{Http, Upstream};

/// The worker of one upstream.
#[derive(Debug)]
pub struct Probe {
    upstream: Arc<Upstream>,
    pool: PgPool,
    env: Env,
    every: Duration,
    keep: Duration,
    window: Duration,
    level: Level,
    revoke_at: String,
    tokens: Tokens,
    local: String,
    api_token: Option<SecretString>,
    http: reqwest::Client,
    running: Mutex<Option<Running>>,
}

/// A probe that waits for its no.
#[derive(Clone, Debug)]
struct Running {
    sid: String,
    started_at: Timestamp,
    last_allowed_at: Option<Timestamp>,
    /// When it was last looked at.
    looked_at: Timestamp,
}

/// Why a probe could not be made, safe to show.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("this service did not answer over its own address")]
    Local(#[source] reqwest::Error),
    #[error("this service answered {0} to {1}")]
    LocalStatus(reqwest::StatusCode, &'static str),
    #[error("the issuer cannot be asked: no token")]
    Token(#[source] crate::upstream::token::TokenError),
    #[error("the issuer did not answer")]
    Issuer(#[source] reqwest::Error),
    #[error("the issuer answered {0}; the credential of the probe needs the scope ssf.emit")]
    IssuerStatus(reqwest::StatusCode),
    #[error("nobody looked for a while: this process stood still, or another one looks after the upstream")]
    Interrupted,
}

impl Probe {
    /// Of this upstream, if its settings have it probed.
    pub fn of(
        upstream: &Arc<Upstream>,
        settings: &Settings,
        pool: PgPool,
        env: Env,
    ) -> Result<Option<Self>, SetUpError> {
        let Some(probe): Option<&ProbeSettings> = upstream.settings.probe.as_ref() else { return Ok(None) };
        let of = &upstream.settings;
        let http = Http::new(settings.requests.timeout.duration()).map_err(SetUpError::Http)?;
        let tokens = Tokens::new(&probe.producer(of), probe.credential(&upstream.name, of)?, http, env.clone());
        let outside = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let outside = outside.timeout(settings.requests.timeout.duration()).build();
        Ok(Some(Self {
            upstream: Arc::clone(upstream),
            pool,
            env,
            every: probe.every.duration(),
            keep: settings.proof.keep.duration(),
            window: Terms::from(settings).windows.window(of.level, BindingClass::Bearer),
            level: of.level,
            revoke_at: probe.url(of),
            tokens,
            local: settings.local_url(),
            api_token: settings.api_token()?,
            http: outside.unwrap_or_default(),
            running: Mutex::default(),
        }))
    }

    /// Registers the session and has it revoked.
    async fn begin(&self) -> Result<Running, (Timestamp, Fault)> {
        let secret = self.env.random.secret();
        let sid = format!("{}{secret}", Sid::PROBE);
        let subject = json!({"format": "opaque", "id": sid});
        let now = self.env.now();
        // long ago: whatever the issuer's clock says, the decision is later
        let origin = now.minus(A_DAY).unix_seconds();
        let session = json!({"issuer": self.upstream.settings.issuer, "subject": subject, "origin": origin});
        let begun = async {
            let registered = self.local(reqwest::Method::PUT, &sid).json(&session);
            let answer = registered.send().await.map_err(|e| Fault::Local(e.without_url()))?;
            if !answer.status().is_success() {
                return Err(Fault::LocalStatus(answer.status(), "the registration of the probe's session"));
            }
            let token = self.tokens.current().await.map_err(Fault::Token)?;
            let started_at = self.env.now();
            let event = json!({"type": "session-revoked", "subject": subject});
            let asked = self.http.post(&self.revoke_at).bearer_auth(token.expose_secret()).json(&event);
            let answer = asked.send().await.map_err(|e| Fault::Issuer(e.without_url()))?;
            if !answer.status().is_success() {
                return Err(Fault::IssuerStatus(answer.status()));
            }
            Ok(Running { sid: sid.clone(), started_at, last_allowed_at: None, looked_at: self.env.now() })
        };
        match begun.await {
            Ok(running) => Ok(running),
            Err(fault) => {
                self.forget(&sid).await;
                Err((now, fault))
            }
        }
    }

    /// Asks for the session for a while; done when it was denied, or the window has passed.
    async fn watch(&self, running: &mut Running) -> Result<Option<Probed>, Fault> {
        for _ in 0..CHECKS_PER_TICK {
            let answer = self
                .local(reqwest::Method::GET, &running.sid)
                .send()
                .await
                .map_err(|e| Fault::Local(e.without_url()))?;
            let (status, now) = (answer.status(), self.env.now());
            // whatever is said now, it would be told as if it had been so only now
            if now.since(std::mem::replace(&mut running.looked_at, now)) > LONGEST_BLINK {
                return Err(Fault::Interrupted);
            }
            let body: Value = answer.json().await.unwrap_or_default();
            let passed = now.since(running.started_at);
            match body["state"].as_str() {
                Some("active") => running.last_allowed_at = Some(now),
                Some("revoked") => return Ok(Some(self.probed(running, Some(now), passed))),
                // out of touch, for instance: a no, and not by the decision that is timed
                Some(_) => {}
                None if passed <= self.window => tracing::debug!(%status, "a check of a probe is not answered"),
                None => return Err(Fault::LocalStatus(status, "a check of the probe's session")),
            }
            if passed > self.window {
                return Ok(Some(self.probed(running, None, passed)));
            }
            tokio::time::sleep(BETWEEN_CHECKS).await;
        }
        Ok(None)
    }

    fn probed(&self, running: &Running, denied_at: Option<Timestamp>, passed: Duration) -> Probed {
        let is_late = passed > self.window;
        Probed {
            level: self.level,
            started_at: running.started_at,
            last_allowed_at: running.last_allowed_at,
            denied_at,
            outcome: if is_late { "late" } else { "denied" },
            fault: None,
        }
    }

    /// Writes the end of a probe down, and says so aloud if it is not a good one.
    async fn end(&self, sid: Option<&str>, probed: Probed) -> Result<(), sqlx::Error> {
        let name = &self.upstream.name;
        match (probed.outcome, &probed.fault) {
            ("late", _) => {
                tracing::error!(
                    upstream.name = name,
                    window.s = self.window.as_secs(),
                    "a probe was not denied within the window"
                );
            }
            (_, Some(fault)) => tracing::warn!(upstream.name = name, fault, "a probe could not be made"),
            _ => {}
        }
        if let Some(sid) = sid {
            self.forget(sid).await;
        }
        let mut db = self.pool.acquire().await?;
        store::note_probe(&mut db, self.upstream.id, &probed).await?;
        store::remove_probes(&mut db, self.upstream.id, self.env.now().minus(self.keep)).await
    }

    /// The session is of no use any more.
    async fn forget(&self, sid: &str) {
        if let Err(error) = self.local(reqwest::Method::DELETE, sid).send().await {
            tracing::debug!(error = %chain(&error.without_url()), "the session of a probe is left behind");
        }
    }

    fn failed(&self, started_at: Timestamp, fault: &Fault) -> Probed {
        let fault = Some(chain(fault).chars().take(1_000).collect());
        Probed { level: self.level, started_at, last_allowed_at: None, denied_at: None, outcome: "failed", fault }
    }

    fn local(&self, verb: reqwest::Method, sid: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(verb, format!("{}/v1/sessions/{sid}", self.local));
        match &self.api_token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }
}

impl Worker for Probe {
    const NAME: &'static str = "probe";
    type Error = sqlx::Error;

    /// Begins a probe if one is due and the stream is there; goes on with the one that runs.
    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let is_ours = self.upstream.lease.hold().await?;
        let mut slot = self.running.lock().await;
        let Some(mut running) = slot.clone() else {
            if !is_ours {
                return Ok(0);
            }
            let due = {
                let mut db = self.pool.acquire().await?;
                store::last_probe(&mut db, self.upstream.id)
                    .await?
                    .is_none_or(|at| at.plus(self.every) <= self.env.now())
            };
            if !due || self.upstream.held().status != Some(StreamStatus::Enabled) {
                return Ok(0);
            }
            match self.begin().await {
                Ok(running) => *slot = Some(running),
                Err((at, fault)) => self.end(None, self.failed(at, &fault)).await?,
            }
            return Ok(1);
        };
        if !is_ours {
            *slot = None;
            self.end(Some(&running.sid), self.failed(running.started_at, &Fault::Interrupted)).await?;
            return Ok(0);
        }
        let done = match self.watch(&mut running).await {
            Ok(None) => {
                *slot = Some(running);
                return Ok(1);
            }
            Ok(Some(probed)) => probed,
            Err(fault) => self.failed(running.started_at, &fault),
        };
        self.end(Some(&running.sid), done).await?;
        *slot = None;
        Ok(1)
    }
}

const A_DAY: Duration = Duration::from_hours(24);
const BETWEEN_CHECKS: Duration = Duration::from_millis(10);
/// What happened while nobody looked for so long has no time.
const LONGEST_BLINK: Duration = Duration::from_secs(2);
/// A stop shall not wait long.
const CHECKS_PER_TICK: usize = 100;
