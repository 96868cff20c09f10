//! End-to-end stories.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on is a failed one")]

mod crash;
mod inbox;
mod rp;
mod validity;
