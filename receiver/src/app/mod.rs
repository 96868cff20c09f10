//! [`Receiver`]: all stages put together on one database. `main` runs it as a service; tests run it in their own process
//! and call its workers by hand.

mod guard;
mod roster;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
pub use roster::{Link, Roster};
use serde_json::json;
use sqlx::{Connection as _, PgPool};
use ssf_common::runtime::http::{error_reply, with_hygiene};
use ssf_common::runtime::{Env, Shutdown, Wake, Worker, postgres, worker};
use tokio_util::sync::CancellationToken;

use crate::api::{self, ApiState, authz};
use crate::config::{Settings, SettingsError};
use crate::effects::{Effects, EffectsError};
use crate::guard::{Challenge, Gateway, Local};
use crate::inbox::Inbox;
use crate::proof::Terms;
use crate::replica::{FollowChanges, FollowFeed, Plan, Replica, SignsOfLife};
use crate::session::{KeyCheckError, Keyring, key_check};
use crate::upkeep::{Kept, Upkeep};
use crate::upstream::Managed;
use crate::upstream::link::SetUpError;
use crate::upstream::managed::Sealing;
use crate::validity::{DenialLog, Point, Validity, Waits};

/// A receiver on one database. Nothing runs until [`spawn_workers`](Self::spawn_workers).
#[derive(Debug)]
pub struct Receiver {
    settings: Arc<Settings>,
    env: Env,
    pool: PgPool,
    keyring: Keyring,
    inbox: Inbox,
    managed: Managed,
    roster: Arc<Roster>,
    validity: Validity,
    effects: Effects,
    waits: Waits,
    /// Ends every wait for news.
    stop: CancellationToken,
}

