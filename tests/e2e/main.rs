//! End-to-end stories.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on is a failed one")]

mod crash;
mod database_away;
mod delivery;
mod folder;
mod house;
mod inbox;
mod intake;
mod limits;
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
mod ssrf;
mod startup;
mod tls;
mod upstream;
mod validity;
mod warnings;
