//! Why a token is not accepted.

use crate::id::KeyId;

/// The first check that failed. The text names members, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtRefusal {
    /// Longer than anybody needs.
    #[error("it is too long")]
    TooLong,
    /// Not three base64url segments of which two are JSON objects.
    #[error("it is not a signed JWT in compact form")]
    NotAJwt,
    /// `typ` is another kind of token's (RFC 8725 §3.11).
    #[error("its `typ` is not that of this kind of token")]
    WrongType,
    /// A header extension that must be understood (RFC 7515 §4.1.11).
    #[error("its header has a `crit` member, and no extension is understood here")]
    CriticalHeader,
    /// `alg` is missing, `none`, an HMAC, or not allowed here.
    #[error("its `alg` is not an allowed signature algorithm")]
    AlgorithmNotAllowed,
    /// `kid` is missing, and there is not exactly one key it could mean.
    #[error("its header has no `kid`")]
    MissingKeyId,
    /// `kid` is not in the set. After this a caller may read the set anew and ask again.
    #[error("its `kid` is not in the key set")]
    UnknownKey(KeyId),
    /// The key is not one for this algorithm.
    #[error("the key of its `kid` does not fit its `alg`")]
    UnfitKey,
    /// The signature is not that of the key over the content.
    #[error("its signature does not verify")]
    BadSignature,
    /// A claim is missing, or has the wrong JSON type.
    #[error("its claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// `iss` is somebody else.
    #[error("its `iss` is not the one expected")]
    WrongIssuer,
    /// `aud` does not name us.
    #[error("its `aud` does not name this service")]
    WrongAudience,
    /// `exp` has passed.
    #[error("it has expired")]
    Expired,
    /// `exp` is further away than allowed.
    #[error("its `exp` is too far away")]
    TooLongLived,
    /// `nbf` or `iat` lies in the future by more than clocks differ.
    #[error("its `{0}` lies in the future")]
    NotYet(&'static str),
}
