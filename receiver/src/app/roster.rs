//! [`Roster`]: the upstreams this process works for. Those of the settings are there from the start; those made while
//! running come and go, and each has a keeper, perhaps a poller, and a push door while it is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::runtime::telemetry::chain;
use ssf_common::runtime::{Env, Shutdown, Wake, Worker, worker};
use tokio_util::sync::CancellationToken;

use super::OpenError;
use crate::config::{Settings, UpstreamSettings};
use crate::doors::push::PushDoors;
use crate::doors::{Admission, Poller};
use crate::inbox::Inbox;
use crate::proof::{Probe, Receipts, Terms};
use crate::upstream::{Keeper, Managed, Method, ProcessId, Upstream, managed, store};

/// One upstream and who works for it.
#[derive(Clone, Debug)]
pub struct Link {
    /// What is shared.
    pub upstream: Arc<Upstream>,
    /// Keeps its stream.
    pub keeper: Arc<Keeper>,
    /// Fetches its SETs; `None` if they are pushed.
    pub poller: Option<Arc<Poller>>,
    /// Ends its workers.
    stop: CancellationToken,
    /// Which change of a managed one this is; `None` for those of the settings.
    version: Option<i64>,
}

/// Who is there.
#[derive(Debug)]
pub struct Roster {
    settings: Arc<Settings>,
    env: Env,
    pool: PgPool,
    inbox: Inbox,
    managed: Managed,
    process: ProcessId,
    doors: PushDoors,
    links: RwLock<BTreeMap<String, Link>>,
    /// Names and changes that could not be opened: told once.
    broken: Mutex<BTreeMap<String, i64>>,
    bell: Wake,
    polls: CancellationToken,
    /// Set once the workers run: those who come later are spawned on it.
    crew: OnceLock<Shutdown>,
}

