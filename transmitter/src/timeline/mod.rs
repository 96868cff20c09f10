//! The transmitter's part of the timeline: how long each leg took, on its own clock.
//!
//! Because a receiver commits before it acknowledges, decision → acknowledged bounds the enforcement time without
//! comparing the clocks of two companies.

pub(crate) mod store;

use serde::Serialize;
use ssf_common::clock::Timestamp;
use utoipa::ToSchema;

/// `GET /latency`: settled deliveries since a time, without control events.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LatencyReport {
    /// Deliveries settled from here on.
    pub since: Timestamp,
    /// Whose clock: the transmitter's alone.
    pub clocks: &'static str,
    /// One row per stream and event type, and one over all types of a stream.
    pub rows: Vec<LatencyRow>,
}

/// The figures of one stream and event type, in milliseconds since the decision.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LatencyRow {
    /// Which stream.
    pub stream_id: String,
    /// push or poll.
    pub delivery_method: String,
    /// Type URI; absent in the row over all types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Acknowledged deliveries counted.
    pub count: i64,
    /// What its receiver told of its enforcement; absent as long as it told nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
    /// Each leg's end: `recorded`, `fanned_out`, `taken`, `sent`, `acknowledged`.
    pub legs: Vec<Leg>,
}

/// What a receiver told of its enforcement, in milliseconds since the decision.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Enforcement {
    /// Whose clocks: the receiver's minus the decision's, so off by as much as the two are apart.
    pub clocks: &'static str,
    /// How many acknowledged deliveries it told of.
    pub count: i64,
    /// How many of them are breaches of its window, by its own judgement.
    pub breached: i64,
    /// Half were faster.
    pub p50: f64,
    /// Nine in ten were faster.
    pub p90: f64,
    /// 99 in 100 were faster.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// Milliseconds from one time to another, negative if the other is earlier: two clocks may be apart.
#[expect(clippy::cast_precision_loss, reason = "nothing takes 2^52 microseconds, which is 142 years")]
pub(crate) const fn between_ms(from: Timestamp, to: Timestamp) -> f64 {
    to.unix_micros().saturating_sub(from.unix_micros()) as f64 / 1_000.0
}

/// Time from the decision to the end of one leg, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Leg {
    /// The end of the leg.
    pub to: &'static str,
    /// Half were faster.
    pub p50: f64,
    /// Nine in ten were faster.
    pub p90: f64,
    /// 99 in 100 were faster.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}
