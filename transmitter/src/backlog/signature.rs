//! Signs webhooks in the manner of Standard Webhooks 1.0: HMAC-SHA-256 over id, time and body, so that whoever gets one
//! knows that it is ours, whole and new.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use secrecy::{ExposeSecret as _, SecretString};
use ssf_common::clock::Timestamp;

/// The secret shared with whoever gets webhooks.
#[derive(Clone)]
pub struct SigningSecret(PKey<Private>);

/// The secret cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("backlog.webhook_secret must be 24 to 64 bytes in base64, with or without whsec_ before it")]
pub struct SecretFault;

impl SigningSecret {
    /// From its text: base64, with or without `whsec_` before it.
    pub fn parse(text: &SecretString) -> Result<Self, SecretFault> {
        let text = text.expose_secret().trim();
        let bytes = BASE64_STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).map_err(|_| SecretFault)?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(SecretFault);
        }
        PKey::hmac(&bytes).map(Self).map_err(|_| SecretFault)
    }

    /// The header `webhook-signature` of a body sent at `at` under `id`.
    pub(super) fn sign(&self, id: &str, at: Timestamp, body: &str) -> Result<String, openssl::error::ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.0)?;
        signer.update(format!("{id}.{}.{body}", at.unix_seconds()).as_bytes())?;
        Ok(format!("v1,{}", BASE64_STANDARD.encode(signer.sign_to_vec()?)))
    }
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_in_the_example_of_standard_webhooks() {
        // the vector of the specification's reference libraries
        let secret = SigningSecret::parse(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        let at = Timestamp::from_unix_seconds(1_614_265_330);
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_is_too_short_or_no_base64_is_refused() {
        for text in ["", "whsec_", "c2hvcnQ=", "not base64 at all, however long it is"] {
            assert!(SigningSecret::parse(&text.into()).is_err(), "{text}");
        }
    }
}
