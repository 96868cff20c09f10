//! DPoP (RFC 9449): a client shows on each request that it has the key its token is bound to.
//!
//! [`Verifier::verify`] does all of §4.3 and is the only way to a [`VerifiedProof`]. [`Replays`] remembers what was seen,
//! within bounds of time and size; [`Nonces`] are optional (§9) and need no memory.

mod nonce;
mod refusal;
mod replays;
mod target;
mod verify;
#[cfg(test)]
#[path = "verify_tests.rs"]
mod verify_tests;

pub use nonce::Nonces;
pub use refusal::DpopRefusal;
pub use replays::Replays;
pub use target::Target;
pub use verify::{DpopPolicy, VerifiedProof, Verifier};
