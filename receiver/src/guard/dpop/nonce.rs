//! [`Nonces`]: nonces of the server (RFC 9449 §8, §9) that need no memory, so any replica with the same key takes them.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use secrecy::{ExposeSecret as _, SecretSlice};
use ssf_common::clock::Timestamp;
use subtle::ConstantTimeEq as _;

/// Makes nonces and knows them again while they are young: the second they were made in, and its keyed digest.
#[derive(Clone, Debug)]
pub struct Nonces {
    key: SecretSlice<u8>,
    good_for: Duration,
}

impl Nonces {
    /// With a key of 32 bytes of chance that all replicas share, and how long a nonce is good for.
    pub const fn new(key: SecretSlice<u8>, good_for: Duration) -> Self {
        Self { key, good_for }
    }

    /// The nonce of this second, for `DPoP-Nonce`.
    pub fn fresh(&self, now: Timestamp) -> String {
        let second = now.unix_seconds().to_be_bytes();
        let mut nonce = second.to_vec();
        nonce.extend_from_slice(&self.digest(second)[..16]);
        BASE64_URL_SAFE_NO_PAD.encode(nonce)
    }

    /// Whether it is one of ours that is still good.
    pub fn is_good(&self, nonce: &str, now: Timestamp) -> bool {
        let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let Some((second, digest)) = bytes.split_first_chunk::<8>() else { return false };
        let made_at = Timestamp::from_unix_seconds(i64::from_be_bytes(*second));
        let is_ours: bool = self.digest(*second)[..16].ct_eq(digest).into();
        is_ours && made_at <= now && now.since(made_at) <= self.good_for
    }

    fn digest(&self, second: [u8; 8]) -> Vec<u8> {
        let written = [PURPOSE, &second].concat();
        PKey::hmac(self.key.expose_secret())
            .and_then(|key| Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(&written))
            .expect("OpenSSL computes HMAC-SHA-256 with a key that is not empty unless memory is exhausted")
    }
}

const PURPOSE: &[u8] = b"ssf-receiver dpop nonce 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_time_and_with_its_key_only() {
        let now = Timestamp::from_unix_seconds(1_795_000_000);
        let nonces = |key: u8| Nonces::new(vec![key; 32].into(), Duration::from_mins(1));
        let nonce = nonces(1).fresh(now);
        assert!(nonces(1).is_good(&nonce, now) && nonces(1).is_good(&nonce, now.plus(Duration::from_mins(1))));
        assert!(!nonces(1).is_good(&nonce, now.plus(Duration::from_secs(61))));
        assert!(!nonces(1).is_good(&nonce, now.minus(Duration::from_secs(1))), "made in the future");
        assert!(!nonces(2).is_good(&nonce, now));
        for wrong in ["", "AAAA", "!", &nonce[1..], &"A".repeat(32), &format!("{nonce}AA")] {
            assert!(!nonces(1).is_good(wrong, now), "{wrong}");
        }
    }
}
