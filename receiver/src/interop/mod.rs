//! Driving a stream by hand, at any transmitter: for interop testing, beside the service and without its database.
//!
//! A [`Peer`] is a transmitter that was discovered and a credential for it. [`Peer::ask`] makes one exchange; [`check`]
//! compares the answer with what the specifications say, strictly, and cites the section. [`Tail`] takes SETs as they come
//! and shows what [`set::verify`](ssf_common::set::verify) thinks of each. Everything shown goes through a [`Mask`].
//!
//! The service itself is tolerant ([`upstream::client`](crate::upstream::client)): it makes do with any answer that carries
//! what it needs. Here nothing is made do with, so that two implementers can see who of them is wrong.

pub mod check;
mod fault;
mod findings;
mod judge;
mod mask;
mod peer;
mod tail;
mod tail_poll;
mod tail_push;
mod trace;

pub use fault::Fault;
pub use findings::{Finding, Findings, Weight};
pub use judge::Seen;
pub use mask::Mask;
pub use peer::{Manner, Peer};
pub use tail::{Screen, Source, Tail, Tailed, Way};
pub use tail_poll::PollManner;
pub use tail_push::PushDoor;
