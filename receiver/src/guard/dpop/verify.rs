//! [`Verifier`]: all checks of RFC 9449 §4.3, and [`VerifiedProof`], which only they make.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde_json::{Map, Number, Value};
use sha2::{Digest as _, Sha256};
use ssf_common::clock::Timestamp;
use ssf_common::jwks::{Algorithm, CarriedKey};
use ssf_common::jwt::Compact;
use ssf_common::moment::Moment;
use subtle::ConstantTimeEq as _;

use super::{DpopRefusal, Nonces, Replays, Target};

/// A proof that was verified on the request at hand: its sender has the private half of this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedProof {
    thumbprint: String,
}

/// What is accepted.
#[derive(Clone, Debug)]
pub struct DpopPolicy {
    /// The algorithms; all of ours are asymmetric.
    pub algorithms: Vec<Algorithm>,
    /// How old a proof may be (§11.1: short).
    pub longest_age: Duration,
    /// How far a client's clock may be ahead of ours.
    pub ahead: Duration,
    /// With them a proof must carry a nonce of ours (§9).
    pub nonces: Option<Nonces>,
    /// How many proofs are remembered.
    pub remembered: usize,
}

impl Default for DpopPolicy {
    fn default() -> Self {
        Self {
            algorithms: Algorithm::ALL.to_vec(),
            longest_age: Duration::from_mins(1),
            ahead: Duration::from_secs(5),
            nonces: None,
            remembered: 100_000,
        }
    }
}

/// Verifies proofs and remembers them. Clones share the memory; every process has its own, and a proof is good once at
/// each.
#[derive(Clone, Debug)]
pub struct Verifier {
    policy: Arc<DpopPolicy>,
    replays: Arc<Mutex<Replays>>,
}

impl Verifier {
    /// With this policy; nothing was seen yet.
    pub fn new(policy: DpopPolicy) -> Self {
        let replays = Arc::new(Mutex::new(Replays::new(policy.remembered)));
        Self { policy: Arc::new(policy), replays }
    }

    /// What is accepted.
    pub fn policy(&self) -> &DpopPolicy {
        &self.policy
    }

    /// Verifies the proof in these headers for a request with this method to this target, made with this access token.
    /// A proof is good once. The caller compares the key with the token's (`Presented::confirmed`, check 12).
    pub fn verify(
        &self,
        headers: &HeaderMap,
        method: &str,
        target: &Target,
        access_token: Option<&str>,
        now: Timestamp,
    ) -> Result<VerifiedProof, DpopRefusal> {
        let mut shown = headers.get_all(HEADER).into_iter();
        let (Some(raw), None) = (shown.next(), shown.next()) else { return Err(DpopRefusal::NotOne) };
        if raw.len() > LONGEST {
            return Err(DpopRefusal::NotAJwt);
        }
        let compact = Compact::split(raw.as_bytes()).map_err(|_| DpopRefusal::NotAJwt)?;
        let claims = compact.payload().ok_or(DpopRefusal::NotAJwt)?;
        let key = self.signed(&compact)?;
        let issued_at = self.check(&claims, method, target, access_token, now)?;
        let jti = text(&claims, "jti")?;
        let oldest = now.minus(self.policy.longest_age);
        let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
        if replays.is_new(key.thumbprint(), jti, issued_at, oldest) {
            Ok(VerifiedProof { thumbprint: key.thumbprint().to_owned() })
        } else {
            Err(DpopRefusal::Replayed)
        }
    }

    /// Checks 4 to 7.
    fn signed(&self, compact: &Compact<'_>) -> Result<CarriedKey, DpopRefusal> {
        let header = compact.header().ok_or(DpopRefusal::NotAJwt)?;
        if header.typ.as_deref() != Some(TYPE) {
            return Err(DpopRefusal::WrongType);
        }
        if header.is_critical {
            return Err(DpopRefusal::CriticalHeader);
        }
        let algorithm = header.algorithm.filter(|algorithm| self.policy.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(DpopRefusal::AlgorithmNotAllowed)?;
        let jwk = compact.carried_key().ok_or(DpopRefusal::BadKey)?;
        let key = CarriedKey::parse(&jwk, algorithm).map_err(|_| DpopRefusal::BadKey)?;
        if compact.is_signed_by(&key) { Ok(key) } else { Err(DpopRefusal::BadSignature) }
    }

    /// Checks 3 and 8 to 12; gives back when it was made.
    fn check(
        &self,
        claims: &Map<String, Value>,
        method: &str,
        target: &Target,
        access_token: Option<&str>,
        now: Timestamp,
    ) -> Result<Timestamp, DpopRefusal> {
        let jti = text(claims, "jti")?;
        if jti.is_empty() || jti.len() > LONGEST_JTI {
            return Err(DpopRefusal::Claim("jti"));
        }
        if text(claims, "htm")? != method {
            return Err(DpopRefusal::WrongMethod);
        }
        if Target::of(text(claims, "htu")?).as_ref() != Some(target) {
            return Err(DpopRefusal::WrongTarget);
        }
        if let Some(nonces) = &self.policy.nonces {
            let nonce = claims.get("nonce").and_then(Value::as_str).ok_or(DpopRefusal::UseNonce)?;
            if !nonces.is_good(nonce, now) {
                return Err(DpopRefusal::UseNonce);
            }
        }
        let issued_at =
            claims.get("iat").and_then(Value::as_number).and_then(seconds).ok_or(DpopRefusal::Claim("iat"))?;
        if issued_at < now.minus(self.policy.longest_age) || issued_at > now.plus(self.policy.ahead) {
            return Err(DpopRefusal::NotNow);
        }
        if let Some(token) = access_token {
            let expected = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(token));
            let is_same: bool = text(claims, "ath")?.as_bytes().ct_eq(expected.as_bytes()).into();
            if !is_same {
                return Err(DpopRefusal::WrongToken);
            }
        }
        Ok(issued_at)
    }
}

impl VerifiedProof {
    /// The thumbprint of the key, `jkt` (RFC 9449 §6.1).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Whether it was made with the key of this `jkt`.
    pub fn is_by(&self, jkt: &str) -> bool {
        self.thumbprint.as_bytes().ct_eq(jkt.as_bytes()).into()
    }

    /// For tests of what stands on it.
    #[cfg(test)]
    pub(in crate::guard) fn of_tests(thumbprint: &str) -> Self {
        Self { thumbprint: thumbprint.to_owned() }
    }
}

fn text<'a>(claims: &'a Map<String, Value>, claim: &'static str) -> Result<&'a str, DpopRefusal> {
    claims.get(claim).and_then(Value::as_str).ok_or(DpopRefusal::Claim(claim))
}

/// The first instant a `NumericDate` may mean.
fn seconds(number: &Number) -> Option<Timestamp> {
    // never milliseconds: who signs proofs knows the standard
    number.as_f64().filter(|seconds| *seconds < 1e11)?;
    Moment::from_number(number).map(Moment::first)
}

const HEADER: &str = "dpop";
const TYPE: &str = "dpop+jwt";
/// An RSA key of 8192 bits twice over: the key and the signature.
const LONGEST: usize = 8 * 1024;
const LONGEST_JTI: usize = 512;
