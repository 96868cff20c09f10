//! [`Inbox`]: the one thing that the push endpoint and the poll loop call.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use ssf_common::runtime::batch::{BatchError, Batcher};
use ssf_common::runtime::telemetry::chain;
use ssf_common::set::{Refusal, VerifiedSet};

use super::arrival::Arrival;
use super::batches::{Batches, Outcome};
use super::{AppliedLog, Refused, store};
use crate::config::{Level, Rules};
use crate::cutoff::Withheld;
use crate::replica::Replica;
use crate::session::Keyring;
use crate::upstream::{Method, UpstreamId};

/// The door for SETs. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Inbox {
    batcher: Batcher<Arrival, Outcome, sqlx::Error>,
    pool: PgPool,
    keyring: Keyring,
    replica: Replica,
    applied: Arc<AppliedLog>,
    horizon: Duration,
}

/// Where a SET came from, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Whose stream.
    pub upstream_id: UpstreamId,
    /// When its bytes had arrived, before verification.
    pub received_at: Timestamp,
    /// How it reached us.
    pub method: Method,
    /// The level agreed with the issuer: whose windows hold for what it decides.
    pub level: Level,
}

/// Proof of a commit: the SET may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Applied now, and in the memory of this process; others follow.
    Applied {
        /// When its commit was done, by our clock.
        applied_at: Timestamp,
    },
    /// Applied before; this delivery changed nothing.
    Known,
    /// Kept without effect: the issuer may not decide that here. An operator may apply it.
    Withheld {
        /// Why.
        why: Withheld,
    },
}

/// Why a SET may not be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The SET itself is refused, and the refusal is noted already: answer with its code.
    #[error("the SET is refused: {0}")]
    Refused(#[source] Refusal),
    /// Not now: the database is away, the queue is full, or the service stops. Answer 503 with `Retry-After`; the SET
    /// comes again. (It may even have been applied; then it will be [`Receipt::Known`].)
    #[error("the inbox cannot store the SET now")]
    Unavailable(#[source] BatchError<sqlx::Error>),
    /// No such upstream in the database.
    #[error("the upstream is not in the database")]
    UnknownUpstream,
    /// PostgreSQL refuses this very SET, which none should bring about: a fault of this program. Others are not harmed.
    #[error("the database refuses the content of the SET")]
    Unstorable,
}

impl Inbox {
    /// An inbox on this pool. Must be called inside a tokio runtime; [`Inbox::applied_log`] wants to be run beside it.
    pub fn new(pool: PgPool, env: Env, keyring: Keyring, replica: Replica) -> Self {
        let applied = Arc::new(AppliedLog::new(pool.clone()));
        let days = Arc::default();
        let runner = Batches { pool: pool.clone(), env, applied: Arc::clone(&applied), days };
        let batcher = Batcher::new(MAX_BATCH, MAX_WAITING, move |arrivals| {
            let runner = runner.clone();
            async move { runner.run(arrivals).await }
        });
        Self { batcher, pool, keyring, replica, applied, horizon: DEFAULT_HORIZON }
    }

    /// The same that knows SETs again for so long after they were issued.
    #[must_use]
    pub fn knowing_for(self, horizon: Duration) -> Self {
        Self { horizon, ..self }
    }

    /// Applies a verified SET, or finds that it was applied before. Returns when it is committed and every answer of
    /// this process takes it into account, whichever process applied it.
    ///
    /// A verification event with another state than the one asked for is refused with `invalid_state` and noted as
    /// such; one without a state is a sign of life nobody asked for, and welcome.
    ///
    /// # Errors
    /// See [`InboxError`]: nothing but a [`Receipt`] may be acknowledged.
    pub async fn receive(&self, set: VerifiedSet, context: Context) -> Result<Receipt, InboxError> {
        self.receive_under(&Rules::default(), set, context).await
    }

    /// The same under the rules of the upstream it came through.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub async fn receive_under(
        &self,
        rules: &Rules,
        set: VerifiedSet,
        context: Context,
    ) -> Result<Receipt, InboxError> {
        let jti = set.jti.clone();
        let mut arrival = match Arrival::of(set, &context, &self.keyring, rules, self.horizon) {
            Ok(arrival) => arrival,
            Err(refusal) => return Err(self.refused(&context, refusal, jti.0).await),
        };
        if let Some(permitted) = arrival.asks_for {
            let granted = async {
                let mut db = self.pool.acquire().await?;
                store::grant(&mut db, context.upstream_id, jti.as_str(), permitted, context.received_at).await
            };
            let granted =
                granted.await.map_err(|error| InboxError::Unavailable(BatchError::Failed(Arc::new(error))))?;
            arrival.withheld = (!granted).then_some(Withheld::TooMany);
        }
        let withheld = arrival.withheld;
        match self.batcher.submit(arrival).await.map_err(InboxError::Unavailable)? {
            Outcome::Fresh { applied_at } => match withheld {
                Some(why) => Ok(Receipt::Withheld { why }),
                None => self.in_memory(Receipt::Applied { applied_at }).await,
            },
            Outcome::Known => self.in_memory(Receipt::Known).await,
            Outcome::WrongState => Err(self.refused(&context, Refusal::WrongState, jti.0).await),
            Outcome::NoUpstream => Err(InboxError::UnknownUpstream),
            Outcome::Unstorable => Err(InboxError::Unstorable),
        }
    }

    /// Notes a SET that was refused before it came here: one that did not verify. What is kept per upstream is bounded.
    pub async fn refuse(&self, refused: &Refused) -> Result<(), sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let id = store::note_refusal(&mut db, refused).await?;
        if id % TRIM_EVERY == 0 {
            store::trim_refusals(&mut db, refused.upstream_id, KEPT_REFUSALS).await?;
        }
        Ok(())
    }

    /// The worker that writes down when the last batches were done; to be run every 50 ms or so.
    pub fn applied_log(&self) -> Arc<AppliedLog> {
        Arc::clone(&self.applied)
    }

    /// Takes nothing more, and returns when everything taken is committed. The [`applied_log`](Self::applied_log)
    /// should tick once more after this.
    pub async fn close(&self) {
        self.batcher.close().await;
    }

    /// What is committed is acknowledged when it is in memory, too. If that fails, the SET comes again and is known.
    async fn in_memory(&self, receipt: Receipt) -> Result<Receipt, InboxError> {
        match self.replica.catch_up().await {
            Ok(()) => Ok(receipt),
            Err(error) => Err(InboxError::Unavailable(BatchError::Failed(Arc::new(error)))),
        }
    }

    /// That a refusal could not be noted does not make it less of a refusal.
    async fn refused(&self, context: &Context, refusal: Refusal, jti: String) -> InboxError {
        if let Err(error) = self.refuse(&Refused::with_jti(context, &refusal, Some(jti))).await {
            tracing::warn!(error = %chain(&error), "a refusal could not be noted");
        }
        InboxError::Refused(refusal)
    }
}

/// A batch is a statement with this many rows at most.
const MAX_BATCH: usize = 256;
/// More than this many waiting SETs are answered with 503.
const MAX_WAITING: usize = 4_096;
const KEPT_REFUSALS: i64 = 1_000;
const TRIM_EVERY: i64 = 64;
/// As `inbox.replay_horizon` in `config.default.toml`.
const DEFAULT_HORIZON: Duration = Duration::from_hours(30 * 24);