/// Those made while running could not be read, or one of them not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the upstreams that were made while running cannot be read")]
pub struct RosterError(#[from] sqlx::Error);

impl Roster {
    /// Everybody of the settings, and those made while running that can be set up.
    pub(super) async fn open(
        settings: &Arc<Settings>,
        env: &Env,
        pool: &PgPool,
        inbox: &Inbox,
        managed: &Managed,
    ) -> Result<Self, OpenError> {
        let roster = Self {
            settings: Arc::clone(settings),
            env: env.clone(),
            pool: pool.clone(),
            inbox: inbox.clone(),
            managed: managed.clone(),
            process: ProcessId::new(env.now(), &*env.random),
            doors: PushDoors::new(settings.inbox.max_set_bytes, env.clone()),
            links: RwLock::default(),
            broken: Mutex::default(),
            bell: Wake::new(),
            polls: CancellationToken::new(),
            crew: OnceLock::new(),
        };
        for (name, of_file) in &settings.upstreams {
            let link = roster.link(name, of_file.clone(), None).await?;
            roster.enter(name, link);
        }
        roster.look().await?;
        Ok(roster)
    }

    /// The push endpoints.
    pub(super) const fn doors(&self) -> &PushDoors {
        &self.doors
    }

    /// Rung when an upstream was made, changed or removed, or a process gave its leases back.
    pub(super) const fn bell(&self) -> &Wake {
        &self.bell
    }

    /// The upstreams, by our names for them.
    pub(super) fn links(&self) -> BTreeMap<String, Link> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs the workers of everybody who is there, and of whoever comes.
    pub(super) fn spawn(&self, shutdown: &Shutdown) {
        if self.crew.set(shutdown.clone()).is_ok() {
            self.links().values().for_each(|link| self.put_to_work(link, shutdown));
        }
    }

    /// Polls that wait end, after telling what was committed.
    pub(super) fn stop_polls(&self) {
        self.polls.cancel();
    }

    /// Gives all leases back.
    pub(super) async fn release(&self) -> Result<(), sqlx::Error> {
        self.links().values().for_each(|link| link.upstream.lease.give_up());
        store::release(&mut *self.pool.acquire().await?, self.process).await
    }

    /// Brings the roster to what the settings and the database say; how many came, changed or went.
    async fn look(&self) -> Result<usize, sqlx::Error> {
        let mut turned = self.managed.follow_settings().await?;
        let rows = store::all(&mut *self.pool.acquire().await?).await?;
        let present = self.links();
        for (name, link) in &present {
            if link.version.is_some() && !rows.iter().any(|row| row.name == *name) {
                tracing::info!(upstream.name = name, "the upstream is removed: nobody works for it here any more");
                self.leave(name);
                turned += 1;
            }
        }
        for row in rows {
            // One of the settings goes before one of the same name.
            let is_present = match present.get(&row.name) {
                Some(link) => link.version.is_none_or(|version| version == row.version),
                None => false,
            };
            if is_present || self.is_broken(&row.name, row.version) {
                continue;
            }
            let opened = match self.managed.settings_of(&row) {
                Ok(settings) => self.link(&row.name, settings, Some(row.version)).await,
                Err(error) => {
                    self.note_broken(&row.name, row.version, &chain(&error));
                    continue;
                }
            };
            match opened {
                Ok(link) => {
                    tracing::info!(upstream.name = row.name, upstream.version = row.version, "the upstream is there");
                    self.enter(&row.name, link);
                    turned += 1;
                }
                Err(OpenError::Store(error)) => return Err(error),
                Err(error) => self.note_broken(&row.name, row.version, &chain(&error)),
            }
        }
        Ok(turned)
    }

    async fn link(&self, name: &str, settings: UpstreamSettings, version: Option<i64>) -> Result<Link, OpenError> {
        let mut tx = self.pool.begin().await?;
        let id = managed::write_down(&mut tx, name, &settings, &self.env).await?;
        tx.commit().await?;
        let (pool, env) = (self.pool.clone(), self.env.clone());
        let upstream = Arc::new(Upstream::new(name, id, settings, self.process, &self.settings, pool, env)?);
        upstream.read_held().await?;
        let keeper = Arc::new(Keeper::new(Arc::clone(&upstream)));
        let stop = self.polls.child_token();
        let poller = (upstream.method() == Method::Poll).then(|| {
            let (settings, stop) = (self.settings.poll.clone(), stop.clone());
            Arc::new(Poller::new(self.admission(&upstream), settings, self.pool.clone(), self.env.clone(), stop))
        });
        Ok(Link { upstream, keeper, poller, stop, version })
    }

    /// In place of whoever had the name.
    fn enter(&self, name: &str, link: Link) {
        // The door first: a transmitter may be told of it at once.
        self.doors.set(name, Some(self.admission(&link.upstream)));
        if let Some(shutdown) = self.crew.get() {
            self.put_to_work(&link, shutdown);
        }
        let before = self.links.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), link);
        if let Some(before) = before {
            dismiss(&before);
        }
    }

    fn leave(&self, name: &str) {
        self.doors.set(name, None);
        let before = self.links.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(before) = before {
            dismiss(&before);
        }
    }

    fn put_to_work(&self, link: &Link, shutdown: &Shutdown) {
        let (upstream, news) = (&link.upstream, link.upstream.news.clone());
        if upstream.settings.is_development() {
            tracing::warn!(
                upstream.name = upstream.name,
                issuer = %upstream.settings.issuer,
                "this issuer is plain http on loopback: for development only, nothing on the way is protected"
            );
        }
        self.spawn_one(Arc::clone(&upstream.lease), self.bell.clone(), LOOK_AFTER, link, shutdown);
        self.spawn_one(Arc::clone(&link.keeper), news.clone(), LOOK_AFTER, link, shutdown);
        match Probe::of(upstream, &self.settings, self.pool.clone(), self.env.clone()) {
            Ok(Some(probe)) => self.spawn_one(Arc::new(probe), Wake::new(), LOOK_AFTER, link, shutdown),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(upstream.name = upstream.name, error = %chain(&error), "the upstream is not probed");
            }
        }
        if self.settings.proof.receipts {
            self.spawn_one(Arc::new(self.receipts(link)), Wake::new(), TELL_RECEIPTS, link, shutdown);
        }
        if let Some(poller) = &link.poller {
            self.spawn_one(Arc::clone(poller), news, self.settings.poll.interval.duration(), link, shutdown);
        }
    }

    /// Tells the transmitter of an upstream what is enforced here.
    fn receipts(&self, link: &Link) -> Receipts {
        let terms = Terms::from(&*self.settings);
        Receipts::new(Arc::clone(&link.upstream), self.pool.clone(), self.env.clone(), terms)
    }

    /// Until the stop of the process, or that of the link: then a poll that waits has a moment for its last words.
    fn spawn_one<W: Worker>(&self, worker: Arc<W>, wake: Wake, every: Duration, link: &Link, shutdown: &Shutdown) {
        let (stop, all) = (link.stop.clone(), shutdown.soft().clone());
        let run = worker::run(worker, wake, every, shutdown.clone(), Arc::clone(&self.env.random));
        shutdown.spawn(W::NAME, async move {
            let dismissed = async {
                stop.cancelled().await;
                if all.is_cancelled() {
                    // The process stops, and the loop knows that by itself.
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(LAST_WORDS).await;
            };
            tokio::select! {
                () = run => {}
                () = dismissed => {}
            }
        });
    }

    fn admission(&self, upstream: &Arc<Upstream>) -> Admission {
        Admission { upstream: Arc::clone(upstream), inbox: self.inbox.clone() }
    }

    fn is_broken(&self, name: &str, version: i64) -> bool {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).get(name) == Some(&version)
    }

    fn note_broken(&self, name: &str, version: i64, why: &str) {
        tracing::error!(upstream.name = name, error = why, "the upstream cannot be set up; change it, or remove it");
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), version);
    }
}

impl Worker for Roster {
    const NAME: &'static str = "roster of upstreams";
    type Error = RosterError;

    /// Who came, changed or went. To be run when the bell rings, and every second.
    async fn tick(&self) -> Result<usize, RosterError> {
        Ok(self.look().await?)
    }
}

fn dismiss(link: &Link) {
    link.upstream.lease.give_up();
    link.stop.cancel();
}

/// Leases and rows are looked after that often.
const LOOK_AFTER: Duration = Duration::from_secs(1);
const TELL_RECEIPTS: Duration = Duration::from_secs(5);
const LAST_WORDS: Duration = Duration::from_secs(3);
