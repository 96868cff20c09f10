//! Making decisions durable: inside somebody's transaction, or in a shared one of ours.

use std::sync::Arc;

use serde_json::Value;
use sqlx::{Connection as _, PgConnection, PgPool};
use ssf_common::clock::{Clock, Timestamp};
use ssf_common::id::Txn;
use ssf_common::runtime::batch::{BatchError, Batcher};
use ssf_common::runtime::worker::Wake;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{BatchId, EventId, Lane, NewBatch, store};
use crate::issuer::IssuerId;
use crate::stream::StreamKey;

/// A checked decision, ready to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id.
    pub event_id: EventId,
    /// Who decided.
    pub issuer: IssuerId,
    /// A control event's one stream.
    pub stream: Option<StreamKey>,
    /// What it may overtake.
    pub lane: Lane,
    /// Type URI.
    pub event_type: String,
    /// `sub_id`.
    pub subject: Value,
    /// The cause.
    pub txn: Txn,
    /// The event's members.
    pub payload: Value,
    /// The decision.
    pub occurred_at: Timestamp,
    /// The batch it was handed in with.
    pub batch: Option<BatchId>,
}

/// Records one decision in the caller's transaction: it goes out if, and only if, that transaction commits. Other
/// processes are told by NOTIFY at the commit. The connection's `search_path` must be the transmitter's schema; see
/// [`record_within`] for any other.
pub async fn record(conn: &mut PgConnection, event: &NewEvent, now: Timestamp) -> sqlx::Result<()> {
    store::insert(&mut *conn, std::slice::from_ref(event), now).await?;
    store::ring(conn).await
}

/// The same on a connection of the IdP's own, whose `search_path` is not the transmitter's `schema`: it is lent for the
/// insert and given back.
pub async fn record_within(
    conn: &mut PgConnection,
    schema: &str,
    event: &NewEvent,
    now: Timestamp,
) -> sqlx::Result<()> {
    let own = store::swap_search_path(&mut *conn, schema).await?;
    record(&mut *conn, event, now).await?;
    store::swap_search_path(conn, &own).await?;
    Ok(())
}

/// Records decisions of concurrent requests in shared commits, of a bounded number at once.
pub struct Recorder {
    batcher: Batcher<HandedIn, (), sqlx::Error>,
    /// Room for events that wait.
    waiting: Arc<Semaphore>,
    size: usize,
    /// How much of it requests with many events may take.
    waiting_in_bulk: Arc<Semaphore>,
}

/// The events of one request, with the room they take until they are recorded: whoever handed them in may be gone by then.
struct HandedIn {
    events: Vec<NewEvent>,
    batch: Option<NewBatch>,
    room: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

impl Recorder {
    /// Must be called inside a tokio runtime. `fan_out` is rung after each commit. At most `max_waiting` events wait; a
    /// tenth of that is kept for requests with few.
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, fan_out: Wake, max_waiting: usize) -> Self {
        let batcher = Batcher::new(MAX_REQUESTS, MAX_WAITING, move |requests: Vec<HandedIn>| {
            let (pool, clock, fan_out) = (pool.clone(), Arc::clone(&clock), fan_out.clone());
            async move {
                let answers = vec![(); requests.len()];
                let mut events: Vec<NewEvent> = Vec::new();
                let (mut batches, mut rooms) = (Vec::new(), Vec::new());
                for one in requests {
                    batches.extend(one.batch.map(|batch| (batch, one.events.len())));
                    events.extend(one.events);
                    rooms.push(one.room);
                }
                write(&mut *pool.acquire().await?, &batches, &events, clock.now()).await?;
                fan_out.wake();
                Ok(answers)
            }
        });
        let semaphore = |size: usize| Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS)));
        let waiting = semaphore(max_waiting);
        Self {
            batcher,
            size: waiting.available_permits(),
            waiting,
            waiting_in_bulk: semaphore(max_waiting - max_waiting / 10),
        }
    }

    /// Returns after the commit. If they are a batch, it is recorded with them.
    pub async fn record(&self, events: Vec<NewEvent>, batch: Option<NewBatch>) -> Result<(), RecordError> {
        let room = self.room_for(events.len()).ok_or(RecordError::Overloaded)?;
        self.batcher.submit(HandedIn { events, batch, room }).await
    }

    /// How many events wait for their commit.
    pub fn waiting(&self) -> usize {
        self.size - self.waiting.available_permits()
    }

    /// Waits until everything handed in is recorded.
    pub async fn close(&self) {
        self.batcher.close().await;
    }

    fn room_for(&self, events: usize) -> Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)> {
        let count = u32::try_from(events).ok()?;
        let in_bulk = if events > FEW {
            Some(Arc::clone(&self.waiting_in_bulk).try_acquire_many_owned(count).ok()?)
        } else {
            None
        };
        Some((Arc::clone(&self.waiting).try_acquire_many_owned(count).ok()?, in_bulk))
    }
}

/// Writes all of it or nothing.
async fn write(
    conn: &mut PgConnection,
    batches: &[(NewBatch, usize)],
    events: &[NewEvent],
    now: Timestamp,
) -> sqlx::Result<()> {
    if batches.is_empty() {
        // one statement needs no transaction around it
        return store::insert(conn, events, now).await;
    }
    let mut tx = conn.begin().await?;
    for (batch, of_batch) in batches {
        store::begin_portion(&mut tx, batch, *of_batch, now).await?;
    }
    store::insert(&mut tx, events, now).await?;
    tx.commit().await
}

/// Why nothing was recorded.
pub type RecordError = BatchError<sqlx::Error>;

const MAX_REQUESTS: usize = 500;
const MAX_WAITING: usize = 2_000;
/// A request with no more than these is not a bulk job.
const FEW: usize = 16;
