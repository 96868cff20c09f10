//! How a batch stands: of how many decisions, in how many deliveries, and who is slowest. Read from sums, so that a batch
//! of 10,000 decisions for 100 streams is told by 100 rows and not by a million.

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use ssf_common::clock::Timestamp;
use utoipa::ToSchema;

use super::store::batches::{self as store, Row, StreamRow};
use crate::issuer::IssuerId;
use crate::outbox::BatchId;
use crate::stream::StreamKey;

/// The body of `GET /batches/{batch_id}`. Times in RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BatchProgress {
    /// Which batch.
    pub batch_id: BatchId,
    /// recording: more of it was announced than is recorded. sending: not all is settled. finished.
    pub state: BatchState,
    /// How far it is, 0 to 100: 100 only when it is finished.
    pub percent: f64,
    /// When its first decisions were recorded.
    pub started_at: Timestamp,
    /// When the last of it was settled, once all of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How many decisions it has, or will have.
    pub events: u64,
    /// How many of them are recorded.
    pub recorded: u64,
    /// How many of them have left the outbox.
    pub fanned_out: u64,
    /// Its deliveries so far.
    pub deliveries: BatchDeliveries,
    /// How many streams want something of it.
    pub streams: usize,
    /// The streams with the most waiting, then those that were done last; at most ten.
    pub slowest: Vec<BatchStream>,
}

/// Where a batch is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// More of it was announced than is recorded.
    Recording,
    /// Not all is settled.
    Sending,
    /// All is settled.
    Finished,
}

/// What became of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchDeliveries {
    /// All that were made.
    pub total: u64,
    /// How many receivers have.
    pub delivered: u64,
    /// How many wait.
    pub pending: u64,
    /// How many were refused.
    pub refused: u64,
    /// How many expired: dead letters, like the refused.
    pub expired: u64,
    /// How many were discarded with their streams.
    pub discarded: u64,
}

/// A batch at one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchStream {
    /// Which stream.
    pub stream_id: StreamKey,
    /// How it stands there.
    #[serde(flatten)]
    pub deliveries: BatchDeliveries,
    /// When the last of it was settled there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_settled_at: Option<Timestamp>,
}

/// How a batch of this issuer stands. `None` if it has no such batch.
pub async fn progress(
    conn: &mut PgConnection,
    issuer: IssuerId,
    batch: BatchId,
) -> sqlx::Result<Option<BatchProgress>> {
    // sums and what is not yet added up are of one moment each; first what was fanned out, so that a delivery is never missing
    let mut tx = conn.begin().await?;
    let Some(row) = store::one(&mut tx, issuer, batch).await? else { return Ok(None) };
    let streams = store::streams(&mut tx, batch).await?;
    tx.commit().await?;
    Ok(Some(BatchProgress::of(batch, &row, &streams)))
}

impl BatchProgress {
    fn of(batch_id: BatchId, row: &Row, streams: &[StreamRow]) -> Self {
        let mut streams: Vec<BatchStream> = streams.iter().map(BatchStream::of).collect();
        let mut deliveries = BatchDeliveries::default();
        for stream in &streams {
            deliveries.add(&stream.deliveries);
        }
        let recorded = count(row.recorded);
        let events = row.announced.map_or(recorded, count).max(recorded);
        let fanned_out = count(row.fanned_out).min(recorded);
        let state = if recorded < events {
            BatchState::Recording
        } else if fanned_out < recorded || deliveries.pending > 0 {
            BatchState::Sending
        } else {
            BatchState::Finished
        };
        let last = streams.iter().filter_map(|stream| stream.last_settled_at).max();
        let count_of_streams = streams.len();
        streams.sort_by_key(|stream| {
            (std::cmp::Reverse((stream.deliveries.pending, stream.last_settled_at)), stream.stream_id)
        });
        streams.truncate(SLOWEST);
        Self {
            batch_id,
            state,
            percent: percent(state, events, fanned_out, &deliveries),
            started_at: row.created_at,
            finished_at: (state == BatchState::Finished).then(|| last.unwrap_or(row.created_at)),
            events,
            recorded,
            fanned_out,
            deliveries,
            streams: count_of_streams,
            slowest: streams,
        }
    }
}

impl BatchDeliveries {
    /// How many will not be tried again by themselves.
    pub const fn settled(&self) -> u64 {
        self.total - self.pending
    }

    fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.delivered += other.delivered;
        self.pending += other.pending;
        self.refused += other.refused;
        self.expired += other.expired;
        self.discarded += other.discarded;
    }
}

impl BatchStream {
    fn of(row: &StreamRow) -> Self {
        let [delivered, pending, refused, expired, discarded] =
            [row.acknowledged, row.waiting, row.refused, row.expired, row.discarded].map(count);
        let total = delivered + pending + refused + expired + discarded;
        Self {
            stream_id: row.stream,
            deliveries: BatchDeliveries { total, delivered, pending, refused, expired, discarded },
            last_settled_at: row.last_settled_at,
        }
    }
}

/// What is not fanned out counts as not settled; never 100 before the end.
#[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 52 bits")]
fn percent(state: BatchState, events: u64, fanned_out: u64, deliveries: &BatchDeliveries) -> f64 {
    if state == BatchState::Finished {
        return 100.0;
    }
    let part = |done: u64, of: u64| if of == 0 { 1.0 } else { done as f64 / of as f64 };
    let done =
        if fanned_out == 0 { 0.0 } else { part(fanned_out, events) * part(deliveries.settled(), deliveries.total) };
    ((done * 1_000.0).floor() / 10.0).min(99.9)
}

/// A sum of differences; one that is below nothing was read while somebody's counts were on their way.
fn count(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}

const SLOWEST: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ssf_common::random::SystemRandom;

    use super::*;

    fn row(announced: Option<i64>, recorded: i64, fanned_out: i64) -> Row {
        Row { created_at: Timestamp::EPOCH, announced, recorded, fanned_out }
    }

    fn stream(waiting: i64, acknowledged: i64, at: Option<i64>) -> StreamRow {
        StreamRow {
            stream: StreamKey::unguessable(&SystemRandom),
            waiting,
            acknowledged,
            refused: 0,
            expired: 0,
            discarded: 0,
            last_settled_at: at.map(Timestamp::from_unix_seconds),
        }
    }

    fn of(row: &Row, streams: &[StreamRow]) -> BatchProgress {
        BatchProgress::of(BatchId(uuid::Uuid::nil()), row, streams)
    }

    #[test]
    fn a_batch_is_finished_when_all_that_was_announced_is_settled() {
        assert_eq!(of(&row(Some(10), 5, 5), &[stream(0, 5, Some(9))]).state, BatchState::Recording);
        assert_eq!(of(&row(None, 5, 4), &[stream(0, 4, Some(9))]).state, BatchState::Sending);
        assert_eq!(of(&row(None, 5, 5), &[stream(1, 4, Some(9))]).state, BatchState::Sending);
        let finished = of(&row(None, 5, 5), &[stream(0, 5, Some(9)), stream(0, 5, Some(12))]);
        assert_eq!((finished.state, finished.percent, finished.streams), (BatchState::Finished, 100.0, 2));
        assert_eq!(finished.finished_at, Some(Timestamp::from_unix_seconds(12)));
        let unwanted = of(&row(None, 5, 5), &[]);
        assert_eq!((unwanted.state, unwanted.percent), (BatchState::Finished, 100.0), "nobody wanted it");
    }

    #[test]
    fn the_slowest_has_the_most_waiting_or_was_done_last() {
        let shown = of(&row(None, 9, 9), &[stream(0, 9, Some(3)), stream(5, 4, Some(1)), stream(0, 9, Some(8))]);
        let order: Vec<u64> = shown.slowest.iter().map(|one| one.deliveries.pending).collect();
        assert_eq!(order, [5, 0, 0]);
        assert_eq!(shown.slowest[1].last_settled_at, Some(Timestamp::from_unix_seconds(8)));
    }

    proptest! {
        #[test]
        fn the_percentage_is_one_and_is_100_only_at_the_end(
            announced in 0_i64..1_000, recorded in 1_i64..1_000, fanned_out in 0_i64..1_000, waiting in 0_i64..1_000, settled in 0_i64..1_000,
        ) {
            let shown = of(&row(Some(announced), recorded, fanned_out.min(recorded)), &[stream(waiting, settled, Some(1))]);
            prop_assert!((0.0..=100.0).contains(&shown.percent));
            prop_assert_eq!(shown.percent >= 100.0, shown.state == BatchState::Finished);
        }
    }
}
