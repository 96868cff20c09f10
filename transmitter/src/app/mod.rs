//! The transmitter put together: from settings and a pool to a router and the workers behind it.

mod authorization;
mod backlog;
mod embedding;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgPool};
use ssf_common::event::{EventType, Vocabulary};
use ssf_common::runtime::Env;
use ssf_common::runtime::config::SecretError;
use ssf_common::runtime::http::{Admission, ProxiesError};
use ssf_common::runtime::outgoing::{AllowedError, Outgoing, OutgoingError};
use ssf_common::runtime::postgres::listen;
use ssf_common::runtime::shutdown::Shutdown;
use ssf_common::runtime::webhook;
use ssf_common::runtime::worker::{Wake, Worker, run};
use tokio_util::sync::CancellationToken;

pub use self::embedding::{Decision, RecordingError, StartError};
use crate::api::{ApiState, Document, Readiness, Traffic, is_health, router};
use crate::audit::Actor;
use crate::authorization::FetchError;
use crate::backlog::{Notices, Promise, Watch};
use crate::config::Settings;
use crate::control::{Heartbeat, Inactivity};
use crate::delivery::{
    Bell, FanOut, Maintenance, Polling, Push, PushLimits, Sender, SenderError, Settler, SigningDesk, Waiting,
};
use crate::issuer::{Defaults, Issuer};
use crate::keys::{KeyRingError, Rotation, Rotator, SealingKey, ensure_active};
use crate::outbox::{Lane, Recorder};
use crate::stream::subjects::Subjects;
use crate::tenant::Tenants;

/// The schema's migrations.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations/transmitter");

/// A transmitter on one database. Any number of processes may open the same one: they coordinate through PostgreSQL
/// only. Workers do nothing until [`spawn_workers`](Self::spawn_workers) runs them or a test ticks them.
pub struct Transmitter {
    /// The issuer of the configuration; others may be served beside it.
    pub issuer: Issuer,
    /// All issuers served.
    pub tenants: Tenants,
    /// Makes deliveries.
    pub fan_out: Arc<FanOut>,
    /// Sends them.
    pub push: Arc<Push>,
    /// Keeps house.
    pub maintenance: Arc<Maintenance>,
    /// Lets keys follow each other.
    pub rotator: Arc<Rotator>,
    /// Pauses streams whose receiver shows no sign of life.
    pub inactivity: Arc<Inactivity>,
    /// Sends verification events nobody asked for.
    pub heartbeat: Arc<Heartbeat>,
    /// Watches what waits.
    pub watch: Arc<Watch>,
    /// Tells of alarms.
    pub notices: Arc<Notices>,
    state: ApiState,
    settler: Settler,
    bells: Bells,
    admission: Admission,
    max_body_bytes: usize,
    schema: String,
}

#[derive(Default)]
struct Bells {
    tenants: Wake,
    rotator: Wake,
    fan_out: Wake,
    push: Wake,
    polls: Bell,
    notices: Wake,
}

impl Transmitter {
    /// Opens the transmitter: the issuer's row, its names and keys are made where they are missing. The schema must have
    /// been migrated. Must be called inside a tokio runtime.
    pub async fn open(settings: &Settings, sealing: SealingKey, env: Env, pool: PgPool) -> Result<Self, OpenError> {
        let outgoing = settings.outgoing(settings.endpoint_guard()?)?;
        Self::open_calling(settings, sealing, env, pool, &outgoing).await
    }

