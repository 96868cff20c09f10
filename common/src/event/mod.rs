//! What happened: the event types of CAEP 1.0, RISC 1.0 and SSF 1.0, and our `revalidate`.
//!
//! An [`EventType`] is a name with a URI; which URI `revalidate` has is settled by a [`Vocabulary`], because no
//! standard has given it one. An [`Event`] is a type with its payload: the members every CAEP event may have
//! ([`Common`]), those of its own type ([`Detail`]), and members we do not know, kept as they are. [`Event::parse`] is
//! the door: the transmitter checks with it what a producer hands in, and a receiver what a SET carries.
//! [`Event::to_payload`] writes back what was read.
//!
//! The subject of an event is not part of it: it stands in the SET as `sub_id` (SSF 1.0 §3.1).
//! Errors name the member and the fault, never the value.

mod common;
mod detail;
mod detail_json;
mod error;
mod event_type;
mod members;
mod payload;
#[cfg(test)]
mod tests;
mod values;
mod vocabulary;

pub use common::{Common, LocalizedText};
pub use detail::{Detail, Requirement, Revalidate};
pub use error::{EventError, Fault};
pub use event_type::EventType;
pub use payload::Event;
pub use values::{
    Background, ChangeDirection, ChangeType, ComplianceStatus, InitiatingEntity, Interaction, RiskLevel, StreamStatus,
    UnknownWord,
};
pub use vocabulary::{Vocabulary, VocabularyError};
