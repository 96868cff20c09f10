//! The watch: adds up what waits, and sees a window being missed before it is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::{Wake, Worker};

use super::observed::{Observed, outbox, streams};
use super::predict::{Cause, Verdict, verdict};
use super::recount::Recount;
use super::store::alarms::{self, Alarm};
use super::store::{breaches, observe, tally};
use super::{AlarmId, Promise};
use crate::issuer::IssuerId;
use crate::outbox::Lane;
use crate::stream::StreamKey;

/// The watch worker. Any number of processes may run it: all of them add up, one at a time watches.
#[derive(Debug)]
pub struct Watch {
    pool: PgPool,
    env: Env,
    promise: Promise,
    kept: Kept,
    /// Rung when a webhook is due, if there is anybody to hear it.
    notices: Option<Wake>,
    raised: AtomicU64,
    recount: Recount,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    breaches: Duration,
    batches: Duration,
}

/// What a look found.
struct Found {
    changes: Vec<Change>,
    /// Streams on which something waits past their window.
    late: Vec<(StreamKey, Duration)>,
}

/// What the log says after the commit.
enum Change {
    Raised(Alarm),
    Cleared(Alarm),
}

impl Watch {
    /// Breaches and alarms are kept for `breaches`, batches for `batches`. `notices` is rung when a webhook is due; with
    /// `None` there are no webhooks.
    pub fn new(
        pool: PgPool,
        env: Env,
        promise: Promise,
        breaches: Duration,
        batches: Duration,
        notices: Option<Wake>,
    ) -> Self {
        let recount = Recount::new(env.now());
        Self { pool, env, promise, kept: Kept { breaches, batches }, notices, raised: AtomicU64::new(0), recount }
    }

    /// Tells the database which windows are promised: what is settled late is judged there.
    pub async fn tell_promise(&self) -> sqlx::Result<()> {
        tally::promise(&mut *self.pool.acquire().await?, &self.promise).await
    }

    /// How many alarms this process has raised.
    pub fn raised(&self) -> u64 {
        self.raised.load(Ordering::Relaxed)
    }

