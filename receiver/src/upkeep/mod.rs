//! What is removed because it can no longer matter: cut-offs after the lineage cap, records of SETs after the replay
//! horizon, and what hangs on them. [`Upkeep`] is the worker.

mod store;
mod work;

pub use work::{Kept, Upkeep};
