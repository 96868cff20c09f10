//! Signing keys: sealed at rest, published as a JWK set, one active per issuer and algorithm.

mod ring;
mod seal;
pub(crate) mod store;

pub(crate) use ring::ensure_active;
pub use ring::{KeyRing, KeyRingError, SigningKeys};
pub use seal::{SealError, SealingKey};
use ssf_common::uuid_id;

uuid_id! {
    /// A key's row.
    SigningKeyId;
}
