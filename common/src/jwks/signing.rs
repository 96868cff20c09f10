//! A private key, parsed once and ready to sign.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use josekit::jwk::alg::ed::EdCurve;
use josekit::jws::{ES256, EdDSA, JwsSigner, PS256, RS256};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Algorithm;
use crate::id::KeyId;

/// A private key with its algorithm and key id. Parsing a key costs about as much as signing with it, so callers keep
/// this value; it is cheap to share behind an `Arc`.
pub struct SigningKey {
    algorithm: Algorithm,
    key_id: KeyId,
    signer: Box<dyn JwsSigner>,
    private: Jwk,
    public: Value,
}

impl SigningKey {
    /// A new key pair from OpenSSL's source of chance: RSA of 2048 bits, P-256, or Ed25519.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let jwk = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => Jwk::generate_rsa_key(RSA_BITS),
            Algorithm::Es256 => Jwk::generate_ec_key(EcCurve::P256),
            Algorithm::EdDsa => Jwk::generate_ed_key(EdCurve::Ed25519),
        };
        Self::from_jwk(jwk.map_err(|_| KeyError::Generation)?, algorithm)
    }

    /// A private JWK as text (RFC 7517). Its `alg` names the algorithm; the key id is the RFC 7638 thumbprint unless the
    /// JWK has a `kid`.
    pub fn from_private_jwk(text: &SecretString) -> Result<Self, KeyError> {
        let jwk = Jwk::from_bytes(text.expose_secret()).map_err(|_| KeyError::NotAJwk)?;
        let algorithm = jwk.algorithm().and_then(|name| name.parse().ok()).ok_or(KeyError::Algorithm)?;
        Self::from_jwk(jwk, algorithm)
    }

    fn from_jwk(mut private: Jwk, algorithm: Algorithm) -> Result<Self, KeyError> {
        private.set_algorithm(algorithm.as_str());
        private.set_key_use("sig");
        let mut public = public_members(&private)?;
        let key_id = KeyId(private.key_id().map_or_else(|| thumbprint(&public), ToOwned::to_owned));
        private.set_key_id(key_id.as_str());
        public["kid"] = json!(key_id);
        public["alg"] = json!(algorithm);
        public["use"] = json!("sig");
        let signer: Result<Box<dyn JwsSigner>, _> = match algorithm {
            Algorithm::Rs256 => RS256.signer_from_jwk(&private).map(|s| Box::new(s) as _),
            Algorithm::Ps256 => PS256.signer_from_jwk(&private).map(|s| Box::new(s) as _),
            Algorithm::Es256 => ES256.signer_from_jwk(&private).map(|s| Box::new(s) as _),
            Algorithm::EdDsa => EdDSA.signer_from_jwk(&private).map(|s| Box::new(s) as _),
        };
        Ok(Self { algorithm, key_id, signer: signer.map_err(|_| KeyError::Unfit(algorithm))?, private, public })
    }

    /// The algorithm it signs with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its `kid`.
    pub const fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// The public half, as it stands in the published set: `kty`, the key's own members, `kid`, `alg`, `use`.
    pub const fn public_jwk(&self) -> &Value {
        &self.public
    }

    /// The whole key, to be sealed and stored.
    pub fn to_private_jwk(&self) -> SecretString {
        self.private.to_string().into()
    }

    /// The signature of `message` (RFC 7515 §5.1, step 5).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.signer.sign(message).map_err(|_| KeyError::Signature)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.key_id).field("alg", &self.algorithm).finish_non_exhaustive()
    }
}

/// Why a key cannot be used. Never carries key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// OpenSSL could not make a key.
    #[error("OpenSSL could not generate a key")]
    Generation,
    /// The text is not a JSON Web Key.
    #[error("the text is not a JSON Web Key")]
    NotAJwk,
    /// `alg` is missing or unknown.
    #[error("the key's `alg` is missing or not one of RS256, PS256, ES256, EdDSA")]
    Algorithm,
    /// The key does not fit its algorithm, or RSA is shorter than 2048 bits.
    #[error("the key does not fit {0} (RSA needs at least 2048 bits, ES256 P-256, EdDSA Ed25519)")]
    Unfit(Algorithm),
    /// OpenSSL could not sign.
    #[error("OpenSSL could not sign")]
    Signature,
}

/// The public members only: an allow-list, so that a private one cannot slip through.
pub(super) fn public_members(jwk: &Jwk) -> Result<Value, KeyError> {
    let names: &[&str] = match jwk.key_type() {
        "RSA" => &["kty", "n", "e"],
        "EC" => &["kty", "crv", "x", "y"],
        "OKP" => &["kty", "crv", "x"],
        _ => return Err(KeyError::NotAJwk),
    };
    let members = names.iter().map(|name| {
        let value = if *name == "kty" { Some(json!(jwk.key_type())) } else { jwk.parameter(name).cloned() };
        value.map(|value| ((*name).to_owned(), value)).ok_or(KeyError::NotAJwk)
    });
    members.collect::<Result<serde_json::Map<_, _>, _>>().map(Value::Object)
}

/// RFC 7638 §3: SHA-256 over the required members in lexicographic order, without white space.
pub(super) fn thumbprint(public: &Value) -> String {
    let sorted: std::collections::BTreeMap<_, _> = public.as_object().into_iter().flatten().collect();
    let text = serde_json::to_string(&sorted).expect("a map of JSON values can always be written");
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

const RSA_BITS: u32 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_private_text_and_never_shows_it() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let again = SigningKey::from_private_jwk(&key.to_private_jwk()).unwrap();
            assert_eq!((again.key_id(), again.algorithm()), (key.key_id(), algorithm));
            assert_eq!(again.public_jwk(), key.public_jwk());
            let shown = format!("{key:?}{}", key.public_jwk());
            for private in ["\"d\"", "\"p\"", "\"q\"", "\"dp\"", "\"dq\"", "\"qi\""] {
                assert!(!shown.contains(private));
            }
        }
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        // RFC 7638 §3.1
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMst\
                 n64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI\
                 SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let public = json!({"kty": "RSA", "n": n, "e": "AQAB"});
        assert_eq!(thumbprint(&public), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_short_rsa_key_is_refused() {
        let mut jwk = Jwk::generate_rsa_key(1024).unwrap();
        jwk.set_algorithm("RS256");
        let refused = SigningKey::from_private_jwk(&jwk.to_string().into()).unwrap_err();
        assert_eq!(refused, KeyError::Unfit(Algorithm::Rs256));
    }
}
