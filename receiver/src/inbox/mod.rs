//! Where verified SETs enter: claimed, applied and committed in one statement, and only then acknowledged.
//!
//! The push endpoint and the poll loop call [`Inbox::receive`]; both may do so from as many tasks as they like. What
//! arrives while one batch is being committed makes up the next, so a commit is shared by everybody who waits for one.
//! A batch is ONE statement (`store::apply`), so there is no transaction to keep open and nothing between "claimed"
//! and "applied" for a crash to fall into. Whoever holds a [`Receipt`] holds a commit.
//!
//! The stations inside: `arrival` decides what a SET becomes, `batches` runs the statement, `store` is the statement.
//! [`Inbox::refuse`] notes a SET that was not let in. [`AppliedLog`] writes, after the commits, when they were done;
//! losing it to a crash loses a figure of a report and no effect.

mod applied;
mod arrival;
mod batches;
mod door;
mod refused;
mod store;

pub use applied::AppliedLog;
pub use door::{Context, Inbox, InboxError, Receipt};
pub use refused::Refused;
