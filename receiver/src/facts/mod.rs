//! What issuers told of devices, credentials, assurance and risk: kept per subject key, the newest by the issuer's time,
//! and answered to the application. None of it decides whether a session is good; cut-offs do.
//!
//! [`fact`] says which fact an event tells, pure; the inbox writes it in the statement that claims the SET; [`ask`] is
//! what the API calls. No fact holds an identifier, a name somebody gave a credential, or the value of a claim.

mod ask;
pub mod fact;
mod store;

pub use ask::{AskError, Asked, Known, of_session, of_subject};
pub use fact::{Fact, fact_of};
