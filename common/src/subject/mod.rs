//! Who an event is about: subject identifiers (RFC 9493) and SSF's complex subjects (SSF 1.0 §3).
//!
//! A [`Subject`] is made from JSON by [`Subject::parse`] (or [`Subject::parse_legacy`] for the shapes before RFC 9493)
//! and written back by [`Subject::to_value`]. Three questions are asked of it:
//!
//! * *Is it the same?* [`Subject::canonical`] is one text per subject: the input of every hash and of every index.
//! * *Does it match?* [`Subject::matches`] compares as SSF 1.0 §8.1.3.1 does, where an absent member is a wildcard;
//!   [`Subject::covers`] is its strict sister, for what was removed.
//! * *Do we understand it?* [`Subject::check_critical`] compares with the members a transmitter calls critical.
//!
//! Events and SETs carry subjects; the transmitter filters streams by them and the receiver keys cut-offs by them.
//! Errors name the member and the fault, never the value: a subject is personal data.

mod canonical;
mod complex;
mod error;
mod limits;
mod matching;
#[cfg(test)]
mod matching_tests;
mod parse;
mod simple;
pub(crate) mod syntax;
#[cfg(test)]
mod tests;

pub use complex::{Complex, KNOWN_MEMBERS};
pub use error::{Fault, SubjectError};
pub use limits::{MAX_DEPTH, MAX_MEMBERS, MAX_TEXT};
pub use simple::Simple;

pub use self::subject::Subject;

#[expect(clippy::module_inception, reason = "the type that gives the folder its name")]
mod subject;
