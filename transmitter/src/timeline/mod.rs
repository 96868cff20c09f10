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
    /// Each leg's end: `recorded`, `fanned_out`, `taken`, `sent`, `acknowledged`.
    pub legs: Vec<Leg>,
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
