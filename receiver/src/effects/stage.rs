//! [`Effects`]: the stage put together. `app` opens it, runs its workers, and lets the API watch.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::runtime::outgoing::{Outgoing, OutgoingError};
use ssf_common::runtime::{Env, Shutdown, Wake, Worker, worker};
use tokio_util::sync::CancellationToken;

use super::store::callbacks as store;
use super::{Callbacks, Gaps, Spread, Target, Upkeep, WatchLimits, Watching};
use crate::config::{Settings, SettingsError};

/// Everything that tells the application what happens to its sessions.
#[derive(Debug)]
pub struct Effects {
    env: Env,
    bells: Bells,
    spread: Arc<Spread>,
    gaps: Arc<Gaps>,
    targets: Vec<Arc<Callbacks>>,
    upkeep: Arc<Upkeep>,
    watching: Watching,
}

/// Who is woken by what was committed, here or by another process.
#[derive(Clone, Debug, Default)]
pub struct Bells {
    /// A cut-off moved: who makes effects.
    pub moved: Wake,
    /// A cut-off moved: who waits for a session's state. Not the same bell, for the application's own calls ring it too.
    pub waited: Wake,
    /// There are new effects.
    pub told: Wake,
}

impl Bells {
    /// The notifications that ring them.
    pub fn by_channel(&self) -> Vec<(String, Wake)> {
        let Self { moved, waited, told } = self;
        let bells = [("ssf_cutoff", moved), ("ssf_cutoff", waited), ("ssf_effect", told)];
        bells.map(|(channel, bell)| (channel.to_owned(), bell.clone())).into()
    }
}

/// The stage cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum EffectsError {
    /// A setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] OutgoingError),
    /// The database did not do it.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

impl Effects {
    /// From the settings; writes down which targets there are. `stop` ends every watch.
    pub async fn open(
        settings: &Settings,
        env: Env,
        pool: PgPool,
        stop: CancellationToken,
    ) -> Result<Self, EffectsError> {
        let (bells, callbacks) = (Bells::default(), &settings.callbacks);
        let named: Vec<(&str, &[String])> =
            settings.effects.iter().map(|(name, target)| (name.as_str(), target.changes.as_slice())).collect();
        let mut tx = pool.begin().await?;
        store::name_targets(&mut tx, &named, env.now()).await?;
        tx.commit().await?;
        let mut targets = Vec::new();
        for (name, target) in &settings.effects {
            let outgoing = Outgoing::new(settings.callback_guard(target)?, "ssf-receiver");
            let target = Target {
                name: name.clone(),
                url: target.url.clone(),
                secrets: target.secrets(name)?,
                window: callbacks.window,
                timeout: callbacks.timeout.duration(),
                lease: callbacks.lease.duration(),
                retry_ceiling: callbacks.retry_ceiling.duration(),
            };
            targets.push(Arc::new(Callbacks::new(pool.clone(), env.clone(), target, &outgoing)?));
        }
        let (turns, cap) = (settings.staleness().spread, settings.lineage.cap.duration());
        let (give_up_after, keep) = (callbacks.give_up_after.duration(), callbacks.keep.duration());
        let limits = WatchLimits {
            watchers: settings.watch.max_watchers,
            heartbeat: settings.watch.heartbeat.duration(),
            patience: settings.watch.patience.duration(),
        };
        Ok(Self {
            spread: Arc::new(Spread::new(pool.clone(), env.clone(), turns, bells.told.clone()).capped(cap)),
            gaps: Arc::new(Gaps::new(pool.clone(), env.clone(), turns, bells.told.clone()).capped(cap)),
            upkeep: Arc::new(Upkeep::new(pool.clone(), env.clone(), give_up_after, keep)),
            watching: Watching::new(pool.clone(), env.clone(), bells.told.clone(), limits, stop),
            env,
            bells,
            targets,
        })
    }

    /// Runs the workers until the stop. Whoever does this lets [`Bells::by_channel`] be rung.
    pub fn spawn_workers(&self, shutdown: &Shutdown) {
        let Bells { moved, told, .. } = &self.bells;
        self.spawn(&self.spread, moved.clone(), SAFETY_NET, shutdown);
        self.spawn(&self.gaps, Wake::new(), SAFETY_NET, shutdown);
        self.spawn(&self.upkeep, Wake::new(), UPKEEP, shutdown);
        for target in &self.targets {
            let (told, wake, soft) = (told.clone(), target.wake(), shutdown.soft().clone());
            // A target's own bell is rung by its answers, too.
            shutdown.spawn("callback bell", async move {
                loop {
                    let rung = told.register();
                    wake.wake();
                    tokio::select! {
                        () = soft.cancelled() => return,
                        () = rung => {}
                    }
                }
            });
            self.spawn(target, target.wake(), SAFETY_NET, shutdown);
        }
    }

    /// Ends when no callback is on its way any more.
    pub async fn idle(&self) {
        for target in &self.targets {
            target.idle().await;
        }
    }

    /// Who makes effects of cut-offs.
    pub const fn spread(&self) -> &Arc<Spread> {
        &self.spread
    }

    /// Who tells of sessions that must be proved again after a gap.
    pub const fn gaps(&self) -> &Arc<Gaps> {
        &self.gaps
    }

    /// Who calls back, one per target, in the order of their names.
    pub fn targets(&self) -> &[Arc<Callbacks>] {
        &self.targets
    }

    /// Who gives up and forgets.
    pub const fn upkeep(&self) -> &Arc<Upkeep> {
        &self.upkeep
    }

    /// Who watches.
    pub const fn watching(&self) -> &Watching {
        &self.watching
    }

    /// The bells.
    pub const fn bells(&self) -> &Bells {
        &self.bells
    }

    fn spawn<W: Worker>(&self, worker: &Arc<W>, wake: Wake, every: Duration, shutdown: &Shutdown) {
        let (worker, random) = (Arc::clone(worker), Arc::clone(&self.env.random));
        shutdown.spawn(W::NAME, worker::run(worker, wake, every, shutdown.clone(), random));
    }
}

/// Lost notifications cost no more than this, and a retry is at most this late.
const SAFETY_NET: Duration = Duration::from_secs(1);
const UPKEEP: Duration = Duration::from_secs(10);
