//! Keys: the ones that sign, the published set, and the ones a stranger published.
//!
//! [`SigningKey`] is a private key ready to sign (RFC 7515), [`VerifyingKeys`] a parsed JWK set (RFC 7517 §5),
//! [`CarriedKey`] one that came along with what it signed. Only `signing`, `verifying` and `carried` call josekit; `import`
//! reads what others made.

mod algorithm;
mod carried;
mod import;
mod signing;
mod verifying;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use carried::{CarriedKey, CarriedKeyError};
pub use import::ImportError;
pub use signing::{KeyError, SigningKey};
pub use verifying::{JwksError, KeyRefusal, VerifyingKeys};
