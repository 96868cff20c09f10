//! From recorded decisions to acknowledged SETs.
//!
//! [`FanOut`] makes one delivery per stream that wants an event. [`Push`] takes deliveries that are due, signs and sends
//! them, and hands what came of it to the settler; [`Polling`] answers receivers that fetch. A delivery is the promise
//! of one SET with a fixed `jti` and `iat`; holding its lease is the right to settle it. A settled delivery leaves for
//! the history, a refused one for the dead letters: nothing is dropped silently.

mod bell;
mod courier;
mod fan_out;
mod hand;
mod in_flight;
mod maintenance;
mod outcome;
mod pace;
mod polling;
mod portion;
mod push;
mod sender;
mod settle;
mod signing;
pub(crate) mod store;
mod waiting;

use std::time::Duration;

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
use ssf_common::clock::Timestamp;
use ssf_common::event::{EventType, Vocabulary};
use ssf_common::uuid_id;
pub use waiting::{Place, Waiting};

use crate::outbox::Lane;

uuid_id! {
    /// A delivery; as text it is the `jti` of its SET.
    DeliveryId;
    /// The right to settle what was taken with it.
    LeaseId;
}

impl DeliveryId {
    /// Smaller than every id born at this millisecond or later.
    fn first_of(at: Timestamp) -> Self {
        let millis = u64::try_from(at.unix_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
    }

    /// When it was born, to the millisecond; `None` for an id that no delivery has.
    fn born(self) -> Option<Timestamp> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1_000))?;
        Some(Timestamp::from_unix_micros(micros))
    }
}

/// A delivery taken for sending, with all that its SET needs.
#[derive(Clone, Debug)]
pub struct Taken {
    pub(crate) id: DeliveryId,
    pub(crate) stream: crate::stream::StreamKey,
    /// Of the stream's row, when it was taken.
    pub(crate) stream_version: String,
    pub(crate) issuer: crate::issuer::IssuerId,
    pub(crate) audience: Vec<String>,
    pub(crate) algorithm: String,
    pub(crate) timeline_claim: bool,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) endpoint_host: Option<String>,
    pub(crate) authorization_sealed: Option<Vec<u8>>,
    pub(crate) event_type: String,
    pub(crate) lane: i16,
    pub(crate) subject: serde_json::Value,
    pub(crate) payload: serde_json::Value,
    pub(crate) txn: String,
    pub(crate) attempts: i32,
    pub(crate) occurred_at: ssf_common::clock::Timestamp,
    pub(crate) recorded_at: ssf_common::clock::Timestamp,
    pub(crate) fanned_out_at: ssf_common::clock::Timestamp,
    pub(crate) first_taken_at: ssf_common::clock::Timestamp,
}

impl Taken {
    /// Whether it is part of a job that nobody waits for.
    fn is_bulk(&self) -> bool {
        Lane::from_number(self.lane) == Lane::Bulk
    }

    /// Whether it announces a change of its stream's status.
    fn announces(&self) -> bool {
        self.event_type == EventType::StreamUpdated.uri(&Vocabulary::default())
    }
}

/// How long nothing else goes out before an announcement that was taken and is not settled. Long enough for a receiver that
/// comes back; short enough that one which never takes announcements still hears of revocations.
const ANNOUNCEMENTS_FIRST: Duration = Duration::from_mins(15);
