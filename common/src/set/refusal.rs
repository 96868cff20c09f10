//! Every way a SET can be refused, each with its code.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::event::EventError;
use crate::id::KeyId;
use crate::subject::SubjectError;

/// Error codes of RFC 8935 §2.4 (push answers and `setErrs`), with SSF 1.0's `invalid_state` (§8.1.4.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The body is not a SET of the kind agreed on.
    InvalidRequest,
    /// The key is unknown or unfit, or the signature is not its own.
    InvalidKey,
    /// `iss` is not the stream's.
    InvalidIssuer,
    /// `aud` does not name the receiver.
    InvalidAudience,
    /// The sender could not be authenticated.
    AuthenticationFailed,
    /// The sender is known but may not send here.
    AccessDenied,
    /// A verification event carried another `state` than the one asked for.
    InvalidState,
    /// A code that is not registered, as far as it is printable: what a database cannot keep is left out.
    Other(String),
}

crate::described_as!(ErrorCode, crate::schema::text(None));

impl ErrorCode {
    /// The registered word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidKey => "invalid_key",
            Self::InvalidIssuer => "invalid_issuer",
            Self::InvalidAudience => "invalid_audience",
            Self::AuthenticationFailed => "authentication_failed",
            Self::AccessDenied => "access_denied",
            Self::InvalidState => "invalid_state",
            Self::Other(code) => code,
        }
    }
}

impl From<&str> for ErrorCode {
    fn from(code: &str) -> Self {
        match code {
            "invalid_request" => Self::InvalidRequest,
            "invalid_key" => Self::InvalidKey,
            "invalid_issuer" => Self::InvalidIssuer,
            "invalid_audience" => Self::InvalidAudience,
            "authentication_failed" => Self::AuthenticationFailed,
            "access_denied" => Self::AccessDenied,
            "invalid_state" => Self::InvalidState,
            other => Self::Other(other.chars().filter(|c| !c.is_control()).take(MAX_FOREIGN_CODE).collect()),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(&*std::borrow::Cow::<'de, str>::deserialize(deserializer)?))
    }
}

/// Why a SET is refused. The text names members and reasons, never values: it may be stored, logged and sent back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than the receiver reads.
    #[error("the SET is longer than {0} bytes")]
    TooLarge(usize),
    /// Not three base64url segments (RFC 7515 §7.1).
    #[error("the body is not one JWS in compact form")]
    NotACompactJws,
    /// The protected header is not a JSON object.
    #[error("the header is not a JSON object")]
    MalformedHeader,
    /// `typ` is missing or something else (RFC 8417 §2.3, RFC 8725 §3.11).
    #[error("the header's `typ` is not `secevent+jwt`")]
    WrongType,
    /// A header extension that must be understood (RFC 7515 §4.1.11).
    #[error("the header has a `crit` member, and no extension is understood here")]
    CriticalHeader,
    /// `alg` is missing, `none`, an HMAC, or not allowed here.
    #[error("the header's `alg` is not an allowed signature algorithm")]
    AlgorithmNotAllowed,
    /// `kid` is missing.
    #[error("the header has no `kid`")]
    MissingKeyId,
    /// `kid` is not in the issuer's published set.
    #[error("the header's `kid` is not in the issuer's key set")]
    UnknownKey(KeyId),
    /// The key is not one for this algorithm.
    #[error("the key of this `kid` does not fit the header's `alg`")]
    UnfitKey,
    /// The signature is not that of the key over the content.
    #[error("the signature does not verify")]
    BadSignature,
    /// The payload is not a JSON object in UTF-8.
    #[error("the payload is not a JSON object")]
    MalformedPayload,
    /// A claim is missing.
    #[error("the claim `{0}` is missing")]
    MissingClaim(&'static str),
    /// A claim has the wrong JSON type, is empty or out of range.
    #[error("the claim `{0}` is malformed")]
    MalformedClaim(&'static str),
    /// `exp` or `sub`, which SSF forbids (SSF 1.0 §4.1.6, §4.1.7).
    #[error("the claim `{0}` must not stand in a SET")]
    ForbiddenClaim(&'static str),
    /// `iat` lies in the future by more than clocks differ.
    #[error("the claim `iat` lies in the future")]
    IssuedInTheFuture,
    /// `iss` is not the stream's.
    #[error("the claim `iss` is not the issuer of this stream")]
    WrongIssuer,
    /// `aud` does not name this receiver.
    #[error("the claim `aud` does not name this receiver")]
    WrongAudience,
    /// `events` has none or several (SSF 1.0 §4.1.4).
    #[error("the claim `events` must have exactly one member")]
    NotOneEvent,
    /// The subject is not a valid subject identifier.
    #[error("the subject is not valid: {0}")]
    Subject(#[from] SubjectError),
    /// The subject uses a critical member that is not understood here (SSF 1.0 §7.1, `critical_subject_members`).
    #[error("the subject has the critical member `{0}`, which is not understood here")]
    CriticalMember(String),
    /// The event's members are not those of its type.
    #[error("the event is not valid: {0}")]
    Event(#[from] EventError),
    /// A verification event that nobody asked for in these words (SSF 1.0 §8.1.4.1).
    #[error("the verification `state` is not the one asked for")]
    WrongState,
    /// The push carried other credentials than the ones registered with the stream.
    #[error("the `Authorization` header is not the one registered for this stream")]
    WrongAuthorization,
}

impl Refusal {
    /// The code to answer with (RFC 8935 §2.4).
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::AlgorithmNotAllowed
            | Self::MissingKeyId
            | Self::UnknownKey(_)
            | Self::UnfitKey
            | Self::BadSignature => ErrorCode::InvalidKey,
            Self::WrongIssuer => ErrorCode::InvalidIssuer,
            Self::WrongAudience => ErrorCode::InvalidAudience,
            Self::WrongState => ErrorCode::InvalidState,
            Self::WrongAuthorization => ErrorCode::AuthenticationFailed,
            _ => ErrorCode::InvalidRequest,
        }
    }

    /// What to tell the sender: safe to show and to store.
    pub fn description(&self) -> String {
        self.to_string()
    }
}

const MAX_FOREIGN_CODE: usize = 64;
