//! Secrets at rest: AES-256-GCM under one key from the configuration, bound to where they belong.

use std::fmt;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{NO_PAD, URL_SAFE_NO_PAD};
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use secrecy::{ExposeSecret as _, SecretString};
use ssf_common::random::Random;

/// The key that seals private keys and push credentials.
#[derive(Clone)]
pub struct SealingKey([u8; 32]);

impl SealingKey {
    /// From configuration text: 32 bytes in base64, either alphabet, padded or not.
    pub fn parse(text: &SecretString) -> Result<Self, SealError> {
        let text = text.expose_secret().trim().trim_end_matches('=');
        let standard = GeneralPurpose::new(&base64::alphabet::STANDARD, NO_PAD);
        let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| standard.decode(text)).map_err(|_| SealError::Key)?;
        bytes.try_into().map(Self).map_err(|_| SealError::Key)
    }

    /// Seals `plain` for `place`: a nonce, the tag, then the ciphertext. Only the same place opens it again.
    pub fn seal(&self, plain: &[u8], place: &str, random: &dyn Random) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE];
        random.fill(&mut nonce);
        let mut tag = [0; TAG];
        let sealed = encrypt_aead(Cipher::aes_256_gcm(), &self.0, Some(&nonce), place.as_bytes(), plain, &mut tag)
            .map_err(|_| SealError::OpenSsl)?;
        Ok([&nonce[..], &tag[..], &sealed[..]].concat())
    }

    /// Opens what [`seal`](Self::seal) made for the same `place`.
    pub fn open(&self, sealed: &[u8], place: &str) -> Result<SecretString, SealError> {
        let (nonce, rest) = sealed.split_at_checked(NONCE).ok_or(SealError::Foreign)?;
        let (tag, sealed) = rest.split_at_checked(TAG).ok_or(SealError::Foreign)?;
        let plain = decrypt_aead(Cipher::aes_256_gcm(), &self.0, Some(nonce), place.as_bytes(), sealed, tag)
            .map_err(|_| SealError::Foreign)?;
        String::from_utf8(plain).map(SecretString::from).map_err(|_| SealError::Foreign)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(***)")
    }
}

/// Why something could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The configured key is not 32 bytes in base64.
    #[error("the sealing key must be 32 bytes in base64; make one with: openssl rand -base64 32")]
    Key,
    /// It was sealed with another key or for another place, or was changed.
    #[error(
        "a stored secret does not open with keys.sealing_key (without it, sealing.key under data.dir); restore the key it was sealed with"
    )]
    Foreign,
    /// OpenSSL refused.
    #[error("OpenSSL could not seal a secret")]
    OpenSsl,
}

const NONCE: usize = 12;
const TAG: usize = 16;

#[cfg(test)]
mod tests {
    use ssf_common::random::SystemRandom;

    use super::*;

    fn key(text: &str) -> SealingKey {
        SealingKey::parse(&text.into()).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_only_with_its_key_and_in_its_place() {
        let ours = key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
        let sealed = ours.seal(b"secret", "key:1", &SystemRandom).unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        assert_eq!(ours.open(&sealed, "key:1").unwrap().expose_secret(), "secret");
        assert_eq!(ours.open(&sealed, "key:2").unwrap_err(), SealError::Foreign);
        let other = key("HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        assert_eq!(other.open(&sealed, "key:1").unwrap_err(), SealError::Foreign);
        assert_eq!(ours.open(&sealed[..20], "key:1").unwrap_err(), SealError::Foreign);
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused() {
        assert_eq!(SealingKey::parse(&"c2hvcnQ=".into()).unwrap_err(), SealError::Key);
        assert_eq!(SealingKey::parse(&"not base64!".into()).unwrap_err(), SealError::Key);
    }
}
