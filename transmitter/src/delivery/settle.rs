//! The settler: what came of sending becomes durable, many outcomes in one statement.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};
use ssf_common::backoff::Backoff;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use ssf_common::runtime::batch::{BatchError, Batcher};
use ssf_common::runtime::postgres::gave_way;

use super::store::settle::{self as store, Finished, Postponed, Troubled};
use super::{DeliveryId, LeaseId, Outcome};
use crate::stream::StreamKey;

/// An outcome on its way into the database.
#[derive(Clone, Debug)]
pub(super) struct Settlement {
    pub(super) id: DeliveryId,
    pub(super) stream: StreamKey,
    pub(super) lease: LeaseId,
    pub(super) attempts: u32,
    pub(super) taken_at: Timestamp,
    pub(super) signed_at: Option<Timestamp>,
    pub(super) sent_at: Option<Timestamp>,
    pub(super) answered_at: Timestamp,
    pub(super) outcome: Outcome,
}

/// Settles deliveries of concurrent pushes in shared commits.
#[derive(Clone)]
pub struct Settler(Arc<Batcher<Settlement, (), sqlx::Error>>);

impl Settler {
    /// Must be called inside a tokio runtime.
    pub fn new(pool: PgPool, env: Env, backoff: Backoff) -> Self {
        let failing = Arc::new(tokio::sync::Mutex::new(BTreeSet::new()));
        Self(Arc::new(Batcher::with_pause(
            MAX_BATCH,
            MAX_WAITING,
            PAUSE_WHEN_BUSY,
            move |settlements: Vec<Settlement>| {
                let (pool, env, failing) = (pool.clone(), env.clone(), Arc::clone(&failing));
                async move {
                    let answers = vec![(); settlements.len()];
                    settle(&pool, &env, backoff, settlements, &mut *failing.lock().await).await?;
                    Ok(answers)
                }
            },
        )))
    }

    pub(super) async fn settle(&self, settlement: Settlement) -> Result<(), BatchError<sqlx::Error>> {
        self.0.submit(settlement).await
    }

    /// Waits until everything handed in is settled.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

impl std::fmt::Debug for Settler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Settler")
    }
}

/// `failing` are the streams whose breaker this process opened, so that it is said once when they answer again.
async fn settle(
    pool: &PgPool,
    env: &Env,
    backoff: Backoff,
    settlements: Vec<Settlement>,
    failing: &mut BTreeSet<StreamKey>,
) -> sqlx::Result<()> {
    let mut finished = Vec::new();
    let mut postponed = Vec::new();
    let mut troubled: Vec<Troubled> = Vec::new();
    let mut answered = BTreeSet::new();
    let mut conn = pool.acquire().await?;
    for settlement in settlements {
        let Settlement { id, stream, lease, attempts, taken_at, signed_at, sent_at, answered_at, outcome } = settlement;
        let mut is_odd = false;
        let refused = match outcome {
            Outcome::Acknowledged { oddly } => {
                is_odd = oddly;
                None
            }
            Outcome::Refused { code, description } => Some((code.as_str().to_owned(), description)),
            Outcome::Trouble { reason, retry_after } => {
                let wished = retry_after.map(|wish| wish.max(backoff.first).min(backoff.ceiling));
                let due_at = answered_at.plus(wished.unwrap_or_else(|| backoff.delay(attempts, &*env.random)));
                postponed.push(Postponed { id, lease, due_at, failed_at: answered_at, error: reason.clone() });
                if !troubled.iter().any(|other| other.stream == stream) {
                    let failures = store::failures(&mut conn, stream).await? + 1;
                    let retry_at = answered_at.plus(wished.unwrap_or_else(|| backoff.delay(failures, &*env.random)));
                    troubled.push(Troubled { stream, trouble: reason, taken_at, failed_at: answered_at, retry_at });
                }
                continue;
            }
        };
        if sent_at.is_some() {
            answered.insert(stream);
        }
        finished.push(Finished { id, lease, refused, oddly: is_odd, signed_at, sent_at, settled_at: answered_at });
    }
    troubled.sort_by_key(|trouble| trouble.stream);
    let mut tries = 1;
    let opened = loop {
        match write(&mut conn, &finished, &postponed, &troubled).await {
            // what meets somebody's deletion must not take all that share its batch with it: they would be sent again
            Err(error) if gave_way(&error) && tries < MAX_TRIES => tries += 1,
            written => break written?,
        }
    };
    for trouble in opened {
        tracing::warn!(stream.id = %trouble.stream, trouble = trouble.trouble, "a receiver fails; its SETs are kept and it is tried again until it answers");
        failing.insert(trouble.stream);
    }
    for stream in answered {
        if failing.remove(&stream) {
            tracing::info!(stream.id = %stream, "the receiver answers again");
        }
    }
    Ok(())
}

/// Writes all of it or nothing; the troubles that opened a breaker.
async fn write<'a>(
    conn: &mut PgConnection,
    finished: &[Finished],
    postponed: &[Postponed],
    troubled: &'a [Troubled],
) -> sqlx::Result<Vec<&'a Troubled>> {
    if postponed.is_empty() {
        // one statement needs no transaction around it
        store::finish(conn, finished).await?;
        return Ok(Vec::new());
    }
    let mut tx = conn.begin().await?;
    store::postpone(&mut tx, postponed).await?;
    let mut opened = Vec::new();
    for trouble in troubled {
        if store::open_breaker(&mut tx, trouble).await? == Some(1) {
            opened.push(trouble);
        }
    }
    if !finished.is_empty() {
        store::finish(&mut tx, finished).await?;
    }
    tx.commit().await?;
    Ok(opened)
}

/// Nobody waits for a settlement but the next SET about the same subject.
const PAUSE_WHEN_BUSY: Duration = Duration::from_millis(2);
const MAX_BATCH: usize = 500;
const MAX_WAITING: usize = 10_000;
/// Two that met once hardly meet again.
const MAX_TRIES: u8 = 3;
