//! The keeper: brings one upstream to a working stream, step by step, and keeps it so, while this process holds the
//! upstream's lease. `steps` does what `plan` chose, and tells the upstream's history.

mod error;
mod steps;

pub use error::KeeperError;
pub use steps::Keeper;

pub use super::plan::StreamFault;
