//! What issuers decided that they may not decide here, or further than they may: kept without effect, until an operator
//! applies or discards it. The inbox writes it ([`crate::cutoff::authority`] says what); the administration and the
//! command line call this.

mod operate;
mod store;

use serde::Serialize;
use ssf_common::clock::Timestamp;

pub use operate::{SettleError, Settled, list, settle};

/// One decision that is held back. Names no subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Its place.
    pub id: i64,
    /// The upstream it came through.
    pub upstream: String,
    /// The SET's id.
    pub jti: String,
    /// The transaction of that SET, if it named one: the issuer's operators know what it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<String>,
    /// Short name of the event type, or its URI.
    pub event_type: String,
    /// What it would have become.
    pub effect: String,
    /// Why it is held back, as [`Withheld::as_str`](crate::cutoff::Withheld::as_str).
    pub reason: String,
    /// When the issuer decided it, by the issuer's clock.
    pub decided_at: Timestamp,
    /// When it had arrived, by our clock.
    pub received_at: Timestamp,
    /// `waiting`, `applied` or `discarded`.
    pub state: String,
    /// When an operator settled it, by our clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
    /// Who did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_by: Option<String>,
}
