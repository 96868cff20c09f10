//! The harness: what the stories, the demo and the bench stand on. A PostgreSQL for tests ([`cluster`]) and the
//! programs as they were built ([`binaries`]), run as real processes ([`processes`]) that make up the whole road ([`road`]).

pub mod binaries;
pub mod cluster;
pub mod processes;
pub mod road;

pub use cluster::{ScratchDatabase, TestCluster};
