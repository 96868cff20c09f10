//! [`Receiver`]: all stages put together on one database. `main` runs it as a service; tests run it in their own process
//! and call its workers by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::{Connection as _, PgPool};
use ssf_common::runtime::http::{error_reply, with_hygiene};
use ssf_common::runtime::{Env, Shutdown, Wake, Worker, worker};
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;

use crate::api::{self, ApiState};
use crate::config::{Settings, SettingsError};
use crate::doors::{Admission, Poller, push};
use crate::inbox::Inbox;
use crate::proof::Terms;
use crate::session::Keyring;
use crate::upstream::link::SetUpError;
use crate::upstream::store::{self, NewUpstream};
use crate::upstream::{Digest, IssuerId, Keeper, Method, Upstream, UpstreamId};
use crate::validity::{DenialLog, Validity};

/// A receiver on one database. Nothing runs until [`spawn_workers`](Self::spawn_workers).
#[derive(Debug)]
pub struct Receiver {
    settings: Arc<Settings>,
    env: Env,
    pool: PgPool,
    keyring: Keyring,
    inbox: Inbox,
    links: BTreeMap<String, Link>,
    validity: Validity,
    stop: CancellationToken,
}

/// One upstream and who works for it.
#[derive(Clone, Debug)]
pub struct Link {
    /// What is shared.
    pub upstream: Arc<Upstream>,
    /// Keeps its stream.
    pub keeper: Arc<Keeper>,
    /// Fetches its SETs; `None` if they are pushed.
    pub poller: Option<Arc<Poller>>,
}

