//! What waits as an operator sees it: per stream and lane, altogether, and before the fan-out; and windows that were missed.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::runtime::Env;
use utoipa::ToSchema;

use super::page::Page;
use super::streams::{Breaker, BreakerState};
use crate::backlog::predict::Rate;
use crate::backlog::store::{alarms, observe};
use crate::backlog::{Observed, Promise, Totals, outbox, streams};
use crate::issuer::IssuerId;
use crate::outbox::Lane;
use crate::stream::StreamKey;

/// What waits. Durations in milliseconds; ages count from the decision.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Backlog {
    /// When it was looked at.
    pub at: Timestamp,
    /// The part of a window that may pass before an alarm.
    pub share: f64,
    /// All of it together.
    pub totals: BacklogTotals,
    /// What is recorded and not fanned out, per issuer and lane.
    pub outbox: Vec<OutboxBacklog>,
    /// A page of streams by id, also those on which nothing waits.
    pub streams: Page<StreamBacklog>,
}

/// What waits on all streams together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct BacklogTotals {
    /// How many streams there are.
    pub streams: u64,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Of these, on paused streams.
    pub held: u64,
    /// SETs taken or refused in the last minute, per second.
    pub drain_per_second: f64,
    /// The age of the oldest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_age_ms: Option<u64>,
    /// Lanes whose alarm rings, of streams and of the outbox.
    pub alarms: u64,
    /// Windows missed so far.
    pub breaches: u64,
}

/// What waits in a lane of the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutboxBacklog {
    /// Whose decisions.
    pub issuer_id: IssuerId,
    /// Which lane.
    pub lane: Lane,
    /// How many. It is looked at no further than the first 10000 of a lane.
    pub waiting: u64,
    /// The oldest decision of these.
    pub oldest_decision: Timestamp,
    /// Its age.
    pub oldest_age_ms: u64,
    /// How long the first of them has been recorded: how far the fan-out is behind.
    pub fan_out_lag_ms: u64,
    /// The alarm of this lane of the outbox, while it rings: whosever decisions are late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<RingingAlarm>,
}

/// What waits on a stream.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StreamBacklog {
    /// Which stream.
    pub stream_id: StreamKey,
    /// Of which issuer.
    pub issuer: String,
    /// Whose it is.
    pub client_id: String,
    /// enabled sends, paused holds, disabled discards.
    pub status: StreamStatus,
    /// push or poll.
    pub delivery_method: String,
    /// Whose windows hold: sl2 or sl3.
    pub level: String,
    /// The strictest of them: a decision must be acknowledged within it.
    pub window_ms: u64,
    /// Deliveries that wait, in all lanes.
    pub waiting: u64,
    /// Of these, held because the stream is paused.
    pub held: u64,
    /// Of these, being sent just now; counted among the first 100 of each lane.
    pub in_flight: u64,
    /// SETs taken or refused in the last minute, per second.
    pub drain_per_second: f64,
    /// How long until nothing waits, at the rate since something does; absent if nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_empty_ms: Option<u64>,
    /// Push: whether it is sent to at all.
    pub breaker: Breaker,
    /// Windows missed so far.
    pub breaches: u64,
    /// What ends access.
    pub urgent: LaneBacklog,
    /// Other changes.
    pub prompt: LaneBacklog,
    /// Backfills.
    pub bulk: LaneBacklog,
}

/// What waits in a lane of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LaneBacklog {
    /// How many deliveries.
    pub waiting: u64,
    /// The oldest decision, without what streams say about themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_decision: Option<Timestamp>,
    /// Its age.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_age_ms: Option<u64>,
    /// How long after its decision the slowest will be settled, as far as can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_ms: Option<u64>,
    /// The part of the window that the oldest has used: 1 and more is a breach. Absent for bulk that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_used: Option<f64>,
    /// Its alarm, while it rings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<RingingAlarm>,
}

/// An alarm that rings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RingingAlarm {
    /// held (paused), failing (its receiver is in trouble), stalled (nothing is taken), slow, or fan_out (decisions stay in the
    /// outbox), when it was raised.
    pub cause: String,
    /// Since when.
    pub raised_at: Timestamp,
}

