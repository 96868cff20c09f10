//! [`Target`]: one place where the application wants to be called, and its worker [`Callbacks`].

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::backoff::Backoff;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::outgoing::{Limits, Outgoing, OutgoingError};
use ssf_common::runtime::telemetry::chain;
use ssf_common::runtime::{Env, Wake, Worker};
use tokio::sync::Semaphore;

use super::LeaseId;
use super::answer::Outcome;
use super::sender::Sender;
use super::store::callbacks::{self as store, Taken};
use crate::signature::Secret;

/// Where an application is called, and how.
#[derive(Debug)]
pub struct Target {
    /// Our name for it.
    pub name: String,
    /// Its address.
    pub url: String,
    /// What signs for it, the present secret first.
    pub secrets: Vec<Secret>,
    /// The most callbacks on their way at once.
    pub window: u32,
    /// How long one may take.
    pub timeout: Duration,
    /// How long this process holds one it sends.
    pub lease: Duration,
    /// The longest pause between attempts.
    pub retry_ceiling: Duration,
}

/// Calls one target back: takes what is due and sends it. A tick does not wait for answers; each answer rings its
/// bell, because it made room. Every target has a worker of its own, so a dead one delays no other.
///
/// No transaction is open while something is on its way. Several processes share the work by leases; what a killed one
/// had in hand comes again when the lease ends, under the same id: at least once, and the application knows it by the id.
#[derive(Clone, Debug)]
pub struct Callbacks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    env: Env,
    name: String,
    sender: Sender,
    lease: Duration,
    backoff: Backoff,
    window: u32,
    free: Arc<Semaphore>,
    wake: Wake,
}

impl Callbacks {
    /// Calls `target` through clients that `outgoing` makes.
    pub fn new(pool: PgPool, env: Env, target: Target, outgoing: &Outgoing) -> Result<Self, OutgoingError> {
        let limits = Limits { timeout: target.timeout, idle_per_host: target.window as usize };
        let sender = Sender::new(outgoing, &limits, &target.url, target.secrets)?;
        Ok(Self(Arc::new(Shared {
            pool,
            env,
            name: target.name,
            sender,
            lease: target.lease,
            backoff: Backoff { first: FIRST_RETRY, ceiling: target.retry_ceiling },
            window: target.window,
            free: Arc::new(Semaphore::new(target.window as usize)),
            wake: Wake::new(),
        })))
    }

    /// Its bell: rung by its own answers, to be rung when there are new effects.
    pub fn wake(&self) -> Wake {
        self.0.wake.clone()
    }

    /// Ends when nothing is on its way and everything that was is settled.
    pub async fn idle(&self) {
        // The semaphore is never closed; and if it were, nothing would be on its way.
        let _ = self.0.free.acquire_many(self.0.window).await;
    }
}

impl Worker for Callbacks {
    const NAME: &'static str = "callbacks";
    type Error = sqlx::Error;

    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let shared = &self.0;
        let room = shared.free.available_permits();
        if room == 0 {
            return Ok(0);
        }
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let in_flight = i64::from(shared.window) - room;
        let (now, lease) = (shared.env.now(), LeaseId::new(shared.env.now(), &*shared.env.random));
        let mut db = shared.pool.acquire().await?;
        let taken = store::take(&mut db, &shared.name, (room, in_flight), lease, now, now.plus(shared.lease)).await?;
        drop(db);
        let count = taken.len();
        for one in taken {
            let Ok(permit) = Arc::clone(&shared.free).acquire_owned().await else { break };
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                shared.carry(one, lease).await;
                drop(permit);
                // What waited behind it, about the same session, may go now.
                shared.wake.wake();
            });
        }
        Ok(count)
    }
}

impl Shared {
    /// One callback, from the signature to its settlement. Dropping it half way loses nothing: the lease ends, and
    /// somebody sends it again.
    async fn carry(&self, one: Taken, lease: LeaseId) {
        let began_at = self.env.now();
        let outcome = self.sender.send(&one.effect, began_at).await.outcome();
        match self.settle(&one, lease, began_at, &outcome).await {
            Ok(true) => tracing::debug!(target.name = self.name, effect.id = %one.effect.id, ?outcome, "a callback"),
            Ok(false) => {
                tracing::debug!(target.name = self.name, effect.id = %one.effect.id, "a callback's lease had ended");
            }
            Err(error) => {
                tracing::warn!(target.name = self.name, effect.id = %one.effect.id, error = %chain(&error), "a callback could not be settled and will be sent again");
            }
        }
    }

    async fn settle(
        &self,
        one: &Taken,
        lease: LeaseId,
        began_at: Timestamp,
        outcome: &Outcome,
    ) -> Result<bool, sqlx::Error> {
        let (position, now, random) = (one.effect.position, self.env.now(), &*self.env.random);
        let attempts = u32::try_from(one.attempts).unwrap_or(1);
        let again_at = now.plus(self.backoff.delay(attempts, random));
        let mut db = self.pool.acquire().await?;
        match outcome {
            Outcome::Taken => store::taken(&mut db, &self.name, position, lease, now, now.minus(A_MOMENT)).await,
            Outcome::Refused { trouble } => {
                store::refused(&mut db, &self.name, position, lease, trouble, (now, again_at)).await
            }
            Outcome::Trouble { trouble, retry_after } => {
                let failed = store::failed(&mut db, &self.name, (position, lease), began_at, trouble, now).await?;
                let Some(failures) = failed else { return Ok(false) };
                if failures == 1 {
                    tracing::warn!(
                        target.name = self.name,
                        trouble,
                        "an application cannot be called back and is probed from now on"
                    );
                }
                let own = self.backoff.delay(u32::try_from(failures).unwrap_or(1), random);
                // A wish is heard within bounds: a slip of the pen must not silence revocations for a day.
                let wish = retry_after.unwrap_or_default().min(self.backoff.ceiling);
                let retry_at = now.plus(own.max(wish));
                store::put_off(&mut db, &self.name, position, lease, trouble, (retry_at, again_at)).await
            }
        }
    }
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
/// `effect_target.last_success_at` is exact to this.
const A_MOMENT: Duration = Duration::from_secs(1);