    /// The same with clients built from `outgoing`, whose guard also says which push endpoints are taken.
    pub async fn open_calling(
        settings: &Settings,
        sealing: SealingKey,
        env: Env,
        pool: PgPool,
        outgoing: &Outgoing,
    ) -> Result<Self, OpenError> {
        let vocabulary = Arc::new(settings.vocabulary());
        vocabulary.check()?;
        let configured = defaults(settings);
        let issuer = first_rows(settings, configured, &vocabulary, &sealing, &env, &pool).await?;
        let (primary, clock) = (settings.issuer.url.clone(), Arc::clone(&env.clock));
        let tenants = Tenants::open(pool.clone(), sealing.clone(), configured, primary, clock).await?;

        let bells = Bells::default();
        let claim = settings.timeline_claim().map(ToOwned::to_owned);
        let desk = SigningDesk::new(tenants.clone(), sealing.clone(), Arc::clone(&vocabulary), claim);
        let settler = Settler::new(pool.clone(), env.clone(), settings.push_backoff());
        let idle = usize::try_from(settings.push.max_window).unwrap_or(usize::MAX);
        let sender = Sender::new(outgoing, settings.push.timeout.duration(), idle)?;
        let push = Push::new(
            pool.clone(),
            env.clone(),
            desk.clone(),
            sender,
            settler.clone(),
            push_limits(settings),
            bells.push.clone(),
        );
        let subjects =
            Subjects::new(sealing.clone(), settings.streams.max_subjects, settings.streams.removal_grace.duration());
        let fan_out = FanOut::new(
            pool.clone(),
            env.clone(),
            Arc::clone(&vocabulary),
            subjects.clone(),
            bells.push.clone(),
            bells.polls.clone(),
        );
        let (retention, history) = (settings.delivery.retention.duration(), settings.delivery.history.duration());
        let maintenance = Maintenance::new(pool.clone(), env.clone(), retention, history);
        maintenance.tick().await?;
        let rotation = Rotation::from(&settings.keys);
        let rotator =
            Rotator::new(pool.clone(), env.clone(), sealing.clone(), configured, rotation, bells.tenants.clone());
        let inactivity = Inactivity::new(pool.clone(), env.clone(), bells.push.clone());
        let verify_every = settings.streams.verify_every.duration();
        let heartbeat = Heartbeat::new(pool.clone(), env.clone(), verify_every, bells.fan_out.clone());
        let (watch, notices) = backlog::prepare(settings, &pool, &env, &bells.notices).await?;
        let polling = polling(settings, &pool, &env, desk, &bells);
        let recorder =
            Recorder::new(pool.clone(), Arc::clone(&env.clock), bells.fan_out.clone(), settings.intake.max_waiting);
        let (outside, assertions) = authorization::prepare(settings, outgoing, &env)?;
        let state = ApiState {
            pool,
            readiness: Readiness::default(),
            env,
            tenants: tenants.clone(),
            timeline_claim: settings.timeline_claim().map(ToOwned::to_owned),
            events: offered(&vocabulary),
            critical_subject_members: settings.issuer.critical_subject_members.as_slice().into(),
            subjects,
            endpoints: outgoing.guard().clone(),
            is_development: settings.is_development(),
            vocabulary,
            key_rules: crate::admin::KeyRules::of(settings),
            sealing,
            token_endpoint: settings.tokens.enabled,
            public_clients: settings.tokens.allow_public_clients,
            assertions,
            outside,
            token_lifetime: settings.tokens.lifetime.duration(),
            recorder: Arc::new(recorder),
            fan_out: bells.fan_out.clone(),
            push: bells.push.clone(),
            polling,
            document: Document::default(),
            waiting: Waiting::new(settings.poll.max_waiting),
            traffic: Traffic::new(settings.proxies()?, &settings.limits),
            max_batch: settings.intake.max_batch,
            promise: Promise::of(settings),
            watch: Arc::clone(&watch),
            named_streams: settings.backlog.named_streams,
            stopping: CancellationToken::new(),
        };
        let max_body_bytes = settings.server.max_body_bytes;
        Ok(Self {
            issuer,
            tenants,
            fan_out: Arc::new(fan_out),
            push: Arc::new(push),
            maintenance: Arc::new(maintenance),
            rotator: Arc::new(rotator),
            inactivity: Arc::new(inactivity),
            heartbeat: Arc::new(heartbeat),
            watch,
            notices,
            state,
            settler,
            bells,
            admission: Admission::new(settings.admission_limits(), is_health),
            max_body_bytes,
            schema: settings.database.schema.clone(),
        })
    }

    /// Every route of every issuer, to be served, or put into an IdP's own router: as the fallback of the whole, for issuers
    /// at the root and the documents under `/.well-known`, or nested below the issuer's path with those documents beside it:
    ///
    /// ```text
    /// Router::new().route("/login", …).fallback_service(transmitter.router())
    /// Router::new().nest("/ssf", transmitter.router()).nest("/.well-known", transmitter.router())
    /// ```
    pub fn router(&self) -> Router {
        router(self.state.clone(), self.admission.clone(), self.max_body_bytes)
    }

