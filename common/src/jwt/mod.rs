//! Compact signed tokens (RFC 7515 §7.1, RFC 7519): split, header, signature and registered claims.
//!
//! SETs stand on [`Compact`] alone, for they have rules of their own; access tokens and client assertions are read by
//! [`Unverified::parse`], which tells whose they claim to be, and become a [`Token`] by [`Unverified::verify`] only.

mod compact;
mod refusal;
mod token;

pub use compact::{Compact, Header, NotCompact};
pub use refusal::JwtRefusal;
pub use token::{Expected, Token, Unverified};
