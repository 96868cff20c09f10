//! A public key that a message brings along in its header (`jwk`, RFC 7515 §4.1.3). A signature by it proves that the
//! sender has the private half, and nothing about who the sender is: that is for whoever knows the key's thumbprint.

use std::fmt;

use josekit::jwk::Jwk;
use josekit::jws::JwsVerifier;
use serde_json::{Map, Value};

use super::Algorithm;
use super::signing::{public_members, thumbprint};
use super::verifying::verifier;

/// A key that came with what it signed.
pub struct CarriedKey {
    algorithm: Algorithm,
    thumbprint: String,
    verifier: Box<dyn JwsVerifier>,
}

/// Why a `jwk` is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CarriedKeyError {
    /// It has a member only the owner of a key may know, or is a shared secret.
    #[error("the `jwk` is not a public key")]
    NotPublic,
    /// Not a key for this algorithm.
    #[error("the `jwk` does not fit the `alg`")]
    Unfit,
}

impl CarriedKey {
    /// A public key for this algorithm: RSA of 2048 to 8192 bits, P-256, or Ed25519.
    pub fn parse(jwk: &Map<String, Value>, algorithm: Algorithm) -> Result<Self, CarriedKeyError> {
        if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
            return Err(CarriedKeyError::NotPublic);
        }
        // RFC 7518 §6.3.1.1: base64url, so four characters are three bytes
        if jwk.get("n").and_then(Value::as_str).is_some_and(|n| n.len() > LONGEST_MODULUS) {
            return Err(CarriedKeyError::Unfit);
        }
        let jwk = Jwk::from_map(jwk.clone()).map_err(|_| CarriedKeyError::Unfit)?;
        let public = public_members(&jwk).map_err(|_| CarriedKeyError::Unfit)?;
        let verifier = verifier(algorithm, &jwk).ok_or(CarriedKeyError::Unfit)?;
        Ok(Self { algorithm, thumbprint: thumbprint(&public), verifier })
    }

    /// The algorithm it is used with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its name that nobody else's key has: RFC 7638 with SHA-256, in base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Whether the private half of it made this signature.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifier.verify(message, signature).is_ok()
    }
}

impl fmt::Debug for CarriedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarriedKey").field("alg", &self.algorithm).finish_non_exhaustive()
    }
}

/// RFC 7518 §6.2.2, §6.3.2, §6.4; RFC 8037 §2.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// 8192 bits.
const LONGEST_MODULUS: usize = 8192 / 6 + 2;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jwks::SigningKey;

    fn members(jwk: &Value) -> Map<String, Value> {
        jwk.as_object().unwrap().clone()
    }

    #[test]
    fn a_carried_key_verifies_what_its_private_half_signed_and_is_known_by_its_thumbprint() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let carried = CarriedKey::parse(&members(key.public_jwk()), algorithm).unwrap();
            assert_eq!(carried.thumbprint(), key.key_id().as_str(), "a key of ours is called by its thumbprint");
            let signature = key.sign(b"message").unwrap();
            assert!(carried.verifies(b"message", &signature) && !carried.verifies(b"massage", &signature));
            for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
                let refused = CarriedKey::parse(&members(key.public_jwk()), other).unwrap_err();
                assert_eq!(refused, CarriedKeyError::Unfit, "{algorithm} as {other}");
            }
        }
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let with = |member: &str, value: Value| {
            let mut jwk = members(key.public_jwk());
            jwk.insert(member.to_owned(), value);
            CarriedKey::parse(&jwk, Algorithm::Es256).unwrap_err()
        };
        for private in PRIVATE {
            assert_eq!(with(private, json!("AAAA")), CarriedKeyError::NotPublic, "{private}");
        }
        assert_eq!(with("kty", json!("oct")), CarriedKeyError::Unfit);
        assert_eq!(with("crv", json!("P-384")), CarriedKeyError::Unfit);
        assert_eq!(with("x", json!("AAAA")), CarriedKeyError::Unfit, "not on the curve");
        assert_eq!(with("use", json!("enc")), CarriedKeyError::Unfit);
        let long = json!({"kty": "RSA", "e": "AQAB", "n": "u".repeat(3_000)});
        assert_eq!(CarriedKey::parse(&members(&long), Algorithm::Rs256).unwrap_err(), CarriedKeyError::Unfit);
        assert_eq!(CarriedKey::parse(&Map::new(), Algorithm::Rs256).unwrap_err(), CarriedKeyError::Unfit);
    }
}
