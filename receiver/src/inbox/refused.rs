//! A SET that was not let in, as far as it may be remembered: the answer it got, never what it said.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ssf_common::clock::Timestamp;
use ssf_common::set::{ErrorCode, Refusal};

use super::Context;
use crate::upstream::{Method, UpstreamId};

/// A refused SET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where it came from.
    pub upstream_id: UpstreamId,
    /// How.
    pub method: Method,
    /// When.
    pub at: Timestamp,
    /// The code it was answered with.
    pub code: ErrorCode,
    /// The reason it was answered with; says what was wrong, never quotes the SET.
    pub description: String,
    /// Its id, if that could be read and is plain. Nobody vouches for it.
    pub jti: Option<String>,
}

impl Refused {
    /// Remembers `refusal` of the SET in `raw`, whose signature proved nothing.
    pub fn new(context: &Context, refusal: &Refusal, raw: &[u8]) -> Self {
        Self::with_jti(context, refusal, claimed_jti(raw))
    }

    pub(super) fn with_jti(context: &Context, refusal: &Refusal, jti: Option<String>) -> Self {
        Self {
            upstream_id: context.upstream_id,
            method: context.method,
            at: context.received_at,
            code: refusal.code(),
            description: refusal.description().chars().filter(|c| *c != '\0').take(MAX_DESCRIPTION).collect(),
            jti: jti.filter(|jti| is_plain(jti)),
        }
    }
}

/// The `jti` a compact JWS claims to have, if it can be read at all.
fn claimed_jti(raw: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claimed {
        jti: String,
    }
    if raw.len() > MAX_READ {
        return None;
    }
    let payload = std::str::from_utf8(raw).ok()?.split('.').nth(1)?;
    let claimed: Claimed = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(claimed.jti)
}

/// Ids look like this; addresses, sentences and whatever else a stranger may write there do not.
fn is_plain(jti: &str) -> bool {
    (1..=MAX_JTI).contains(&jti.len())
        && jti.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}

const MAX_DESCRIPTION: usize = 1_024;
const MAX_JTI: usize = 128;
const MAX_READ: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn jws(payload: &str) -> Vec<u8> {
        format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(payload)).into_bytes()
    }

    fn remembered(raw: &[u8]) -> Option<String> {
        claimed_jti(raw).filter(|jti| is_plain(jti))
    }

    #[test]
    fn a_plain_id_is_remembered() {
        assert_eq!(remembered(&jws(r#"{"jti":"756E69717565-20.a_b"}"#)).as_deref(), Some("756E69717565-20.a_b"));
    }

    #[test]
    fn an_address_a_long_text_and_nonsense_are_not() {
        let long = format!(r#"{{"jti":"{}"}}"#, "a".repeat(129));
        for raw in
            [&jws(r#"{"jti":"alice@example.com"}"#), &jws(&long), &jws(r#"{"jti":7}"#), &b"\xff.\xff.\xff".to_vec()]
        {
            assert_eq!(remembered(raw), None);
        }
    }
}
