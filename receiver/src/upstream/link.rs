//! [`Upstream`]: what the service knows of one transmitter, shared by the keeper, the push endpoint and the poll loop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::id::KeyId;
use ssf_common::jwks::VerifyingKeys;
use ssf_common::protocol::{CreateStream, Delivery, Metadata};
use ssf_common::runtime::{Env, Wake};
use ssf_common::set::Policy;
use tokio::sync::Mutex;
use url::Url;

use super::client::Client;
use super::discover::{self, DiscoveryError};
use super::fetch::{self, EndpointError, FetchError, Http};
use super::keys::{Keys, KeysError};
use super::state::Entry;
use super::token::Tokens;
use super::{Held, Lease, Method, ProcessId, UpstreamId, store};
use crate::config::{Profile, Rules, Settings, SettingsError, UpstreamSettings};

/// One transmitter, as configured, as discovered, and as it stands in the database.
#[derive(Debug)]
pub struct Upstream {
    /// Its row.
    pub id: UpstreamId,
    /// Our name for it.
    pub name: String,
    /// What the operator wants of it.
    pub settings: UpstreamSettings,
    /// What is done with its decisions.
    pub rules: Rules,
    /// The management calls.
    pub client: Client,
    /// The right to look after it.
    pub lease: Arc<Lease>,
    /// Rung when the stream has changed, or somebody doubts that it is there.
    pub news: Wake,
    pub(super) keys: Keys,
    pub(super) pool: PgPool,
    pub(super) env: Env,
    pub(super) refresh: Duration,
    http: Http,
    push_endpoint: String,
    max_set_bytes: usize,
    cooldown: Duration,
    metadata: RwLock<Option<(Arc<Metadata>, Timestamp)>>,
    /// When a SET last made us look for the metadata.
    looked_at: Mutex<Option<Timestamp>>,
    held: RwLock<Arc<Held>>,
    policy: RwLock<Arc<Policy>>,
    is_doubted: AtomicBool,
    is_refused: AtomicBool,
}

/// What must be known of the transmitter to judge a SET cannot be had now: no reason to refuse the SET.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The metadata.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The metadata could not be had a moment ago.
    #[error("the transmitter's metadata could not be read a moment ago")]
    TooEarly,
    /// It publishes no keys.
    #[error("the transmitter does not announce a `jwks_uri`")]
    NoKeySet,
    /// The keys may not be fetched from there.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// An upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// Its settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The HTTP client.
    #[error("the HTTP client cannot be made")]
    Http(#[source] FetchError),
}

impl Upstream {
    /// The upstream `name` with these settings, whose row is `id`, as this process sees it.
    pub fn new(
        name: &str,
        id: UpstreamId,
        settings: UpstreamSettings,
        process: ProcessId,
        all: &Settings,
        pool: PgPool,
        env: Env,
    ) -> Result<Self, SetUpError> {
        let http = Http::new(all.requests.timeout.duration()).map_err(SetUpError::Http)?;
        let tokens = Tokens::new(&settings, settings.credential(name)?, http.clone(), env.clone());
        let cooldown = all.requests.keys_cooldown.duration();
        let news = Wake::new();
        let upstream = Self {
            id,
            name: name.to_owned(),
            rules: settings.rules(&all.policy),
            client: Client::new(http.clone(), tokens, settings.is_development()).of(settings.profile()),
            lease: Arc::new(Lease::new(id, process, pool.clone(), env.clone(), news.clone())),
            news,
            keys: Keys::new(http.clone(), env.clone(), cooldown),
            pool,
            env,
            refresh: all.requests.refresh.duration(),
            http,
            push_endpoint: all.push_endpoint(name),
            max_set_bytes: all.inbox.max_set_bytes,
            cooldown,
            metadata: RwLock::default(),
            looked_at: Mutex::default(),
            held: RwLock::default(),
            policy: RwLock::new(Arc::new(Policy::new(settings.issuer.clone(), Vec::new()))),
            is_doubted: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
            settings,
        };
        upstream.renew_policy();
        Ok(upstream)
    }

    /// How SETs reach us.
    pub fn method(&self) -> Method {
        self.settings.delivery.into()
    }

    /// What the database held when it was last read.
    pub fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a SET of this upstream must be like.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The keys as last read.
    pub fn keys(&self) -> Arc<VerifyingKeys> {
        self.keys.present()
    }

    /// The keys, read anew if `unknown` is not among them; at most once per cooldown.
    pub async fn look_for(&self, unknown: &KeyId) -> Result<Arc<VerifyingKeys>, LinkError> {
        let metadata = match self.metadata() {
            Some((metadata, _)) => metadata,
            None => self.look_for_metadata().await?,
        };
        Ok(self.keys.look_for(unknown, &self.key_set(&metadata)?).await?)
    }

    /// Reads what the database holds, so that all see it.
    pub async fn read_held(&self) -> Result<Arc<Held>, sqlx::Error> {
        let held = store::held(&mut *self.pool.acquire().await?, self.id).await?;
        Ok(self.keep(held))
    }

