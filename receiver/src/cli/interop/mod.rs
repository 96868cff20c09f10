//! The commands that drive a stream by hand, at any transmitter: one exchange each, checked against the specifications.
//!
//! What was answered goes to standard output as JSON; what was found, and the exchanges themselves with `--trace`, to
//! standard error. No database, no running service.

mod body;
mod command;
mod ending;
mod peer;
mod poll;
mod screen;
mod stream;
mod subject;
mod tail;

pub(super) use command::Interop;
pub(super) use ending::{EXIT_CODES, not_meant};
pub(super) use poll::{Poll, Verify};
pub(super) use stream::Stream;
pub(super) use subject::Subject;
pub(super) use tail::Tail;
