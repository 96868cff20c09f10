//! The harness: what the stories, the demo and the bench stand on. A PostgreSQL for tests ([`cluster`]) and the
//! programs as they were built ([`binaries`]).

pub mod binaries;
pub mod cluster;

pub use cluster::{ScratchDatabase, TestCluster};
