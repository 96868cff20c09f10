//! [`Sealing`]: the secrets of managed upstreams at rest, AES-256-GCM under a key of their own.

use std::fmt;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use secrecy::{ExposeSecret as _, SecretSlice};
use serde_json::{Map, Value};
use ssf_common::random::Random;

/// The key that seals. It is derived from the root secret under a purpose of its own, so that it says nothing of the keys
/// of subjects, nor they of it.
#[derive(Clone)]
pub struct Sealing(SecretSlice<u8>);

/// Secrets could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// They were sealed under another root, or for another upstream, or were changed.
    #[error(
        "the stored secrets of the upstream do not open with privacy.subject_key; restore the key they were sealed under, or give them again"
    )]
    Foreign,
    /// OpenSSL refused.
    #[error("OpenSSL could not seal the secrets of the upstream")]
    OpenSsl,
}

impl Sealing {
    /// From the root secret (`privacy.subject_key`).
    ///
    /// # Panics
    /// If OpenSSL cannot compute an HMAC, as when memory is exhausted.
    pub fn new(root: &SecretSlice<u8>) -> Self {
        let key = PKey::hmac(PURPOSE)
            .and_then(|key| Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(root.expose_secret()))
            .expect("OpenSSL computes HMAC-SHA-256 with any key and message unless memory is exhausted");
        Self(key.into())
    }

    /// Seals these for the upstream `name`: a nonce, the tag, then the ciphertext.
    pub(super) fn seal(
        &self,
        secrets: &Map<String, Value>,
        name: &str,
        random: &dyn Random,
    ) -> Result<Vec<u8>, SealError> {
        let plain = serde_json::to_vec(secrets).map_err(|_| SealError::OpenSsl)?;
        let (mut nonce, mut tag) = ([0; NONCE], [0; TAG]);
        random.fill(&mut nonce);
        let (key, place) = (self.0.expose_secret(), name.as_bytes());
        let sealed = encrypt_aead(Cipher::aes_256_gcm(), key, Some(&nonce), place, &plain, &mut tag);
        Ok([&nonce[..], &tag[..], &sealed.map_err(|_| SealError::OpenSsl)?[..]].concat())
    }

    /// Opens what was sealed for the same upstream.
    pub(super) fn open(&self, sealed: &[u8], name: &str) -> Result<Map<String, Value>, SealError> {
        let (nonce, rest) = sealed.split_at_checked(NONCE).ok_or(SealError::Foreign)?;
        let (tag, sealed) = rest.split_at_checked(TAG).ok_or(SealError::Foreign)?;
        let (key, place) = (self.0.expose_secret(), name.as_bytes());
        let plain = decrypt_aead(Cipher::aes_256_gcm(), key, Some(nonce), place, sealed, tag);
        serde_json::from_slice(&plain.map_err(|_| SealError::Foreign)?).map_err(|_| SealError::Foreign)
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealing(***)")
    }
}

const PURPOSE: &[u8] = b"ssf-receiver upstream secrets 1";
const NONCE: usize = 12;
const TAG: usize = 16;

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ssf_common::random::SystemRandom;

    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_root_and_for_its_upstream_only() {
        let ours = Sealing::new(&vec![1; 32].into());
        let secrets = json!({"client_secret": "hush"}).as_object().unwrap().clone();
        let sealed = ours.seal(&secrets, "idp", &SystemRandom).unwrap();
        assert!(!sealed.windows(4).any(|window| window == b"hush"));
        assert_eq!(ours.open(&sealed, "idp").unwrap(), secrets);
        assert_eq!(ours.open(&sealed, "other").unwrap_err(), SealError::Foreign);
        assert_eq!(Sealing::new(&vec![2; 32].into()).open(&sealed, "idp").unwrap_err(), SealError::Foreign);
        assert_eq!(ours.open(&sealed[..20], "idp").unwrap_err(), SealError::Foreign);
        let mut turned = sealed;
        turned[NONCE + TAG] ^= 1;
        assert_eq!(ours.open(&turned, "idp").unwrap_err(), SealError::Foreign);
        assert!(!format!("{ours:?}").contains('1'));
    }
}
