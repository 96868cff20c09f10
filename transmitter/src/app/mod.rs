//! The transmitter put together: from settings and a pool to a router and the workers behind it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use ssf_common::event::{EventType, Vocabulary};
use ssf_common::runtime::Env;
use ssf_common::runtime::http::{Admission, ProxiesError};
use ssf_common::runtime::outgoing::{AllowedError, Outgoing, OutgoingError};
use ssf_common::runtime::postgres::listen;
use ssf_common::runtime::shutdown::Shutdown;
use ssf_common::runtime::worker::{Wake, Worker, run};
use tokio_util::sync::CancellationToken;

use crate::api::{ApiState, Traffic, is_health, router};
use crate::config::Settings;
use crate::delivery::{
    Bell, FanOut, Maintenance, Polling, Push, PushLimits, Sender, SenderError, Settler, SigningDesk, Waiting,
};
use crate::issuer::{Defaults, Issuer, IssuerId};
use crate::keys::{KeyRingError, SealingKey, ensure_active};
use crate::outbox::{Lane, Recorder};
use crate::tenant::Tenants;

/// The schema's migrations.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations/transmitter");

/// A transmitter on one database. Any number of processes may open the same one: they coordinate through PostgreSQL
/// only. Workers do nothing until [`spawn_workers`](Self::spawn_workers) runs them or a test ticks them.
pub struct Transmitter {
    /// The issuer of the configuration; others may be served beside it.
    pub issuer: Issuer,
    /// Makes deliveries.
    pub fan_out: Arc<FanOut>,
    /// Sends them.
    pub push: Arc<Push>,
    /// Keeps house.
    pub maintenance: Arc<Maintenance>,
    state: ApiState,
    settler: Settler,
    bells: Bells,
    admission: Admission,
    max_body_bytes: usize,
}

struct Bells {
    tenants: Wake,
    fan_out: Wake,
    push: Wake,
    polls: Bell,
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
        let now = env.now();
        let mut conn = pool.acquire().await?;
        let new_id = IssuerId::new(now, &*env.random);
        let issuer = crate::issuer::store::ensure(&mut conn, &settings.issuer.url, new_id, now).await?;
        name_event_types(&mut conn, &vocabulary).await?;
        let configured = defaults(settings);
        for issuer in crate::issuer::store::served(&mut conn).await? {
            let algorithm = configured.with(&issuer.own).algorithm;
            ensure_active(&mut conn, &issuer, &[algorithm], &sealing, &env).await?;
        }
        drop(conn);
        let tenants = Tenants::open(pool.clone(), sealing.clone(), configured, settings.issuer.url.clone()).await?;

        let bells = Bells { tenants: Wake::new(), fan_out: Wake::new(), push: Wake::new(), polls: Bell::default() };
        let claim = settings.timeline_claim().map(ToOwned::to_owned);
        let desk = SigningDesk::new(tenants.clone(), sealing.clone(), Arc::clone(&vocabulary), claim);
        let settler = Settler::new(pool.clone(), env.clone(), settings.push_backoff());
        let limits = PushLimits {
            window: settings.push.window,
            max_in_flight: settings.push.max_in_flight,
            max_per_host: settings.push.max_per_host,
            lease: settings.push.lease.duration(),
        };
        let idle = usize::try_from(settings.push.window).unwrap_or(usize::MAX);
        let sender = Sender::new(outgoing, settings.push.timeout.duration(), idle)?;
        let push =
            Push::new(pool.clone(), env.clone(), desk.clone(), sender, settler.clone(), limits, bells.push.clone());
        let fan_out =
            FanOut::new(pool.clone(), env.clone(), Arc::clone(&vocabulary), bells.push.clone(), bells.polls.clone());
        let maintenance = Maintenance::new(
            pool.clone(),
            env.clone(),
            settings.delivery.retention.duration(),
            settings.delivery.history.duration(),
        );
        maintenance.tick().await?;
        let polling = Polling::new(
            pool.clone(),
            env.clone(),
            desk,
            bells.polls.clone(),
            settings.poll.max_events,
            settings.poll.wait.duration(),
            settings.push_backoff(),
        );
        let recorder =
            Recorder::new(pool.clone(), Arc::clone(&env.clock), bells.fan_out.clone(), settings.intake.max_waiting);
        let state = ApiState {
            pool,
            env,
            tenants,
            events: offered(&vocabulary),
            endpoints: outgoing.guard().clone(),
            vocabulary,
            sealing,
            token_lifetime: settings.tokens.lifetime.duration(),
            recorder: Arc::new(recorder),
            fan_out: bells.fan_out.clone(),
            polling,
            waiting: Waiting::new(settings.poll.max_waiting),
            traffic: Traffic::new(settings.proxies()?, &settings.limits),
            max_batch: settings.intake.max_batch,
            stopping: CancellationToken::new(),
        };
        let max_body_bytes = settings.server.max_body_bytes;
        Ok(Self {
            issuer,
            fan_out: Arc::new(fan_out),
            push: Arc::new(push),
            maintenance: Arc::new(maintenance),
            state,
            settler,
            bells,
            admission: Admission::new(settings.admission_limits(), is_health),
            max_body_bytes,
        })
    }

    /// Every route, to be served or nested.
    pub fn router(&self) -> Router {
        router(self.state.clone(), self.admission.clone(), self.max_body_bytes)
    }

    /// Looks at once which issuers there are and with which keys, as happens every few seconds anyway.
    pub async fn refresh_issuers(&self) -> Result<(), KeyRingError> {
        self.state.tenants.refresh().await
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
            finishing.idle().await;
            settler.close().await;
            recorder.close().await;
        });
        let maintenance = run(Arc::clone(&self.maintenance), Wake::new(), UPKEEP, shutdown.clone(), random());
        shutdown.spawn(Maintenance::NAME, maintenance);

        let tenants = run(
            Arc::new(self.state.tenants.clone()),
            self.bells.tenants.clone(),
            TENANTS_ANEW,
            shutdown.clone(),
            random(),
        );
        shutdown.spawn(Tenants::NAME, tenants);

        let elsewhere = Wake::new();
        let channels = vec![
            ("ssf_issuer".to_owned(), self.bells.tenants.clone()),
            ("ssf_outbox".to_owned(), self.bells.fan_out.clone()),
            ("ssf_delivery".to_owned(), self.bells.push.clone()),
            ("ssf_delivery".to_owned(), elsewhere.clone()),
        ];
        shutdown.spawn("notifications", listen(self.state.pool.clone(), channels, shutdown.clone(), random()));
        let (polls, soft) = (self.bells.polls.clone(), shutdown.soft().clone());
        shutdown.spawn("long polls", async move {
            loop {
                tokio::select! {
                    () = soft.cancelled() => return,
                    () = elsewhere.register() => polls.ring_all(),
                    () = tokio::time::sleep(SAFETY_NET) => polls.ring_all(),
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
    /// The proxies of the configuration cannot be read.
    #[error("proxy.trusted {0}")]
    Proxies(#[from] ProxiesError),
    /// The allowed push endpoints of the configuration cannot be read.
    #[error("push.allow {0}")]
    Allowed(#[from] AllowedError),
    /// HTTP clients could not be built.
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    /// The configured type URI cannot be used.
    #[error("issuer.revalidate_uri cannot be used")]
    Vocabulary(#[from] ssf_common::event::VocabularyError),
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
/// How late a lost notification about an issuer or a key is noticed.
const TENANTS_ANEW: Duration = Duration::from_secs(5);
const UPKEEP: Duration = Duration::from_mins(1);
