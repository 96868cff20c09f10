//! Break-glass: an operator lets the sessions of an issuer go on although it is silent, or although events may have been
//! lost. For a while, with a reason, audited; it never touches what the issuer has revoked.
//!
//! Called by the administration and the command line; every process reads what is open with the rest of its memory
//! ([`crate::replica`]).

mod operate;
mod store;

use serde::Serialize;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;

pub use operate::{BreakGlassError, LONGEST, close, list, open};

/// One time it was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// Whose sessions.
    pub issuer: IssuerUrl,
    /// Since when, by our clock.
    pub opened_at: Timestamp,
    /// Until when it was to last.
    pub until: Timestamp,
    /// Who opened it.
    pub opened_by: String,
    /// Why.
    pub reason: String,
    /// When it was ended before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// Who did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<String>,
    /// Whether it is open at present.
    pub is_open: bool,
}
