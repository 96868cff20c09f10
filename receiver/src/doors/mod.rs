//! How SETs come in: pushed to us ([`push`], RFC 8935) or fetched by us ([`poll`], RFC 8936).
//!
//! Both hand the bytes to [`admit`], which verifies them and waits for the inbox's commit. Nothing is acknowledged that
//! was not committed, and nothing is refused because *we* could not judge it.

pub mod admit;
pub mod poll;
pub mod push;

pub use admit::{Admission, NotAdmitted};
pub use poll::{PollError, Poller};
