//! Claims → compact JWS (RFC 7515 §7.1).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

use super::Claims;
use crate::event::Vocabulary;
use crate::jwks::{KeyError, SigningKey};

/// Signs one SET. Header: `typ` `secevent+jwt` (SSF 1.0 §4.1.1), `alg`, `kid`. `timeline_claim` names the private claim
/// for [`Claims::timeline`]; `None` leaves it out.
///
/// # Errors
/// Only if OpenSSL refuses to sign.
pub fn sign(
    claims: &Claims,
    vocabulary: &Vocabulary,
    key: &SigningKey,
    timeline_claim: Option<&str>,
) -> Result<String, SignError> {
    let header = json!({"typ": "secevent+jwt", "alg": key.algorithm(), "kid": key.key_id()}).to_string();
    let payload = claims.to_json(vocabulary, timeline_claim).to_string();
    let mut compact = String::with_capacity((header.len() + payload.len()) * 4 / 3 + SIGNATURE_ROOM);
    BASE64_URL_SAFE_NO_PAD.encode_string(header, &mut compact);
    compact.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(payload, &mut compact);
    let signature = key.sign(compact.as_bytes())?;
    compact.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut compact);
    Ok(compact)
}

/// A SET could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SET could not be signed")]
pub struct SignError(#[from] KeyError);

const SIGNATURE_ROOM: usize = 360;
