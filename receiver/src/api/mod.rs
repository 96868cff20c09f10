//! The application's HTTP interface: register sessions, ask whether they are good, read the reports; below
//! [`admin`] the operator's.
//!
//! State is in the body: every question that could be answered is a 200. An error is
//! `{"error": code, "error_description": text}`; one that lies in the request names the member.

pub mod admin;
pub mod authz;
mod check;
mod error;
mod extract;
mod facts;
mod latency;
mod point;
mod router;
mod session_state;
mod sessions;
mod watch;
mod windows;

pub use error::ApiError;
pub use router::{ApiState, router};
