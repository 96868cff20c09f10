//! The outbox: where a decision becomes durable, in the producer's own transaction or in ours.
//!
//! Three doors, one table: [`Draft`]s over HTTP through a [`Recorder`], [`record`] for Rust code inside its own
//! transaction, `ssf_emit` in SQL. "Stop, then stamp": the IdP ends its own session first, then records.

mod batch;
mod draft;
mod lane;
mod record;
pub(crate) mod store;

pub use batch::{NewBatch, record_portion};
pub use draft::{Draft, DraftError};
pub(crate) use draft::{objection, outgoing};
pub use lane::Lane;
pub use record::{NewEvent, RecordError, Recorder, record, record_within};
use ssf_common::uuid_id;

uuid_id! {
    /// A decision, as its producer knows it.
    EventId;
    /// Decisions handed in together, to be followed together.
    BatchId;
}