impl StreamBacklog {
    /// Its lanes, the most urgent first.
    pub const fn lanes(&self) -> [(Lane, &LaneBacklog); 3] {
        [(Lane::Urgent, &self.urgent), (Lane::Prompt, &self.prompt), (Lane::Bulk, &self.bulk)]
    }
}

/// What waits at one issuer, or at all: totals, and the streams behind `after`.
pub async fn backlog(
    pool: &PgPool,
    issuer: Option<IssuerId>,
    after: Option<StreamKey>,
    limit: u16,
    promise: &Promise,
    env: &Env,
) -> sqlx::Result<Backlog> {
    let mut conn = pool.acquire().await?;
    let now = env.now();
    let ringing = ringing(&mut conn).await?;
    let (mut totals, mut shown, mut before) = (BacklogTotals::default(), Vec::new(), None);
    loop {
        let seen = streams(&mut conn, promise, issuer, before, AT_ONCE, now).await?;
        before = seen.last().map(|stream| stream.stream);
        let is_last = seen.len() < usize::from(AT_ONCE);
        for stream in seen {
            totals.add(&stream, &ringing);
            // one more than is shown, which says that the list goes on
            if Some(stream.stream) > after && shown.len() <= usize::from(limit) {
                shown.push(stream);
            }
        }
        if is_last {
            break;
        }
    }
    let keys: Vec<StreamKey> = shown.iter().map(|stream| stream.stream).collect();
    let in_flight = observe::in_flight(&mut conn, &keys, HEAD, now).await?;
    let in_flight: HashMap<StreamKey, u64> =
        in_flight.into_iter().map(|row| (row.stream, u64::try_from(row.in_flight).unwrap_or(0))).collect();
    let waiting = outbox(&mut conn).await?;
    let waiting: Vec<_> = waiting.into_iter().filter(|one| issuer.is_none_or(|issuer| issuer == one.issuer)).collect();
    let stands =
        |lane: &Lane| ringing.contains_key(&(None, lane.number())) && waiting.iter().any(|one| one.lane == *lane);
    totals.alarms += Lane::ALL.iter().map(|lane| u64::from(stands(lane))).sum::<u64>();
    Ok(Backlog {
        at: now,
        share: promise.share,
        totals,
        outbox: waiting
            .into_iter()
            .map(|one| OutboxBacklog {
                issuer_id: one.issuer,
                lane: one.lane,
                waiting: one.waiting,
                oldest_decision: one.oldest_at,
                oldest_age_ms: millis(now.since(one.oldest_at)),
                fan_out_lag_ms: millis(now.since(one.recorded_at)),
                alarm: alarm(&ringing, None, one.lane),
            })
            .collect(),
        streams: Page::of(shown, limit, |stream| stream.stream.to_string()).map(|stream| {
            let in_flight = in_flight.get(&stream.stream).copied().unwrap_or(0);
            StreamBacklog::of(stream, in_flight, &ringing, now)
        }),
    })
}

/// The same with every stream on one page.
pub async fn whole_backlog(
    pool: &PgPool,
    issuer: Option<IssuerId>,
    promise: &Promise,
    env: &Env,
) -> sqlx::Result<Backlog> {
    backlog(pool, issuer, None, u16::MAX, promise, env).await
}

/// What became of the deliveries of a lane, at all streams there are and were. The sums never shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// Which lane.
    pub lane: Lane,
    /// The sums.
    pub totals: Totals,
}

/// What became of the deliveries of the whole service, per lane.
pub async fn outcomes(pool: &PgPool) -> sqlx::Result<Vec<Outcomes>> {
    let rows = observe::outcomes(&mut *pool.acquire().await?).await?;
    let count = |sum: i64| u64::try_from(sum).unwrap_or(0);
    let outcomes = rows.into_iter().map(|row| Outcomes {
        lane: Lane::from_number(row.lane),
        totals: Totals {
            acknowledged: count(row.acknowledged),
            refused: count(row.refused),
            expired: count(row.expired),
            discarded: count(row.discarded),
            breached: count(row.breached),
        },
    });
    Ok(outcomes.collect())
}