/// A receiver cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Another secret made the keys in this database.
    #[error(transparent)]
    SubjectKey(#[from] KeyCheckError),
    /// An upstream.
    #[error(transparent)]
    Upstream(#[from] SetUpError),
    /// Effects.
    #[error(transparent)]
    Effects(#[from] EffectsError),
    /// The database did not do it.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

impl Receiver {
    /// A receiver with these settings on a database whose schema is up to date. Writes down the configured upstreams.
    /// Must be called inside a tokio runtime.
    pub async fn open(settings: Arc<Settings>, env: Env, pool: PgPool) -> Result<Self, OpenError> {
        let root = settings.subject_key(&*env.random)?;
        let keyring = Keyring::new(&root);
        key_check::check(&mut *pool.acquire().await?, &keyring).await?;
        let replica = Replica::open(pool.clone(), env.clone(), plan(&settings)).await?;
        let inbox = Inbox::new(pool.clone(), env.clone(), keyring.clone(), replica.clone())
            .knowing_for(settings.inbox.replay_horizon.duration());
        let managed = Managed::new(pool.clone(), env.clone(), Arc::clone(&settings), Sealing::new(&root));
        let roster = Roster::open(&settings, &env, &pool, &inbox, &managed).await?;
        let stop = CancellationToken::new();
        let effects = Effects::open(&settings, env.clone(), pool.clone(), stop.clone()).await?;
        // What is looked at for those who wait was told to nobody yet.
        let asked = Validity::new(replica.clone(), env.clone()).within(settings.staleness()).unwitnessed();
        let waits = Waits::new(asked, settings.watch.max_waiting, effects.bells().waited.clone(), stop.clone());
        let (roster, validity) = (Arc::new(roster), Validity::new(replica, env.clone()).within(settings.staleness()));
        Ok(Self { settings, env, pool, keyring, inbox, managed, roster, validity, effects, waits, stop })
    }

    /// Everything it answers over HTTP.
    pub fn router(&self) -> Result<Router, OpenError> {
        let (api, admin) = (self.api(), self.admin());
        let (token, admin_token) = (self.settings.api_token()?, self.settings.admin_token()?);
        let admin = match (admin_token, &token) {
            (Some(token), _) => admin.layer(middleware::from_fn_with_state(Arc::new(token), guard::bearer)),
            (None, Some(_)) => admin.layer(middleware::from_fn(guard::closed)),
            (None, None) => admin,
        };
        let api = match token {
            None => api,
            Some(token) => api.layer(middleware::from_fn_with_state(Arc::new(token), guard::bearer)),
        };
        let doors = self.roster.doors().clone().router();
        // The doors have a limit of their own.
        let api = api.merge(admin).layer(DefaultBodyLimit::max(self.settings.server.max_body_bytes));
        Ok(with_hygiene(api.merge(doors).merge(self.health()), NO_LIMIT))
    }

    /// What it answers on its unix socket, where the file's permissions are the credential.
    pub fn socket_router(&self) -> Router {
        let routes = if self.settings.server.socket_admin { self.api().merge(self.admin()) } else { self.api() };
        with_hygiene(routes.merge(self.health()), self.settings.server.max_body_bytes)
    }

    /// Answers in the same process, for a [`GuardLayer`](crate::guard::GuardLayer).
    pub fn local(&self) -> Local {
        Local::new(self.validity.clone(), self.keyring.clone(), self.env.clone())
    }

    /// All of `/v1`.
    fn api(&self) -> Router {
        let settings = &self.settings.authz;
        let door = authz::Door::new(
            Gateway::new(settings),
            self.local().at(Point(settings.enforcement_point.as_str().into())),
            Challenge::of_settings(settings),
        );
        api::router(self.api_state()).merge(authz::router(door))
    }

    /// All of `/admin`.
    fn admin(&self) -> Router {
        api::admin::router(self.api_state()).merge(api::admin::upstreams::router(self.managed.clone()))
    }

    fn health(&self) -> Router {
        Router::new()
            .route("/health/live", get(|| async { Json(json!({"status": "live"})) }))
            .route("/health/ready", get(ready))
            .with_state((self.pool.clone(), self.replica().clone()))
    }

    fn api_state(&self) -> ApiState {
        let validity = self.validity.clone();
        let state = ApiState::new(self.pool.clone(), self.env.clone(), self.keyring.clone(), validity);
        let longest_wait = self.settings.watch.longest_wait.duration();
        let state = state.on(Terms::from(&*self.settings));
        state.with_news(self.waits.clone(), longest_wait, self.effects.watching().clone())
    }

    /// Runs the workers until the stop, also those of upstreams that come later.
    pub fn spawn_workers(&self, shutdown: &Shutdown) {
        let (roster, random) = (Arc::clone(&self.roster), || Arc::clone(&self.env.random));
        let soft = shutdown.soft().clone();
        let stop = self.stop.clone();
        shutdown.spawn("stopper of those who wait", async move {
            soft.cancelled().await;
            roster.stop_polls();
            stop.cancel();
        });
        let bell = self.roster.bell().clone();
        let mut bells = self.effects.bells().by_channel();
        bells.push(("ssf_upstream".to_owned(), bell.clone()));
        bells.push(("ssf_cutoff".to_owned(), self.replica().bell().clone()));
        shutdown.spawn("listener", postgres::listen(self.pool.clone(), bells, shutdown.clone(), random()));
        let applied = worker::run(self.inbox.applied_log(), Wake::new(), WRITE_APPLIED, shutdown.clone(), random());
        shutdown.spawn(crate::inbox::AppliedLog::NAME, applied);
        let denials = worker::run(Arc::new(self.denial_log()), Wake::new(), WRITE_DENIALS, shutdown.clone(), random());
        shutdown.spawn(DenialLog::NAME, denials);
        let upkeep = worker::run(Arc::new(self.upkeep()), Wake::new(), CLEAN, shutdown.clone(), random());
        shutdown.spawn(Upkeep::NAME, upkeep);
        self.spawn_followers(shutdown);
        let (waits, waited) = (Arc::new(self.waits.clone()), self.effects.bells().waited.clone());
        let waits = worker::run(waits, waited, ASK_FOR_WAITING, shutdown.clone(), random());
        shutdown.spawn(Waits::NAME, waits);
        self.effects.spawn_workers(shutdown);
        self.roster.spawn(shutdown);
        let roster = worker::run(Arc::clone(&self.roster), bell, LOOK_AFTER, shutdown.clone(), random());
        shutdown.spawn(Roster::NAME, roster);
    }

    /// Those who keep the memory up to date.
    fn spawn_followers(&self, shutdown: &Shutdown) {
        let (replica, every) = (self.replica(), self.settings.replica.every.duration());
        let random = || Arc::clone(&self.env.random);
        let feed = Arc::new(FollowFeed(replica.clone()));
        let feed = worker::run(feed, replica.bell().clone(), every, shutdown.clone(), random());
        shutdown.spawn(FollowFeed::NAME, feed);
        let changes = Arc::new(FollowChanges(replica.clone()));
        shutdown.spawn(FollowChanges::NAME, worker::run(changes, Wake::new(), every, shutdown.clone(), random()));
        let signs = Arc::new(SignsOfLife(replica.clone()));
        shutdown.spawn(SignsOfLife::NAME, worker::run(signs, Wake::new(), SIGN_OF_LIFE, shutdown.clone(), random()));
    }

    /// After the stop: commits what is queued, writes down when the last commits were done, and lets other processes look
    /// after the upstreams.
    pub async fn close(&self) {
        self.inbox.close().await;
        self.effects.idle().await;
        if let Err(error) = self.inbox.applied_log().tick().await {
            tracing::warn!(%error, "the times of the last commits could not be written down");
        }
        if let Err(error) = self.denial_log().tick().await {
            tracing::warn!(%error, "when the last sessions were denied could not be written down");
        }
        if let Err(error) = self.roster.release().await {
            tracing::warn!(%error, "the upstreams could not be handed over; another process takes over in a few seconds");
        }
    }

    /// The upstreams, by our names for them.
    pub fn links(&self) -> BTreeMap<String, Link> {
        self.roster.links()
    }

    /// The upstream of this name.
    pub fn upstream(&self, name: &str) -> Option<Link> {
        self.roster.links().remove(name)
    }

    /// Who comes and goes.
    pub const fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// Makes, changes and removes upstreams.
    pub const fn managed(&self) -> &Managed {
        &self.managed
    }

    /// What is in memory.
    pub const fn replica(&self) -> &Replica {
        self.validity.replica()
    }

    /// Where SETs are committed.
    pub const fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// What answers questions.
    pub const fn validity(&self) -> &Validity {
        &self.validity
    }

    /// What tells the application.
    pub const fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Writes down what was allowed and then denied.
    pub fn denial_log(&self) -> DenialLog {
        let (witness, keep) = (Arc::clone(self.validity.witness()), self.settings.proof.keep.duration());
        DenialLog::new(self.pool.clone(), self.env.clone(), witness, keep)
    }

    /// Removes what can no longer matter.
    pub fn upkeep(&self) -> Upkeep {
        Upkeep::new(self.pool.clone(), self.env.clone(), Kept::from(&*self.settings))
    }

    /// Its database.
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Its settings.
    pub const fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }
}

fn plan(settings: &Settings) -> Plan {
    let replica = &settings.replica;
    Plan {
        name: replica.name(&settings.server.listen),
        sessions: replica.sessions,
        keep_seen: replica.keep_seen.duration(),
    }
}

/// 200 if the database answers and all cut-offs are in memory.
async fn ready(State((pool, replica)): State<(PgPool, Replica)>) -> Response {
    if !replica.memory().facts().is_whole {
        let text = "the cut-offs are being read";
        return error_reply(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", text);
    }
    match async { pool.acquire().await?.ping().await }.await {
        Ok(()) => Json(json!({"status": "ready"})).into_response(),
        Err(_) => error_reply(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "the database is away"),
    }
}

/// Every route has its own.
const NO_LIMIT: usize = usize::MAX;
/// Changes whose bell was not heard are noticed that often.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// A process that is killed forgets at most so much of what it told of itself.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
const WRITE_APPLIED: Duration = Duration::from_millis(50);
/// Who waits for a session's own end hears of it that late at most.
const ASK_FOR_WAITING: Duration = Duration::from_millis(500);
/// What is removed has been over for weeks; the partition of tomorrow has to be there today.
const CLEAN: Duration = Duration::from_hours(1);
const WRITE_DENIALS: Duration = Duration::from_secs(1);
