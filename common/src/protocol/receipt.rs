//! Enforcement receipts: what a receiver tells the transmitter of SETs it has enforced. No specification has them; the
//! transmitter announces where it takes them by `enforcement_receipts_endpoint` in its metadata.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::Jti;

/// The body of a request with receipts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipts {
    /// One for each SET, at most 1,000.
    pub receipts: Vec<Receipt>,
}

/// One SET that was enforced. Every time is the receiver's, by its own clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Which SET.
    pub jti: Jti,
    /// Its bytes had arrived.
    pub received_at: Timestamp,
    /// Its effect was committed.
    pub applied_at: Timestamp,
    /// The last of its replicas saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_at: Option<Timestamp>,
    /// An enforcement point was last told that something it cuts off may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_allowed_at: Option<Timestamp>,
    /// The receiver's own judgement of its window.
    pub outcome: WindowOutcome,
}

/// Whether a window was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WindowOutcome {
    /// In every binding class that it serves.
    Kept,
    /// Not in one of them.
    Breached,
}

impl WindowOutcome {
    /// As stores call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Breached => "breached",
        }
    }
}

/// What became of receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptsTaken {
    /// How many were taken down.
    pub taken: usize,
    /// SETs of which no acknowledged delivery to this receiver is known: not yet, or not any more.
    #[serde(default)]
    pub unknown: Vec<Jti>,
}
