//! End-to-end stories.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on is a failed one")]

mod access_matrix;
mod admin_api;
mod algorithms;
mod authorization;
mod client_commands;
mod configuration;
mod crash;
mod database_away;
mod dead_letters;
mod delivery;
mod embedding;
mod house;
mod inbox;
mod intake;
mod interop_breaches;
mod interop_cli;
mod issuers;
mod keys;
mod management;
mod openapi;
mod operator;
mod order;
mod orderly_stop;
mod peer;
mod polling;
mod privacy;
mod push_door;
mod readme;
mod receiver_commands;
mod rollout;
mod rotation;
mod rp;
mod schema;
mod startup;
mod status_changes;
mod stream_status;
mod subject_lists;
mod subjects;
mod token_endpoint;
mod upstream;
mod validity;
mod verification;
mod warnings;
