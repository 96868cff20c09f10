//! Security Event Tokens (RFC 8417) as SSF 1.0 §4 profiles them: signed here, verified here.
//!
//! [`sign`] turns [`Claims`] into a compact JWS; [`verify`] is the only way to a [`VerifiedSet`], and every way to fail
//! is a [`Refusal`] that knows its RFC 8935 code.

mod claims;
mod refusal;
mod sign;
mod verify;

pub use claims::{Audience, Claims, DEFAULT_TIMELINE_CLAIM, Timeline};
pub use refusal::{ErrorCode, Refusal};
pub use sign::{SignError, sign};
pub use verify::{Policy, Shapes, VerifiedSet, verify};

/// The `typ` of a SET (RFC 8417 §2.3).
pub const MEDIA_TYPE: &str = "application/secevent+jwt";
