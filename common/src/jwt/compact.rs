//! The three segments of a compact JWS, and what its header says.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::id::KeyId;
use crate::jwks::{Algorithm, CarriedKey, KeyRefusal, VerifyingKeys};

/// A compact JWS, decoded and not verified.
#[derive(Debug)]
pub struct Compact<'a> {
    signed: &'a [u8],
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Not three base64url segments (RFC 7515 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one JWS in compact form")]
pub struct NotCompact;

impl<'a> Compact<'a> {
    /// Splits and decodes; white space around it is nobody's.
    pub fn split(raw: &'a [u8]) -> Result<Self, NotCompact> {
        let raw = raw.trim_ascii();
        let mut dots = raw.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(NotCompact);
        };
        let decode = |segment: &[u8]| BASE64_URL_SAFE_NO_PAD.decode(segment).map_err(|_| NotCompact);
        Ok(Self {
            signed: &raw[..second],
            header: decode(&raw[..first])?,
            payload: decode(&raw[first + 1..second])?,
            signature: decode(&raw[second + 1..])?,
        })
    }

    /// The header; `None` if it is not a JSON object.
    pub fn header(&self) -> Option<Header> {
        let members: Map<String, Value> = serde_json::from_slice(&self.header).ok()?;
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        Some(Header {
            typ: members.get("typ").map(|typ| typ.as_str().unwrap_or_default().to_owned()),
            algorithm: text("alg").and_then(|name| name.parse().ok()),
            key_id: text("kid").map(KeyId::from),
            is_critical: members.contains_key("crit"),
        })
    }

    /// The key in the header (`jwk`, RFC 7515 §4.1.3), as it was written; `None` if there is none.
    pub fn carried_key(&self) -> Option<Map<String, Value>> {
        let mut members: Map<String, Value> = serde_json::from_slice(&self.header).ok()?;
        match members.remove("jwk") {
            Some(Value::Object(jwk)) => Some(jwk),
            _ => None,
        }
    }

    /// Whether the signature is that of a key that came along.
    pub fn is_signed_by(&self, key: &CarriedKey) -> bool {
        key.verifies(self.signed, &self.signature)
    }

    /// The payload as a JSON object; `None` if it is none.
    pub fn payload(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(&self.payload).ok()
    }

    /// Whether the signature is that of `key_id` by `algorithm`.
    pub fn verify(&self, keys: &VerifyingKeys, key_id: &KeyId, algorithm: Algorithm) -> Result<(), KeyRefusal> {
        keys.verify(key_id, algorithm, self.signed, &self.signature)
    }
}

/// What a protected header says (RFC 7515 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `typ` as written; empty if it is not a text.
    pub typ: Option<String>,
    /// `alg`, if it is one of ours.
    pub algorithm: Option<Algorithm>,
    /// `kid`.
    pub key_id: Option<KeyId>,
    /// Whether it names extensions that must be understood (§4.1.11); we understand none.
    pub is_critical: bool,
}

impl Header {
    /// Whether `typ` is this media type, with or without `application/` (RFC 7515 §4.1.9).
    pub fn is_type(&self, subtype: &str) -> bool {
        let Some(typ) = self.typ.as_deref() else { return false };
        let prefix = "application/";
        let short = match typ.get(..prefix.len()) {
            Some(start) if start.eq_ignore_ascii_case(prefix) => &typ[prefix.len()..],
            _ => typ,
        };
        short.eq_ignore_ascii_case(subtype)
    }
}
