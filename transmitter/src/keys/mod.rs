//! Signing keys: sealed at rest, published as a JWK set, one active per issuer and algorithm.
//!
//! A key is *next* (published, signs nothing), then *active* (signs), then *retired* (published, signs nothing more),
//! then removed (gone, but for its public half in the records). [`plan`](due) decides when, purely; [`Rotator`] does it,
//! or the operator before it is due. What signs and what is published is read from the same rows: a [`KeyRing`].

mod change;
mod plan;
mod ring;
mod rotator;
mod seal;
pub(crate) mod store;

pub(crate) use change::Change;
pub use plan::{Key, KeyState, Outlook, Prospect, Rotation, Step, due, outlook};
pub(crate) use plan::{active_of, next_of};
pub(crate) use ring::ensure_active;
pub use ring::{KeyRing, KeyRingError, SigningKeys};
pub use rotator::Rotator;
pub use seal::{SealError, SealingKey};
use ssf_common::id::KeyId;
use ssf_common::uuid_id;

uuid_id! {
    /// A key's row.
    SigningKeyId;
}

/// Where a private key is sealed for.
fn place(kid: &KeyId) -> String {
    format!("signing_key:{kid}")
}
