//! End-to-end stories.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on is a failed one")]

mod access_matrix;
mod authorization;
mod client_commands;
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
mod token_endpoint;
mod upstream;
mod validity;
mod warnings;
