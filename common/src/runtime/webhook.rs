//! The signature of a webhook, after the Standard Webhooks specification 1.0.0 (standardwebhooks.com): HMAC-SHA-256 over
//! `webhook-id`, `webhook-timestamp` and the body, joined by dots.
//!
//! [`headers`] is used by who sends, [`verify`] by who receives in Rust; others find a library for their language there.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use secrecy::{ExposeSecret as _, SecretSlice};
use subtle::ConstantTimeEq as _;

use crate::clock::Timestamp;

/// The header with the id, the same at each attempt.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the time of the attempt, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signatures, one per secret, with spaces between them.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// How far the time of an attempt may be from the clock of who verifies it, as the specification's libraries have it.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// What both sides know: 24 to 64 bytes.
#[derive(Clone, Debug)]
pub struct Secret(SecretSlice<u8>);

/// The text is not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Secret::RULE)]
pub struct SecretError;

/// The three headers of a webhook, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
}

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// The time is not a number.
    #[error("webhook-timestamp is not a number of seconds")]
    Malformed,
    /// It was sent too long ago, or is sent in the future: perhaps somebody repeats what he overheard.
    #[error("webhook-timestamp is too far from the present")]
    TooFar,
    /// No signature is one of ours.
    #[error("webhook-signature holds no signature of this secret")]
    WrongSignature,
}

impl Secret {
    /// What a secret must be.
    pub const RULE: &str =
        "must be 24 to 64 bytes in base64, with or without whsec_ before it; make one with `openssl rand -base64 32`";

    /// Reads base64, with or without `whsec_` before it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let bytes = BASE64_STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).map_err(|_| SecretError)?;
        if (24..=64).contains(&bytes.len()) { Ok(Self(bytes.into())) } else { Err(SecretError) }
    }

    /// The signature of one attempt, as it stands in the header.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        format!("v1,{}", BASE64_STANDARD.encode(self.digest(id, timestamp, body)))
    }

    fn digest(&self, id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
        let signed = || -> Result<Vec<u8>, openssl::error::ErrorStack> {
            let key = PKey::hmac(self.0.expose_secret())?;
            let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
            signer.update(format!("{id}.{timestamp}.").as_bytes())?;
            signer.update(body)?;
            signer.sign_to_vec()
        };
        signed().expect("HMAC-SHA-256 of any bytes under a key of 24 bytes or more cannot fail")
    }
}

/// The headers of one attempt, signed with each of the secrets.
pub fn headers(secrets: &[Secret], id: &str, now: Timestamp, body: &[u8]) -> [(&'static str, String); 3] {
    let seconds = now.unix_seconds();
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(id, seconds, body)).collect();
    [(ID_HEADER, id.to_owned()), (TIMESTAMP_HEADER, seconds.to_string()), (SIGNATURE_HEADER, signatures.join(" "))]
}

/// Verifies a webhook: `body` as it was received, byte for byte, and `secrets` those that are good (two while one takes
/// the other's place). Compares in constant time.
///
/// It may come more than once: whoever verified it still has to look whether its id is known already.
pub fn verify(headers: &Headers<'_>, body: &[u8], secrets: &[Secret], now: Timestamp) -> Result<(), NotVerified> {
    let timestamp: i64 = headers.timestamp.parse().map_err(|_| NotVerified::Malformed)?;
    let sent_at = Timestamp::from_unix_seconds(timestamp);
    if sent_at.since(now) > TOLERANCE || now.since(sent_at) > TOLERANCE {
        return Err(NotVerified::TooFar);
    }
    let shown = || headers.signature.split(' ').filter_map(|one| BASE64_STANDARD.decode(one.strip_prefix("v1,")?).ok());
    let is_known = secrets.iter().any(|secret| {
        let expected = secret.digest(headers.id, timestamp, body);
        shown().any(|shown| bool::from(shown.ct_eq(&expected)))
    });
    if is_known { Ok(()) } else { Err(NotVerified::WrongSignature) }
}

const PREFIX: &str = "whsec_";

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the specification's own libraries are tested with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn now(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_614_265_330 + seconds)
    }

    fn told<'a>(timestamp: &'a str, signature: &'a str) -> Headers<'a> {
        Headers { id: ID, timestamp, signature }
    }

    #[test]
    fn the_specifications_vector_is_signed_and_verified() {
        let secret = Secret::parse(SECRET).unwrap();
        assert_eq!(secret.sign(ID, 1_614_265_330, BODY), SIGNATURE);
        let secrets = [secret];
        for (sent, shown, body, at, expected) in [
            ("1614265330", SIGNATURE, BODY, 0, Ok(())),
            ("1614265330", SIGNATURE, BODY, 300, Ok(())),
            ("1614265330", SIGNATURE, BODY, 301, Err(NotVerified::TooFar)),
            ("1614265330", SIGNATURE, BODY, -301, Err(NotVerified::TooFar)),
            ("1614265331", SIGNATURE, BODY, 0, Err(NotVerified::WrongSignature)),
            ("1614265330", SIGNATURE, b"{}", 0, Err(NotVerified::WrongSignature)),
            ("1614265330", "", BODY, 0, Err(NotVerified::WrongSignature)),
            ("1614265330", "v1,g0hM9SsE", BODY, 0, Err(NotVerified::WrongSignature)),
            (
                "1614265330",
                "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                BODY,
                0,
                Err(NotVerified::WrongSignature),
            ),
            ("soon", SIGNATURE, BODY, 0, Err(NotVerified::Malformed)),
            ("9223372036854775807", SIGNATURE, BODY, 0, Err(NotVerified::TooFar)),
        ] {
            assert_eq!(verify(&told(sent, shown), body, &secrets, now(at)), expected, "{sent} {shown} {at}");
        }
    }

    #[test]
    fn while_one_secret_takes_the_others_place_either_is_enough_on_both_sides() {
        let (old, new) = (Secret::parse(SECRET).unwrap(), Secret::parse(&format!("whsec_{}", "A".repeat(44))).unwrap());
        let [_, _, (_, both)] = super::headers(&[new.clone(), old.clone()], ID, now(0), BODY);
        for known in [&old, &new] {
            assert_eq!(verify(&told("1614265330", &both), BODY, std::slice::from_ref(known), now(0)), Ok(()));
        }
        assert_eq!(verify(&told("1614265330", SIGNATURE), BODY, &[new, old], now(0)), Ok(()));
    }

    #[test]
    fn a_secret_has_enough_bytes_with_its_prefix_or_without() {
        let bare = Secret::parse(SECRET.trim_start_matches(PREFIX)).unwrap();
        assert_eq!(bare.sign(ID, 1_614_265_330, BODY), SIGNATURE);
        for text in ["", "whsec_", "whsec_c2hvcnQ=", "c2hvcnQ=", "whsec_not base64", "not base64, however long it is"] {
            assert!(Secret::parse(text).is_err(), "{text}");
        }
        assert_eq!(format!("{:?}", Secret::parse(SECRET).unwrap()).matches("MfKQ").count(), 0);
    }
}
