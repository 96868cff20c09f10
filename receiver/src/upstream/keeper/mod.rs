//! The keeper: brings one upstream to a working stream, step by step, and keeps it so, while this process holds the
//! upstream's lease. `steps` does what `plan` chose, and tells the upstream's history;
//! `trouble` remembers what was wrong.

mod error;
mod steps;
mod trouble;

pub use error::KeeperError;
pub use steps::Keeper;

pub use super::plan::StreamFault;
