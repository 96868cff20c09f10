//! From recorded decisions to acknowledged SETs.
//!
//! [`FanOut`] makes one delivery per stream that wants an event. [`Push`] takes deliveries that are due, signs and sends
//! them, and hands what came of it to the settler; [`Polling`] answers receivers that fetch. A delivery is the promise
//! of one SET with a fixed `jti` and `iat`; holding its lease is the right to settle it. A settled delivery leaves for
//! the history, a refused one for the dead letters: nothing is dropped silently.

mod bell;
mod fan_out;
mod in_flight;
mod maintenance;
mod outcome;
mod polling;
mod push;
mod sender;
mod settle;
mod signing;
pub(crate) mod store;

pub use bell::Bell;
pub use fan_out::FanOut;
pub use maintenance::Maintenance;
pub use outcome::{Answer, Outcome};
pub use polling::{Polled, Polling, PollingError};
pub use push::{Push, PushLimits};
pub use sender::{Sender, SenderError};
pub use settle::Settler;
pub(crate) use signing::{Content, authorization_place};
pub use signing::{SigningDesk, Unsendable};
use ssf_common::uuid_id;

uuid_id! {
    /// A delivery; as text it is the `jti` of its SET.
    DeliveryId;
    /// The right to settle what was taken with it.
    LeaseId;
}

/// A delivery taken for sending, with all that its SET needs.
#[derive(Clone, Debug)]
pub struct Taken {
    pub(crate) id: DeliveryId,
    pub(crate) stream: crate::stream::StreamKey,
    pub(crate) issuer: crate::issuer::IssuerId,
    pub(crate) audience: Vec<String>,
    pub(crate) algorithm: String,
    pub(crate) timeline_claim: bool,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) authorization_sealed: Option<Vec<u8>>,
    pub(crate) event_type: String,
    pub(crate) subject: serde_json::Value,
    pub(crate) payload: serde_json::Value,
    pub(crate) txn: String,
    pub(crate) attempts: i32,
    pub(crate) occurred_at: ssf_common::clock::Timestamp,
    pub(crate) recorded_at: ssf_common::clock::Timestamp,
    pub(crate) fanned_out_at: ssf_common::clock::Timestamp,
    pub(crate) first_taken_at: ssf_common::clock::Timestamp,
}
