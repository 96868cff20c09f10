//! The harness: what the stories, the demo and the bench stand on. A PostgreSQL for tests ([`cluster`]), the programs as
//! they were built ([`binaries`]), a transmitter inside the test ([`idp`]) and a push receiver for it ([`sink`]).

pub mod binaries;
pub mod cluster;
pub mod idp;
pub mod sink;

pub use cluster::{ScratchDatabase, TestCluster};
