//! Calls to addresses that strangers gave us: which of them we make ([`Guard`]), and the HTTP client that is built so
//! that no other can be made ([`Outgoing`]).
//!
//! The guard stands in two places. An address is looked at when it is registered ([`Guard::check`]), so that whoever gives a bad
//! one hears of it. It is looked at again when a connection is made, after the name was resolved, because a name may mean
//! another address by then.

mod address;
mod client;
mod guard;
mod resolver;
mod retry_after;

pub use address::is_outward;
pub use client::{CallError, Client, Limits, Outgoing, OutgoingError};
pub use guard::{Allowed, AllowedError, Guard, NotAllowed};
pub use resolver::{Lookup, Refused, SystemLookup};
pub use retry_after::retry_after;
