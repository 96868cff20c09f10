//! What waits, as it was seen at one moment: streams with their lanes, and the outbox.

use std::time::Duration;

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::runtime::config::Level;

use super::Promise;
use super::predict::{LONGEST_MEASURE, Lane as LaneQueue, Queue, Rate};
use super::store::observe::{self as store, LaneRow};
use crate::issuer::IssuerId;
use crate::outbox::Lane;
use crate::stream::StreamKey;

/// A stream and what waits on it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Which stream.
    pub stream: StreamKey,
    /// Of which issuer …
    pub issuer: IssuerId,
    /// … and its URL.
    pub issuer_url: String,
    /// Whose it is.
    pub client_id: String,
    /// Whether it sends.
    pub status: StreamStatus,
    /// push or poll.
    pub delivery_method: String,
    /// Whose windows hold.
    pub level: Level,
    /// The strictest of them …
    pub window: Duration,
    /// … and the lanes it holds for.
    pub judged: &'static [Lane],
    /// Failures in a row.
    pub failures: i32,
    /// What waits, and how fast it is taken.
    pub queue: Queue,
    /// The oldest decision in each lane.
    pub oldest_at: [Option<Timestamp>; 3],
    /// SETs taken or refused in the last minute, per second.
    pub drain_per_second: f64,
    /// Since when something waits without a break, as far as it was noticed.
    pub busy_since: Option<Timestamp>,
    /// What became of the rest, per lane.
    pub totals: [Totals; 3],
}

/// What became of deliveries, since the stream was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The receiver has them.
    pub acknowledged: u64,
    /// It refused them.
    pub refused: u64,
    /// Their retention ended.
    pub expired: u64,
    /// They were discarded with their stream.
    pub discarded: u64,
    /// They missed their window, whatever became of them.
    pub breached: u64,
}

/// How late a lane is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lateness {
    /// How long ago its oldest was decided.
    pub oldest: Duration,
    /// How long after its decision its slowest will be settled, as far as can be said.
    pub predicted: Duration,
    /// The part of the window its oldest has used.
    pub share: f64,
}

impl Observed {
    /// How much waits in all lanes.
    pub fn waiting(&self) -> u64 {
        self.queue.lanes.iter().map(|lane| lane.waiting).sum()
    }

    /// How late a lane is, if anything waits in it.
    pub fn lateness(&self, lane: Lane) -> Option<Lateness> {
        let place = place(lane);
        let (oldest, predicted) = (self.queue.lanes[place].oldest?, self.queue.predicted(place)?);
        Some(Lateness { oldest, predicted, share: oldest.as_secs_f64() / self.window.as_secs_f64() })
    }

    fn of(rows: &[LaneRow], promise: &Promise, now: Timestamp) -> Option<Self> {
        let first = rows.first()?;
        let own = first.level.as_deref().and_then(|level| level.parse().ok());
        let mut lanes = [LaneQueue::default(); 3];
        let mut oldest_at = [None; 3];
        let mut totals = [Totals::default(); 3];
        for (place, row) in rows.iter().enumerate().take(3) {
            let age = |at: Option<Timestamp>| at.map(|at| now.since(at));
            lanes[place] = LaneQueue { waiting: count(row.waiting), oldest: age(row.oldest), newest: age(row.newest) };
            oldest_at[place] = row.oldest;
            totals[place] = Totals {
                acknowledged: count(row.acknowledged),
                refused: count(row.refused),
                expired: count(row.expired),
                discarded: count(row.discarded),
                breached: count(row.breached),
            };
        }
        let status: StreamStatus = first.status.parse().expect("a CHECK allows only the three statuses");
        let busy_for = first.busy_since.map_or(Duration::ZERO, |since| now.since(since)).min(LONGEST_MEASURE);
        let retry_in = first.retry_at.filter(|_| first.failures > 0).map(|at| at.since(now));
        Some(Self {
            stream: first.stream,
            issuer: first.issuer,
            issuer_url: first.issuer_url.clone(),
            client_id: first.client_id.clone(),
            status,
            delivery_method: first.delivery_method.clone(),
            level: own.unwrap_or(promise.level),
            window: promise.window(own),
            judged: promise.lanes(),
            failures: first.failures,
            queue: Queue {
                lanes,
                rate: Rate::measured(count(first.settled_since_busy), busy_for),
                retry_in,
                is_held: status == StreamStatus::Paused,
            },
            oldest_at,
            drain_per_second: Duration::from_secs(count(first.settled)).as_secs_f64() / LONGEST_MEASURE.as_secs_f64(),
            busy_since: first.busy_since,
            totals,
        })
    }
}

/// The streams of one issuer, or of all, by id behind `after`.
pub async fn streams(
    conn: &mut PgConnection,
    promise: &Promise,
    issuer: Option<IssuerId>,
    after: Option<StreamKey>,
    limit: u16,
    now: Timestamp,
) -> sqlx::Result<Vec<Observed>> {
    let after = after.unwrap_or(StreamKey(uuid::Uuid::nil()));
    let rows = store::lanes(conn, issuer, after, i64::from(limit), now.minus(LONGEST_MEASURE)).await?;
    Ok(rows.chunks(3).filter_map(|rows| Observed::of(rows, promise, now)).collect())
}

/// What of one issuer waits in a lane of the outbox, and is not fanned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLane {
    /// Whose decisions.
    pub issuer: IssuerId,
    /// Which lane.
    pub lane: Lane,
    /// How many; among the first 10,000 of the lane.
    pub waiting: u64,
    /// The oldest decision.
    pub oldest_at: Timestamp,
    /// When the first of them was recorded.
    pub recorded_at: Timestamp,
}

/// The outbox, without control events.
pub async fn outbox(conn: &mut PgConnection) -> sqlx::Result<Vec<OutboxLane>> {
    let rows = store::outbox(conn, OUTBOX_LOOKED_AT).await?;
    let lanes = rows.into_iter().map(|row| OutboxLane {
        issuer: row.issuer,
        lane: Lane::from_number(row.lane),
        waiting: count(row.waiting),
        oldest_at: row.oldest,
        recorded_at: row.recorded_at,
    });
    Ok(lanes.collect())
}

/// Where a lane stands in arrays.
const fn place(lane: Lane) -> usize {
    match lane {
        Lane::Urgent => 0,
        Lane::Prompt => 1,
        Lane::Bulk => 2,
    }
}

/// A sum of differences; one that is below nothing was read while somebody's counts were on their way.
fn count(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}

/// How far the outbox is counted.
const OUTBOX_LOOKED_AT: i64 = 10_000;