    /// Adds up; whether more is left.
    async fn add_up(&self) -> sqlx::Result<bool> {
        let mut conn = self.pool.acquire().await?;
        for _ in 0..MOST_STEPS {
            if tally::add_up(&mut conn, STEP).await? < STEP.unsigned_abs() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn look(&self, conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<Found> {
        let mut rings = HashMap::new();
        for alarm in alarms::ringing(conn).await? {
            rings.insert((alarm.stream, alarm.lane), alarm);
        }
        let mut seen: Vec<Seen> = Vec::new();
        let (mut began, mut ended, mut late) = (Vec::new(), Vec::new(), Vec::new());
        let mut after = None;
        let mut strictest: HashMap<IssuerId, Duration> = HashMap::new();
        loop {
            let page = streams(conn, &self.promise, None, after, PAGE, now).await?;
            after = page.last().map(|stream| stream.stream);
            for stream in &page {
                match (stream.waiting() > 0, stream.busy_since) {
                    (true, None) => began.push(stream.stream),
                    (false, Some(_)) => ended.push(stream.stream),
                    _ => {}
                }
                let window = strictest.entry(stream.issuer).or_insert(stream.window);
                *window = stream.window.min(*window);
                let judged = stream.judged.iter().filter_map(|lane| Seen::of(stream, *lane));
                let before = seen.len();
                seen.extend(judged);
                if seen[before..].iter().any(|lane| now.since(lane.oldest_at) > stream.window) {
                    late.push((stream.stream, stream.window));
                }
            }
            if page.len() < usize::from(PAGE) {
                break;
            }
        }
        seen.extend(self.seen_in_outbox(conn, &strictest, now).await?);
        if !began.is_empty() || !ended.is_empty() {
            observe::note_busy(conn, &began, &ended, now).await?;
        }
        let mut changes = Vec::new();
        for one in seen {
            let ringing = rings.remove(&(one.stream, one.lane.number()));
            match verdict(ringing.is_some(), Some(one.predicted), one.window, self.promise.share) {
                Verdict::Raise => {
                    let alarm = one.alarm(AlarmId::new(now, &*self.env.random), now);
                    if alarms::raise(conn, &alarm, self.notices.is_some()).await? {
                        changes.push(Change::Raised(alarm));
                    }
                }
                Verdict::Clear => changes.extend(self.clear(conn, ringing, now).await?),
                Verdict::Stay => {}
            }
        }
        // nothing waits there any more
        for (_, alarm) in rings {
            changes.extend(self.clear(conn, Some(alarm), now).await?);
        }
        Ok(Found { changes, late })
    }

    /// Writes down what waits past its window, a bounded amount, shared by the streams. In a transaction of its own: it
    /// moves deliveries, and an alarm must not wait for that.
    async fn write_breaches(&self, late: &[(StreamKey, Duration)], now: Timestamp) -> sqlx::Result<()> {
        let lanes = self.promise.lanes();
        let queues = i64::try_from(late.len() * lanes.len()).unwrap_or(i64::MAX).max(1);
        let each = (OVERDUE_AT_ONCE / queues).max(1);
        let mut conn = self.pool.acquire().await?;
        let found = breaches::find_overdue(&mut conn, late, lanes, each, OVERDUE_AT_ONCE, now).await?;
        if found > 0 {
            tracing::error!(
                deliveries = found,
                "deliveries that wait have missed their window; see `ssf-transmitter backlog --breaches`"
            );
        }
        Ok(())
    }

    /// What is not fanned out a while after it was recorded, held against the `strictest` window of its issuer's streams.
    async fn seen_in_outbox(
        &self,
        conn: &mut PgConnection,
        strictest: &HashMap<IssuerId, Duration>,
        now: Timestamp,
    ) -> sqlx::Result<Vec<Seen>> {
        let mut lanes: HashMap<Lane, Seen> = HashMap::new();
        let judged = |lane| self.promise.lanes().contains(&lane);
        let waiting = outbox(conn).await?.into_iter().filter(|one| judged(one.lane));
        for one in waiting.filter(|one| now.since(one.recorded_at) > PASSING) {
            let window = strictest.get(&one.issuer).copied().unwrap_or_else(|| self.promise.window(None));
            let seen = lanes.entry(one.lane).or_insert(Seen {
                stream: None,
                lane: one.lane,
                cause: Cause::FanOut,
                waiting: 0,
                oldest_at: one.oldest_at,
                predicted: Duration::ZERO,
                window,
            });
            seen.window = seen.window.min(window);
            seen.waiting += one.waiting;
            seen.oldest_at = seen.oldest_at.min(one.oldest_at);
            seen.predicted = now.since(seen.oldest_at);
        }
        Ok(lanes.into_values().collect())
    }

    async fn clear(
        &self,
        conn: &mut PgConnection,
        alarm: Option<Alarm>,
        now: Timestamp,
    ) -> sqlx::Result<Option<Change>> {
        let Some(alarm) = alarm else { return Ok(None) };
        let did = alarms::clear(conn, alarm.id, now, self.notices.is_some()).await?;
        Ok(did.then_some(Change::Cleared(alarm)))
    }

    async fn forget(&self, conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<()> {
        let (drained, kept, batches) =
            (now.minus(DRAIN_KEPT), now.minus(self.kept.breaches), now.minus(self.kept.batches));
        tally::forget(conn, drained, kept, batches, FORGOTTEN_AT_ONCE).await
    }
}

impl Worker for Watch {
    const NAME: &'static str = "watch";
    type Error = sqlx::Error;

    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let left = self.add_up().await?;
        let now = self.env.now();
        let mut tx = self.pool.begin().await?;
        if !tally::is_ours(&mut tx).await? {
            return Ok(0);
        }
        let Found { changes, late } = self.look(&mut tx, now).await?;
        self.forget(&mut tx, now).await?;
        tx.commit().await?;
        if let Some(notices) = self.notices.as_ref().filter(|_| !changes.is_empty()) {
            notices.wake();
        }
        for change in &changes {
            self.raised.fetch_add(u64::from(matches!(change, Change::Raised(_))), Ordering::Relaxed);
            say(change, now);
        }
        if !late.is_empty() {
            self.write_breaches(&late, now).await?;
        }
        self.recount.go_on(&self.pool, now).await?;
        Ok(usize::from(left))
    }
}

/// A lane in which something waits.
struct Seen {
    stream: Option<StreamKey>,
    lane: Lane,
    cause: Cause,
    waiting: u64,
    oldest_at: Timestamp,
    predicted: Duration,
    window: Duration,
}

impl Seen {
    fn of(stream: &Observed, lane: Lane) -> Option<Self> {
        let place = usize::try_from(lane.number()).ok()?;
        Some(Self {
            stream: Some(stream.stream),
            lane,
            cause: stream.queue.cause(),
            waiting: stream.queue.lanes[place].waiting,
            oldest_at: stream.oldest_at[place]?,
            predicted: stream.lateness(lane)?.predicted,
            window: stream.window,
        })
    }

    fn alarm(&self, id: AlarmId, now: Timestamp) -> Alarm {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Alarm {
            id,
            stream: self.stream,
            lane: self.lane.number(),
            cause: self.cause.as_str().to_owned(),
            waiting: i64::try_from(self.waiting).unwrap_or(i64::MAX),
            oldest_at: self.oldest_at,
            predicted_ms: millis(self.predicted),
            window_ms: millis(self.window),
            raised_at: now,
        }
    }
}

fn say(change: &Change, now: Timestamp) {
    let (Change::Raised(alarm) | Change::Cleared(alarm)) = change;
    let stream = alarm.stream.map_or_else(|| "(outbox)".to_owned(), |stream| stream.to_string());
    let lane = Lane::from_number(alarm.lane).as_str();
    match change {
        Change::Raised(alarm) => tracing::warn!(
            stream.id = stream,
            lane,
            cause = alarm.cause,
            waiting = alarm.waiting,
            oldest.seconds = now.since(alarm.oldest_at).as_secs(),
            predicted.seconds = alarm.predicted_ms / 1_000,
            window.seconds = alarm.window_ms / 1_000,
            "what waits will not be acknowledged within the share of its window; look at `ssf-transmitter backlog`"
        ),
        Change::Cleared(alarm) => tracing::info!(
            stream.id = stream,
            lane,
            cause = alarm.cause,
            rang.seconds = now.since(alarm.raised_at).as_secs(),
            "what waits will be acknowledged in time again"
        ),
    }
}

/// Rows of the tally added up in one statement, and how many of these in one tick.
const STEP: i64 = 5_000;
const MOST_STEPS: usize = 20;
/// Streams looked at in one statement.
const PAGE: u16 = 1_000;
/// Breaches of all streams written down in one tick: each moves its delivery in every index. What misses its window faster
/// is written down when it is settled, at the latest.
const OVERDUE_AT_ONCE: i64 = 2_000;
/// What is recorded less than this ago is on its way through the outbox.
const PASSING: Duration = Duration::from_secs(5);
const DRAIN_KEPT: Duration = Duration::from_mins(5);
const FORGOTTEN_AT_ONCE: i64 = 1_000;