    /// Writes a line of its history.
    pub async fn tell(&self, line: Entry) -> Result<(), sqlx::Error> {
        store::record(&mut *self.pool.acquire().await?, self.id, &[line]).await
    }

    /// Shows all what was read.
    pub(super) fn keep(&self, held: Held) -> Arc<Held> {
        let held = Arc::new(held);
        let before =
            std::mem::replace(&mut *self.held.write().unwrap_or_else(PoisonError::into_inner), Arc::clone(&held));
        if before.authorizations != held.authorizations {
            self.is_refused.store(false, Ordering::Relaxed);
        }
        if before.audiences != held.audiences {
            self.renew_policy();
        }
        if before.stream_id != held.stream_id || before.poll_endpoint != held.poll_endpoint {
            self.news.wake();
        }
        held
    }

    /// The stream seems to be gone, or changed: the keeper shall look at once.
    pub fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Relaxed);
        self.news.wake();
    }

    /// A push was refused for its authorization: the keeper shall register a fresh one, unless it did so a moment ago.
    pub fn note_refused(&self) {
        if !self.is_refused.swap(true, Ordering::Relaxed) {
            self.news.wake();
        }
    }

    /// A push came with a good authorization: the transmitter holds it, whoever showed another one.
    pub fn note_authorized(&self) {
        self.is_refused.store(false, Ordering::Relaxed);
    }

    /// The stream we want.
    pub fn wanted(&self, authorization: Option<secrecy::SecretString>) -> CreateStream {
        let description = match self.settings.description.as_str() {
            "" => format!("ssf-receiver {}", self.name),
            given => given.to_owned(),
        };
        let delivery = match self.method() {
            Method::Push => Delivery::push(self.push_endpoint.clone(), authorization),
            Method::Poll => Delivery::poll(None),
        };
        CreateStream {
            events_requested: Some(self.settings.event_uris()),
            delivery: Some(match self.settings.profile() {
                Profile::Legacy => delivery.in_legacy_words(),
                Profile::Strict | Profile::Lenient => delivery,
            }),
            description: Some(description),
            aud: None,
            format: None,
        }
    }

    /// The metadata and when it was read, if it was.
    pub(crate) fn metadata(&self) -> Option<(Arc<Metadata>, Timestamp)> {
        self.metadata.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the metadata now.
    pub async fn discover(&self) -> Result<Arc<Metadata>, DiscoveryError> {
        let now = self.env.now();
        let metadata = Arc::new(discover::metadata(&self.http, &self.settings.issuer, self.settings.profile()).await?);
        *self.metadata.write().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(&metadata), now));
        self.renew_policy();
        Ok(metadata)
    }

    /// Reads the key set now.
    pub(super) async fn read_keys(&self, metadata: &Metadata) -> Result<(), LinkError> {
        Ok(self.keys.refresh(&self.key_set(metadata)?).await?)
    }

    /// Whether somebody doubts the stream; asking settles the doubt.
    pub(super) fn take_doubt(&self) -> bool {
        self.is_doubted.swap(false, Ordering::Relaxed)
    }

    /// Whether pushes are refused for their authorization.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    async fn look_for_metadata(&self) -> Result<Arc<Metadata>, LinkError> {
        let mut looked_at = self.looked_at.lock().await;
        if let Some((metadata, _)) = self.metadata() {
            return Ok(metadata);
        }
        let now = self.env.now();
        if looked_at.is_some_and(|at| now < at.plus(self.cooldown)) {
            return Err(LinkError::TooEarly);
        }
        *looked_at = Some(now);
        Ok(self.discover().await?)
    }

    fn key_set(&self, metadata: &Metadata) -> Result<Url, LinkError> {
        key_set_of(metadata, self.settings.is_development())
    }

    fn renew_policy(&self) {
        let audiences = match self.settings.audiences.as_slice() {
            [] => self.held().audiences.clone(),
            configured => configured.to_vec(),
        };
        let metadata = self.metadata().map(|(metadata, _)| metadata);
        let policy = policy_of(&self.settings, audiences, metadata.as_deref(), self.max_set_bytes);
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }
}

/// What a SET of this transmitter to these audiences must be like.
pub(crate) fn policy_of(
    settings: &UpstreamSettings,
    audiences: Vec<String>,
    metadata: Option<&Metadata>,
    max_bytes: usize,
) -> Policy {
    Policy {
        max_bytes,
        vocabulary: settings.vocabulary(),
        timeline_claim: settings.timeline_claim.clone(),
        critical_members: metadata.map(|known| known.critical_subject_members.clone()).unwrap_or_default(),
        shapes: settings.profile().shapes(),
        algorithms: settings.profile().algorithms(),
        every_session: Some(settings.every_session_id.clone()).filter(|id| !id.is_empty()),
        ..Policy::new(settings.issuer.clone(), audiences)
    }
}

/// Where the transmitter's keys are.
pub(crate) fn key_set_of(metadata: &Metadata, is_development: bool) -> Result<Url, LinkError> {
    let text = metadata.jwks_uri.as_deref().ok_or(LinkError::NoKeySet)?;
    Ok(fetch::endpoint(text, "jwks_uri", is_development)?)
}