/// A receiver cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An upstream.
    #[error(transparent)]
    Upstream(#[from] SetUpError),
    /// The database did not do it.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

impl Receiver {
    /// A receiver with these settings on a database whose schema is up to date. Writes down the configured upstreams.
    /// Must be called inside a tokio runtime.
    pub async fn open(settings: Arc<Settings>, env: Env, pool: PgPool) -> Result<Self, OpenError> {
        let keyring = Keyring::new(&settings.subject_key(&*env.random)?);
        let inbox = Inbox::new(pool.clone(), env.clone(), keyring.clone());
        let validity = Validity::new(pool.clone(), env.clone());
        let (links, stop) = (BTreeMap::new(), CancellationToken::new());
        let mut receiver = Self { settings, env, pool, keyring, inbox, links, validity, stop };
        for name in receiver.settings.upstreams.keys() {
            let link = receiver.link(name).await?;
            receiver.links.insert(name.clone(), link);
        }
        Ok(receiver)
    }

    /// Everything it answers over HTTP.
    pub fn router(&self) -> Result<Router, OpenError> {
        let state = ApiState::new(self.pool.clone(), self.env.clone(), self.keyring.clone());
        let state = ApiState { validity: self.validity.clone(), ..state.on(Terms::from(&*self.settings)) };
        let (api, admin) = (api::router(state.clone()), api::admin::router(state));
        let (token, admin_token) = (self.settings.api_token()?, self.settings.admin_token()?);
        let admin = match (admin_token, &token) {
            (Some(token), _) => admin.layer(middleware::from_fn_with_state(Arc::new(token), bearer)),
            (None, Some(_)) => admin.layer(middleware::from_fn(closed)),
            (None, None) => admin,
        };
        let api = match token {
            None => api,
            Some(token) => api.layer(middleware::from_fn_with_state(Arc::new(token), bearer)),
        };
        let admissions = self.links.values().map(|link| self.admission(&link.upstream));
        let doors = push::PushDoors::new(admissions, self.env.clone()).router();
        let health = Router::new()
            .route("/health/live", get(|| async { Json(json!({"status": "live"})) }))
            .route("/health/ready", get(ready))
            .with_state(self.pool.clone());
        // The doors have a limit of their own.
        let api = api.merge(admin).layer(DefaultBodyLimit::max(self.settings.server.max_body_bytes));
        Ok(with_hygiene(api.merge(doors).merge(health), NO_LIMIT))
    }

    /// Runs the workers until the stop.
    pub fn spawn_workers(&self, shutdown: &Shutdown) {
        let (soft, stop) = (shutdown.soft().clone(), self.stop.clone());
        shutdown.spawn("poll stopper", async move {
            soft.cancelled().await;
            stop.cancel();
        });
        self.spawn(self.inbox.applied_log(), Wake::new(), WRITE_APPLIED, shutdown);
        self.spawn(Arc::new(self.denial_log()), Wake::new(), WRITE_DENIALS, shutdown);
        for link in self.links.values() {
            let (settings, news) = (&link.upstream.settings, link.upstream.news.clone());
            if settings.is_development() {
                tracing::warn!(
                    upstream.name = link.upstream.name,
                    issuer = %settings.issuer,
                    "this issuer is plain http on loopback: for development only, nothing on the way is protected"
                );
            }
            self.spawn(Arc::clone(&link.keeper), news.clone(), LOOK_AFTER, shutdown);
            if let Some(poller) = &link.poller {
                self.spawn(Arc::clone(poller), news, self.settings.poll.interval.duration(), shutdown);
            }
        }
    }

    /// After the stop: commits what is queued and writes down when the last commits were done.
    pub async fn close(&self) {
        self.inbox.close().await;
        if let Err(error) = self.inbox.applied_log().tick().await {
            tracing::warn!(%error, "the times of the last commits could not be written down");
        }
        if let Err(error) = self.denial_log().tick().await {
            tracing::warn!(%error, "when the last sessions were denied could not be written down");
        }
    }

    /// The upstreams, by our names for them.
    pub const fn links(&self) -> &BTreeMap<String, Link> {
        &self.links
    }

    /// The upstream of this name.
    pub fn upstream(&self, name: &str) -> Option<&Link> {
        self.links.get(name)
    }

    /// Where SETs are committed.
    pub const fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// What answers questions.
    pub const fn validity(&self) -> &Validity {
        &self.validity
    }

    /// Writes down what was allowed and then denied.
    pub fn denial_log(&self) -> DenialLog {
        let (witness, keep) = (Arc::clone(self.validity.witness()), self.settings.proof.keep.duration());
        DenialLog::new(self.pool.clone(), self.env.clone(), witness, keep)
    }

    /// Its database.
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Its settings.
    pub const fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    async fn link(&self, name: &str) -> Result<Link, OpenError> {
        let id = self.written_down(name).await?;
        let upstream = Arc::new(Upstream::new(name, id, &self.settings, self.pool.clone(), self.env.clone())?);
        upstream.read_held().await?;
        let keeper = Arc::new(Keeper::new(Arc::clone(&upstream)));
        let poller = (upstream.method() == Method::Poll).then(|| {
            let (settings, stop) = (self.settings.poll.clone(), self.stop.clone());
            Arc::new(Poller::new(self.admission(&upstream), settings, self.pool.clone(), self.env.clone(), stop))
        });
        Ok(Link { upstream, keeper, poller })
    }

    /// The row of an upstream. A new one on push has an authorization that nobody knows, until a stream is made.
    async fn written_down(&self, name: &str) -> Result<UpstreamId, OpenError> {
        let Some(settings) = self.settings.upstreams.get(name) else {
            unreachable!("names come from the keys of this very map")
        };
        let (now, random) = (self.env.now(), &*self.env.random);
        let mut db = self.pool.begin().await?;
        let issuer_id = store::ensure_issuer(&mut db, &settings.issuer, IssuerId::new(now, random), now).await?;
        let unknown = Digest::of(random.secret().as_bytes());
        let method = Method::from(settings.delivery);
        let new = NewUpstream {
            id: UpstreamId::new(now, random),
            name,
            issuer_id,
            method,
            push_authorization_hash: (method == Method::Push).then_some(unknown.as_bytes()),
        };
        let id = store::ensure(&mut db, &new, now).await?;
        db.commit().await?;
        Ok(id)
    }

    fn admission(&self, upstream: &Arc<Upstream>) -> Admission {
        Admission { upstream: Arc::clone(upstream), inbox: self.inbox.clone() }
    }

    fn spawn<W: Worker>(&self, worker: Arc<W>, wake: Wake, every: Duration, shutdown: &Shutdown) {
        let random = Arc::clone(&self.env.random);
        shutdown.spawn(W::NAME, worker::run(worker, wake, every, shutdown.clone(), random));
    }
}

/// Lets those in who show the token of the API (RFC 6750 §2.1).
async fn bearer(State(token): State<Arc<SecretString>>, request: Request, next: Next) -> Response {
    if is_shown(request.headers(), &token) {
        return next.run(request).await;
    }
    let text = "send the token of the API as `Authorization: Bearer …`";
    let mut reply = error_reply(StatusCode::UNAUTHORIZED, "invalid_token", text);
    reply.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    reply
}

/// The application's token is set and the operator's is not: nobody can be told from the application.
async fn closed(_request: Request, _next: Next) -> Response {
    error_reply(StatusCode::FORBIDDEN, "access_denied", "set admin.token to use the administration")
}

fn is_shown(headers: &HeaderMap, token: &SecretString) -> bool {
    let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    match shown.split_at_checked(BEARER.len()) {
        Some((scheme, shown)) if scheme.eq_ignore_ascii_case(BEARER) => {
            // Digests have the same length whatever the token's is.
            let (shown, expected) = (Digest::of(shown), Digest::of(token.expose_secret().as_bytes()));
            shown.as_bytes().ct_eq(expected.as_bytes()).into()
        }
        _ => false,
    }
}

/// 200 if the database answers.
async fn ready(State(pool): State<PgPool>) -> Response {
    match async { pool.acquire().await?.ping().await }.await {
        Ok(()) => Json(json!({"status": "ready"})).into_response(),
        Err(_) => error_reply(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "the database is away"),
    }
}

/// Every route has its own.
const NO_LIMIT: usize = usize::MAX;
const BEARER: &[u8] = b"Bearer ";
/// The keeper looks for something to do that often.
const LOOK_AFTER: Duration = Duration::from_secs(1);
const WRITE_APPLIED: Duration = Duration::from_millis(50);
const WRITE_DENIALS: Duration = Duration::from_secs(1);
