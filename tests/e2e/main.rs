//! End-to-end stories.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on is a failed one")]

mod crash;
mod inbox;
mod peer;
mod push_door;
mod receiver_commands;
mod rp;
mod upstream;
mod validity;
