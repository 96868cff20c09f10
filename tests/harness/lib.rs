//! The harness: what the stories, the demo and the bench stand on. A PostgreSQL for tests ([`cluster`]); a transmitter
//! inside the test ([`idp`]), whose answers must be what its document says ([`document`]), and a push receiver for it
//! ([`sink`]); the programs as they were built ([`binaries`]), run
//! as real processes ([`processes`]) that make up the whole road ([`road`]).

pub mod binaries;
pub mod cluster;
pub mod document;
pub mod idp;
pub mod processes;
pub mod relying_party;
pub mod road;
pub mod sink;

pub use cluster::{ScratchDatabase, TestCluster};
