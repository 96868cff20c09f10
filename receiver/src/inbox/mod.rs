//! Where verified SETs enter: claimed, applied and committed in one statement, and only then acknowledged.
//!
//! The push endpoint and the poll loop call [`Inbox::receive`]; both may do so from as many tasks as they like. What
//! arrives while one batch is being committed makes up the next, so a commit is shared by everybody who waits for one.
//! A batch is ONE statement (`store::apply`), so there is no transaction to keep open and nothing between "claimed"
//! and "applied" for a crash to fall into. Whoever holds a [`Receipt`] holds a commit.
//!
//! [`Inbox::refuse`] notes a SET that was not let in. [`AppliedLog`] writes, after the commits, when they were done;
//! losing it to a crash loses a figure of a report and no effect.

mod applied;
mod arrival;
mod refused;
mod store;

use std::collections::HashMap;
use std::sync::Arc;

pub use applied::AppliedLog;
use applied::BatchId;
use arrival::Arrival;
pub use refused::Refused;
use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use ssf_common::runtime::batch::{BatchError, Batcher};
use ssf_common::runtime::telemetry::chain;
use ssf_common::set::{Refusal, VerifiedSet};

use crate::session::Keyring;
use crate::upstream::{Method, UpstreamId};

/// The door for SETs. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Inbox {
    batcher: Batcher<Arrival, Outcome, sqlx::Error>,
    pool: PgPool,
    keyring: Keyring,
    applied: Arc<AppliedLog>,
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
}

/// Proof of a commit: the SET may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Applied now; every check from `applied_at` on sees it.
    Applied {
        /// When its commit was done, by our clock.
        applied_at: Timestamp,
    },
    /// Applied before; this delivery changed nothing.
    Known,
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

/// What the statement said of one arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Fresh { applied_at: Timestamp },
    Known,
    WrongState,
    NoUpstream,
    Unstorable,
}

impl Inbox {
    /// An inbox on this pool. Must be called inside a tokio runtime; [`Inbox::applied_log`] wants to be run beside it.
    pub fn new(pool: PgPool, env: Env, keyring: Keyring) -> Self {
        let applied = Arc::new(AppliedLog::new(pool.clone()));
        let runner = Batches { pool: pool.clone(), env, applied: Arc::clone(&applied) };
        let batcher = Batcher::new(MAX_BATCH, MAX_WAITING, move |arrivals| {
            let runner = runner.clone();
            async move { runner.run(arrivals).await }
        });
        Self { batcher, pool, keyring, applied }
    }

    /// Applies a verified SET, or finds that it was applied before. Returns after the commit.
    ///
    /// A verification event with another state than the one asked for is refused with `invalid_state` and noted as
    /// such; one without a state is a sign of life nobody asked for, and welcome.
    ///
    /// # Errors
    /// See [`InboxError`]: nothing but a [`Receipt`] may be acknowledged.
    pub async fn receive(&self, set: VerifiedSet, context: Context) -> Result<Receipt, InboxError> {
        let jti = set.jti.clone();
        let arrival = match Arrival::of(set, &context, &self.keyring) {
            Ok(arrival) => arrival,
            Err(refusal) => return Err(self.refused(&context, refusal, jti.0).await),
        };
        match self.batcher.submit(arrival).await.map_err(InboxError::Unavailable)? {
            Outcome::Fresh { applied_at } => Ok(Receipt::Applied { applied_at }),
            Outcome::Known => Ok(Receipt::Known),
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

    /// That a refusal could not be noted does not make it less of a refusal.
    async fn refused(&self, context: &Context, refusal: Refusal, jti: String) -> InboxError {
        if let Err(error) = self.refuse(&Refused::with_jti(context, &refusal, Some(jti))).await {
            tracing::warn!(error = %chain(&error), "a refusal could not be noted");
        }
        InboxError::Refused(refusal)
    }
}

/// What runs the batches.
#[derive(Clone, Debug)]
struct Batches {
    pool: PgPool,
    env: Env,
    applied: Arc<AppliedLog>,
}

impl Batches {
    async fn run(&self, arrivals: Vec<Arrival>) -> Result<Vec<Outcome>, sqlx::Error> {
        let (firsts, place) = without_repetitions(arrivals);
        let outcomes = match self.apply(&firsts).await {
            Err(error) if is_about_content(&error) => self.apply_one_by_one(&firsts).await?,
            outcomes => outcomes?,
        };
        let mut given = vec![false; outcomes.len()];
        let of_each = |index: usize| match outcomes[index] {
            Outcome::Fresh { .. } if std::mem::replace(&mut given[index], true) => Outcome::Known,
            outcome => outcome,
        };
        Ok(place.into_iter().map(of_each).collect())
    }

    async fn apply(&self, arrivals: &[Arrival]) -> Result<Vec<Outcome>, sqlx::Error> {
        let batch = store::Batch {
            id: BatchId::new(self.env.now(), &*self.env.random),
            arrivals,
            applied: &self.applied.take(),
            now: self.env.now(),
        };
        let answer = async { store::apply(&mut *self.pool.acquire().await?, &batch).await }.await;
        match answer {
            Ok(answers) => {
                let applied_at = self.env.now();
                if answers.contains(&store::Answer::Fresh) {
                    self.applied.note(batch.id, applied_at);
                }
                Ok(answers.into_iter().map(|answer| answer.at(applied_at)).collect())
            }
            Err(error) => {
                self.applied.put_back(batch.applied.to_vec());
                Err(error)
            }
        }
    }

    /// One SET of the batch is more than PostgreSQL can take: the others shall not suffer for it.
    async fn apply_one_by_one(&self, arrivals: &[Arrival]) -> Result<Vec<Outcome>, sqlx::Error> {
        let mut outcomes = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            match self.apply(std::slice::from_ref(arrival)).await {
                Ok(outcome) => outcomes.extend(outcome),
                Err(error) if is_about_content(&error) => {
                    tracing::error!(error = %chain(&error), "PostgreSQL refuses the content of a SET that was verified");
                    outcomes.push(Outcome::Unstorable);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(outcomes)
    }
}

/// The arrivals without those that repeat another of the same batch, and for each original its place among them.
fn without_repetitions(arrivals: Vec<Arrival>) -> (Vec<Arrival>, Vec<usize>) {
    let mut seen = HashMap::with_capacity(arrivals.len());
    let mut firsts: Vec<Arrival> = Vec::with_capacity(arrivals.len());
    let place = arrivals
        .into_iter()
        .map(|arrival| {
            *seen.entry((arrival.upstream_id, arrival.jti.clone())).or_insert_with(|| {
                firsts.push(arrival);
                firsts.len() - 1
            })
        })
        .collect();
    (firsts, place)
}

/// Is it a value that PostgreSQL cannot take (class 22, 23 or 54), rather than the database that is away?
fn is_about_content(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}

/// A batch is a statement with this many rows at most.
const MAX_BATCH: usize = 256;
/// More than this many waiting SETs are answered with 503.
const MAX_WAITING: usize = 4_096;
const KEPT_REFUSALS: i64 = 1_000;
const TRIM_EVERY: i64 = 64;