    /// Runs the workers until the stop, and listens for what other processes and `ssf_emit` record.
    pub fn spawn_workers(&self, shutdown: &Shutdown) {
        let random = || Arc::clone(&self.state.env.random);
        let stopping = self.state.stopping.clone();
        let soft = shutdown.soft().clone();
        shutdown.spawn("stop of long polls", async move {
            soft.cancelled().await;
            stopping.cancel();
        });
        let fan_out =
            run(Arc::clone(&self.fan_out), self.bells.fan_out.clone(), SAFETY_NET, shutdown.clone(), random());
        shutdown.spawn(FanOut::NAME, fan_out);
        let push = run(Arc::clone(&self.push), self.bells.push.clone(), SAFETY_NET, shutdown.clone(), random());
        let (finishing, settler, recorder) =
            (Arc::clone(&self.push), self.settler.clone(), Arc::clone(&self.state.recorder));
        shutdown.spawn(Push::NAME, async move {
            push.await;
            // what is on the wire is finished, and its outcome kept, before the process ends
            finishing.finish().await;
            settler.close().await;
            recorder.close().await;
        });
        let maintenance = run(Arc::clone(&self.maintenance), Wake::new(), UPKEEP, shutdown.clone(), random());
        shutdown.spawn(Maintenance::NAME, maintenance);
        let rotator = run(Arc::clone(&self.rotator), self.bells.rotator.clone(), UPKEEP, shutdown.clone(), random());
        shutdown.spawn(Rotator::NAME, rotator);
        let inactivity = run(Arc::clone(&self.inactivity), Wake::new(), STREAMS_ANEW, shutdown.clone(), random());
        shutdown.spawn(Inactivity::NAME, inactivity);
        let heartbeat = run(Arc::clone(&self.heartbeat), Wake::new(), STREAMS_ANEW, shutdown.clone(), random());
        shutdown.spawn(Heartbeat::NAME, heartbeat);
        let watch = run(Arc::clone(&self.watch), Wake::new(), SAFETY_NET, shutdown.clone(), random());
        shutdown.spawn(Watch::NAME, watch);
        let notices =
            run(Arc::clone(&self.notices), self.bells.notices.clone(), SAFETY_NET, shutdown.clone(), random());
        shutdown.spawn(Notices::NAME, notices);

        let tenants =
            run(Arc::new(self.tenants.clone()), self.bells.tenants.clone(), TENANTS_ANEW, shutdown.clone(), random());
        shutdown.spawn(Tenants::NAME, tenants);

        let elsewhere = Wake::new();
        let channels = vec![
            ("ssf_issuer".to_owned(), self.bells.tenants.clone()),
            ("ssf_issuer".to_owned(), self.bells.rotator.clone()),
            ("ssf_outbox".to_owned(), self.bells.fan_out.clone()),
            ("ssf_delivery".to_owned(), self.bells.push.clone()),
            ("ssf_poll".to_owned(), elsewhere.clone()),
        ];
        shutdown.spawn("notifications", listen(self.state.pool.clone(), channels, shutdown.clone(), random()));
        let (polls, soft) = (self.bells.polls.clone(), shutdown.soft().clone());
        shutdown.spawn("long polls", async move {
            loop {
                // before the bells are rung, so that nothing that comes meanwhile is missed
                let rung = elsewhere.register();
                polls.ring_all();
                tokio::select! {
                    () = soft.cancelled() => return,
                    () = rung => {}
                    () = tokio::time::sleep(POLLS_ANEW) => {}
                }
            }
        });
    }
}

impl std::fmt::Debug for Transmitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transmitter").field("issuer", &self.issuer.url).finish_non_exhaustive()
    }
}

