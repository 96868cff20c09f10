//! End-to-end stories.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on is a failed one")]

mod configuration;
mod crash;
mod database_away;
mod delivery;
mod house;
mod inbox;
mod intake;
mod management;
mod order;
mod peer;
mod polling;
mod privacy;
mod push_door;
mod readme;
mod receiver_commands;
mod rp;
mod schema;
mod startup;
mod status_changes;
mod stream_status;
mod upstream;
mod validity;
mod verification;
mod warnings;