/// What waits on one stream of an issuer. `None` if it has no such stream.
pub async fn stream_backlog(
    pool: &PgPool,
    issuer: IssuerId,
    stream: StreamKey,
    promise: &Promise,
    env: &Env,
) -> sqlx::Result<Option<StreamBacklog>> {
    let mut conn = pool.acquire().await?;
    let now = env.now();
    let just_before = StreamKey(uuid::Uuid::from_u128(stream.0.as_u128().saturating_sub(1)));
    let seen = streams(&mut conn, promise, Some(issuer), Some(just_before), 1, now).await?;
    let Some(seen) = seen.into_iter().find(|seen| seen.stream == stream) else { return Ok(None) };
    let ringing = ringing(&mut conn).await?;
    let in_flight = observe::in_flight(&mut conn, &[stream], HEAD, now).await?;
    let in_flight = in_flight.first().map_or(0, |row| u64::try_from(row.in_flight).unwrap_or(0));
    Ok(Some(StreamBacklog::of(seen, in_flight, &ringing, now)))
}

/// By stream, or none for the outbox, and lane.
type Ringing = HashMap<(Option<StreamKey>, i16), alarms::Alarm>;

async fn ringing(conn: &mut PgConnection) -> sqlx::Result<Ringing> {
    Ok(alarms::ringing(conn).await?.into_iter().map(|alarm| ((alarm.stream, alarm.lane), alarm)).collect())
}

fn alarm(ringing: &Ringing, stream: Option<StreamKey>, lane: Lane) -> Option<RingingAlarm> {
    let alarm = ringing.get(&(stream, lane.number()))?;
    Some(RingingAlarm { cause: alarm.cause.clone(), raised_at: alarm.raised_at })
}

impl BacklogTotals {
    fn add(&mut self, stream: &Observed, ringing: &Ringing) {
        self.streams += 1;
        self.waiting += stream.waiting();
        self.held += held(stream);
        self.drain_per_second += stream.drain_per_second;
        let oldest = stream.queue.lanes.iter().filter_map(|lane| lane.oldest).max().map(millis);
        self.oldest_age_ms = self.oldest_age_ms.max(oldest);
        let rings = |lane: &Lane| ringing.contains_key(&(Some(stream.stream), lane.number()));
        self.alarms += Lane::ALL.iter().map(|lane| u64::from(rings(lane))).sum::<u64>();
        self.breaches += breaches(stream);
    }
}

impl StreamBacklog {
    fn of(seen: Observed, in_flight: u64, ringing: &Ringing, now: Timestamp) -> Self {
        let lane = |lane: Lane, place: usize| LaneBacklog {
            waiting: seen.queue.lanes[place].waiting,
            oldest_decision: seen.oldest_at[place],
            oldest_age_ms: seen.queue.lanes[place].oldest.map(millis),
            predicted_ms: seen.queue.predicted(place).map(millis),
            window_used: seen.lateness(lane).filter(|_| seen.judged.contains(&lane)).map(|late| late.share),
            alarm: alarm(ringing, Some(seen.stream), lane),
        };
        let is_open = seen.failures > 0;
        Self {
            urgent: lane(Lane::Urgent, 0),
            prompt: lane(Lane::Prompt, 1),
            bulk: lane(Lane::Bulk, 2),
            stream_id: seen.stream,
            status: seen.status,
            level: seen.level.as_str().to_owned(),
            window_ms: millis(seen.window),
            waiting: seen.waiting(),
            held: held(&seen),
            in_flight,
            drain_per_second: seen.queue.rate.map_or(seen.drain_per_second, Rate::per_second),
            time_to_empty_ms: seen.queue.time_to_empty().map(millis),
            breaker: Breaker {
                state: if is_open { BreakerState::Open } else { BreakerState::Closed },
                failures: seen.failures,
                retry_at: seen.queue.retry_in.map(|pause| now.plus(pause)),
            },
            breaches: breaches(&seen),
            issuer: seen.issuer_url,
            client_id: seen.client_id,
            delivery_method: seen.delivery_method,
        }
    }
}

fn held(stream: &Observed) -> u64 {
    if stream.queue.is_held { stream.waiting() } else { 0 }
}

fn breaches(stream: &Observed) -> u64 {
    stream.totals.iter().map(|totals| totals.breached).sum()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Streams looked at in one statement.
const AT_ONCE: u16 = 1_000;
/// How far into each lane what is being sent is looked for.
const HEAD: i64 = 100;