/// Why the transmitter could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database did not answer as expected.
    #[error("the database could not be used")]
    Database(#[from] sqlx::Error),
    /// The keys could not be opened.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// The HTTP client could not be built.
    #[error(transparent)]
    Sender(#[from] SenderError),
    /// Calls to authorization servers cannot be made.
    #[error(transparent)]
    Authorization(#[from] FetchError),
    /// A secret for one of them cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The proxies of the configuration cannot be read.
    #[error("proxy.trusted {0}")]
    Proxies(#[from] ProxiesError),
    /// The allowed push endpoints of the configuration cannot be read.
    #[error("push.allow {0}")]
    Allowed(#[from] AllowedError),
    /// HTTP clients could not be built.
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    /// The secret for webhooks cannot be used.
    #[error("backlog.webhook_secret {0}")]
    WebhookSecret(#[from] webhook::SecretError),
    /// The configured type URI cannot be used.
    #[error("issuer.revalidate_uri cannot be used")]
    Vocabulary(#[from] ssf_common::event::VocabularyError),
}

/// What must be in the database before anything runs: the issuer's row, the short names, a key for every issuer.
async fn first_rows(
    settings: &Settings,
    configured: Defaults,
    vocabulary: &Vocabulary,
    sealing: &SealingKey,
    env: &Env,
    pool: &PgPool,
) -> Result<Issuer, OpenError> {
    let issuer = crate::admin::ensure_issuer(pool, &settings.issuer.url, &Actor::Service, env).await?;
    let mut conn = pool.acquire().await?;
    name_event_types(&mut conn, vocabulary).await?;
    for issuer in crate::issuer::store::served(&mut conn).await? {
        let algorithm = configured.with(&issuer.own).algorithm;
        let mut tx = conn.begin().await?;
        ensure_active(&mut tx, &issuer, &[algorithm], sealing, env).await?;
        tx.commit().await?;
    }
    Ok(issuer)
}

fn polling(settings: &Settings, pool: &PgPool, env: &Env, desk: SigningDesk, bells: &Bells) -> Polling {
    Polling::new(
        pool.clone(),
        env.clone(),
        desk,
        bells.polls.clone(),
        settings.poll.max_events,
        settings.poll.wait.duration(),
        settings.push_backoff(),
    )
}

fn push_limits(settings: &Settings) -> PushLimits {
    PushLimits {
        window: settings.push.window,
        max_window: settings.push.max_window,
        max_in_flight: settings.push.max_in_flight,
        max_per_host: settings.push.max_per_host,
        lease: settings.push.lease.duration(),
        timeout: settings.push.timeout.duration(),
    }
}

/// All known types but the control events, which every stream may get.
fn offered(vocabulary: &Vocabulary) -> Arc<[String]> {
    let control = [EventType::Verification, EventType::StreamUpdated];
    let types = EventType::known().iter().filter(|event_type| !control.contains(event_type));
    types.map(|event_type| event_type.uri(vocabulary).to_owned()).collect()
}

fn defaults(settings: &Settings) -> Defaults {
    let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    let inactivity = seconds(settings.streams.inactivity_timeout.duration());
    Defaults {
        algorithm: settings.issuer.algorithm,
        subjects: settings.streams.default_subjects,
        min_verification_interval_s: seconds(settings.streams.min_verification_interval.duration()),
        inactivity_timeout_s: (inactivity > 0).then_some(inactivity),
        max_streams: settings.streams.max_streams,
    }
}

async fn name_event_types(conn: &mut sqlx::PgConnection, vocabulary: &Vocabulary) -> sqlx::Result<()> {
    let types = EventType::known();
    let names: Vec<String> = types.iter().map(|event_type| event_type.name().to_owned()).collect();
    let uris: Vec<String> = types.iter().map(|event_type| event_type.uri(vocabulary).to_owned()).collect();
    let lanes: Vec<i16> = types.iter().map(|event_type| Lane::of(event_type).number()).collect();
    crate::issuer::store::name_event_types(conn, &names, &uris, &lanes).await
}

/// How late a lost notification is noticed.
const SAFETY_NET: Duration = Duration::from_secs(1);
/// Long polls look for themselves so often: each look is a query, and there may be thousands.
const POLLS_ANEW: Duration = Duration::from_secs(5);
/// How late a lost notification about an issuer or a key is noticed.
const TENANTS_ANEW: Duration = Duration::from_secs(5);
/// How late an idle stream is paused, and a heartbeat sent.
const STREAMS_ANEW: Duration = Duration::from_secs(5);
const UPKEEP: Duration = Duration::from_mins(1);
