//! Forgetting a subject: what hangs on its keys is removed or loses the link to it. Called by the administration and the
//! command line.
//!
//! Nothing is made good again by it: the subject's sessions are removed, so every question about them is answered
//! `unknown`, and cut-offs and blocks stay. They hold a digest and times; cut-offs go by themselves after the lineage cap,
//! and blocks as old as that go if the operator asks.

mod operate;
mod store;

pub use operate::{ForgetError, Forgotten, Whom, forget};
