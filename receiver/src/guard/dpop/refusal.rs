//! Why a DPoP proof is not accepted.

/// The first check of RFC 9449 §4.3 that failed. The text names members, never values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DpopRefusal {
    /// Check 1.
    #[error("there must be exactly one `DPoP` header")]
    NotOne,
    /// Check 2.
    #[error("the proof is not a signed JWT in compact form, or too long")]
    NotAJwt,
    /// Check 3.
    #[error("the proof's claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// Check 4.
    #[error("the proof's `typ` is not `dpop+jwt`")]
    WrongType,
    /// RFC 7515 §4.1.11.
    #[error("the proof's header has a `crit` member, and no extension is understood here")]
    CriticalHeader,
    /// Check 5.
    #[error("the proof's `alg` is not an allowed asymmetric algorithm")]
    AlgorithmNotAllowed,
    /// Checks 6 and 7.
    #[error("the proof's `jwk` is missing or not a public key for its `alg`")]
    BadKey,
    /// Check 6.
    #[error("the proof's signature does not verify with its `jwk`")]
    BadSignature,
    /// Check 8.
    #[error("the proof's `htm` is another method")]
    WrongMethod,
    /// Check 9.
    #[error("the proof's `htu` is another URI")]
    WrongTarget,
    /// Check 10: the client is to take the nonce it is told (§9).
    #[error("the proof must carry the `nonce` of this server")]
    UseNonce,
    /// Check 11.
    #[error("the proof's `iat` is not within the time allowed")]
    NotNow,
    /// Check 12.
    #[error("the proof's `ath` is not the hash of the access token")]
    WrongToken,
    /// §11.1.
    #[error("the proof was used before, or is older than what is remembered")]
    Replayed,
}

impl DpopRefusal {
    /// The `error` of the challenge (RFC 9449 §7.1, §9).
    pub const fn code(self) -> &'static str {
        match self {
            Self::UseNonce => "use_dpop_nonce",
            _ => "invalid_dpop_proof",
        }
    }
}
