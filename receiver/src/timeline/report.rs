//! The latency report: what `GET /v1/latency` answers.

use serde::Serialize;
use sqlx::PgPool;
use ssf_common::clock::Timestamp;

use super::{ClockOffset, store};

/// How long SETs took that arrived since a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// SETs received from then on are counted.
    pub since: Timestamp,
    /// When the report was made.
    pub as_of: Timestamp,
    /// Whose clocks the legs were measured with.
    pub clocks: Clocks,
    /// Per upstream, method and event type, and over all types.
    pub rows: Vec<Row>,
}

/// What the names of clocks in [`Leg::clocks`] mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Clocks {
    /// Legs measured by the issuer alone.
    pub issuer: &'static str,
    /// Legs measured here alone.
    pub receiver: &'static str,
    /// Legs from one clock to the other.
    pub issuer_to_receiver: &'static str,
}

/// One upstream, method and event type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The upstream's name.
    pub upstream: String,
    /// `push` or `poll`.
    pub method: String,
    /// The event type's short name or URI; `null` for all types together (without verification and stream-updated).
    pub event_type: Option<String>,
    /// How many SETs were received.
    pub received: i64,
    /// How far the issuer's clock was ahead of ours at the last verification we asked for: legs that cross clocks are
    /// wrong by as much. `null` before the first, and if the transmitter sends no timeline.
    pub clock_offset_ms: Option<ClockOffset>,
    /// The legs; a leg that no SET tells of has the count 0.
    pub legs: Legs,
}

/// The legs of the road, each since the decision but the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Legs {
    /// Decision → committed to the outbox.
    pub decided_to_recorded: Leg,
    /// Decision → deliveries made.
    pub decided_to_fanned_out: Leg,
    /// Decision → taken up to be signed and sent.
    pub decided_to_taken: Leg,
    /// Decision → received here.
    pub decided_to_received: Leg,
    /// Decision → applied here.
    pub decided_to_applied: Leg,
    /// Received → applied here.
    pub received_to_applied: Leg,
}

/// How long one leg took, in milliseconds. The percentiles are times that occurred, not interpolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Leg {
    /// Which clocks measured it: `issuer`, `receiver` or `issuer_to_receiver`.
    pub clocks: &'static str,
    /// How many SETs tell of it.
    pub count: i64,
    /// Half of them took no longer.
    pub p50_ms: Option<f64>,
    /// 90 % of them took no longer.
    pub p90_ms: Option<f64>,
    /// 99 % of them took no longer.
    pub p99_ms: Option<f64>,
    /// None took longer.
    pub max_ms: Option<f64>,
}

/// The report on all SETs received since `since`, or on those of one upstream.
pub async fn report(
    pool: &PgPool,
    since: Timestamp,
    upstream: Option<&str>,
    now: Timestamp,
) -> Result<Report, sqlx::Error> {
    let mut db = pool.acquire().await?;
    let rows = store::rows(&mut db, since, upstream).await?;
    Ok(Report { since, as_of: now, clocks: CLOCKS, rows })
}

pub(super) const ISSUER: &str = "issuer";
pub(super) const RECEIVER: &str = "receiver";
pub(super) const BETWEEN: &str = "issuer_to_receiver";
const CLOCKS: Clocks = Clocks {
    issuer: "both times are the issuer's, from the timeline claim of the SET",
    receiver: "both times are ours, in microseconds",
    issuer_to_receiver: "the issuer's time is subtracted from ours: the figure is off by as much as the two clocks are \
                         apart, and may be negative; clocks that ran as at the last verification put the true time \
                         between the figure plus clock_offset_ms.min and the figure plus clock_offset_ms.max",
};
