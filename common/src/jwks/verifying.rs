//! A JWK set somebody published, parsed once into keys that verify.

use std::collections::HashMap;
use std::fmt;

use josekit::jwk::Jwk;
use josekit::jws::{ES256, EdDSA, JwsVerifier, PS256, RS256};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Algorithm;
use crate::id::KeyId;

/// The usable keys of a JWK set (RFC 7517 §5): those with a `kid`, meant for signatures, that fit one of our algorithms.
/// Others are left out, as §5 asks.
#[derive(Default)]
pub struct VerifyingKeys(HashMap<KeyId, Vec<Usable>>);

/// A key for one algorithm; an RSA key without `alg` is usable for two.
type Usable = (Algorithm, Box<dyn JwsVerifier>);

impl VerifyingKeys {
    /// Parses a JWK set.
    pub fn parse(body: &[u8]) -> Result<Self, JwksError> {
        #[derive(Deserialize)]
        struct JwkSet {
            keys: Vec<Map<String, Value>>,
        }
        let set: JwkSet = serde_json::from_slice(body).map_err(|_| JwksError::NotAJwkSet)?;
        if set.keys.len() > MAX_KEYS {
            return Err(JwksError::TooMany);
        }
        let mut keys = Self::default();
        for jwk in set.keys.into_iter().filter_map(|members| Jwk::from_map(members).ok()) {
            let Some(key_id) = jwk.key_id().map(KeyId::from) else { continue };
            let usable = Algorithm::ALL.into_iter().filter_map(|a| verifier(a, &jwk).map(|v| (a, v)));
            keys.0.entry(key_id).or_default().extend(usable);
        }
        keys.0.retain(|_, usable| !usable.is_empty());
        Ok(keys)
    }

    /// Whether there is a usable key of this id.
    pub fn contains(&self, key_id: &KeyId) -> bool {
        self.0.contains_key(key_id)
    }

    /// The one key id, if there is exactly one.
    pub fn only(&self) -> Option<&KeyId> {
        let mut ids = self.0.keys();
        ids.next().filter(|_| ids.next().is_none())
    }

    /// How many usable keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no key is usable.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `signature` over `message` was made by key `key_id` with `algorithm`.
    pub fn verify(
        &self,
        key_id: &KeyId,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyRefusal> {
        let usable = self.0.get(key_id).ok_or(KeyRefusal::Unknown)?;
        let mut fitting = usable.iter().filter(|(a, _)| *a == algorithm).peekable();
        if fitting.peek().is_none() {
            return Err(KeyRefusal::Unfit);
        }
        if fitting.any(|(_, verifier)| verifier.verify(message, signature).is_ok()) {
            Ok(())
        } else {
            Err(KeyRefusal::BadSignature)
        }
    }
}

impl fmt::Debug for VerifyingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// No usable key of this id.
    Unknown,
    /// There is a key of this id, but not for this algorithm.
    Unfit,
    /// The signature is not that of the message.
    BadSignature,
}

/// Why a body is not a JWK set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Not a JSON object with an array `keys` of objects.
    #[error("the body is not a JWK set: a JSON object with an array `keys` of objects")]
    NotAJwkSet,
    /// More keys than anybody needs.
    #[error("the JWK set has more than {MAX_KEYS} keys")]
    TooMany,
}

/// A verifier, if the key is meant for signatures (`use`, `key_ops`, `alg`) and fits the algorithm. josekit refuses RSA
/// keys shorter than 2048 bits.
pub(super) fn verifier(algorithm: Algorithm, jwk: &Jwk) -> Option<Box<dyn JwsVerifier>> {
    match algorithm {
        Algorithm::Rs256 => RS256.verifier_from_jwk(jwk).ok().map(|v| Box::new(v) as _),
        Algorithm::Ps256 => PS256.verifier_from_jwk(jwk).ok().map(|v| Box::new(v) as _),
        Algorithm::Es256 => ES256.verifier_from_jwk(jwk).ok().map(|v| Box::new(v) as _),
        Algorithm::EdDsa => EdDSA.verifier_from_jwk(jwk).ok().map(|v| Box::new(v) as _),
    }
}

const MAX_KEYS: usize = 100;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jwks::SigningKey;

    #[test]
    fn every_algorithm_verifies_what_it_signed_and_nothing_else() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let keys = VerifyingKeys::parse(json!({"keys": [key.public_jwk()]}).to_string().as_bytes()).unwrap();
            let signature = key.sign(b"message").unwrap();
            assert_eq!(keys.verify(key.key_id(), algorithm, b"message", &signature), Ok(()));
            assert_eq!(keys.verify(key.key_id(), algorithm, b"massage", &signature), Err(KeyRefusal::BadSignature));
            assert_eq!(keys.verify(&"other".into(), algorithm, b"message", &signature), Err(KeyRefusal::Unknown));
            for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
                assert_eq!(keys.verify(key.key_id(), other, b"message", &signature), Err(KeyRefusal::Unfit), "{other}");
            }
        }
    }

    #[test]
    fn an_rsa_key_without_alg_verifies_with_both_paddings() {
        let key = SigningKey::generate(Algorithm::Ps256).unwrap();
        let mut public = key.public_jwk().clone();
        public.as_object_mut().unwrap().remove("alg");
        let keys = VerifyingKeys::parse(json!({"keys": [public]}).to_string().as_bytes()).unwrap();
        assert_eq!(keys.verify(key.key_id(), Algorithm::Ps256, b"m", &key.sign(b"m").unwrap()), Ok(()));
        assert_eq!(
            keys.verify(key.key_id(), Algorithm::Rs256, b"m", &key.sign(b"m").unwrap()),
            Err(KeyRefusal::BadSignature)
        );
    }

    #[test]
    fn keys_for_other_uses_and_strange_keys_are_left_out() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let mut encryption = key.public_jwk().clone();
        encryption["use"] = json!("enc");
        let mut nameless = key.public_jwk().clone();
        nameless.as_object_mut().unwrap().remove("kid");
        let strange = json!({"kty": "oct", "kid": "h", "k": "AAAA"});
        let body = json!({"keys": [encryption, nameless, strange, {"kty": 7}, {}]}).to_string();
        assert!(VerifyingKeys::parse(body.as_bytes()).unwrap().is_empty());
        assert_eq!(VerifyingKeys::parse(b"[]").unwrap_err(), JwksError::NotAJwkSet);
    }
}
