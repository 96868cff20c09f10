//! End-to-end stories.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on is a failed one")]

mod admin_api;
mod crash;
mod database_away;
mod dead_letters;
mod delivery;
mod house;
mod inbox;
mod intake;
mod management;
mod openapi;
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
mod upstream;
mod validity;
mod warnings;
