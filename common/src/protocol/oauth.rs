//! What the token endpoint says (RFC 6749 §5).

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// A granted access token as a client reads it (RFC 6749 §5.1).
#[derive(Clone, Debug, Deserialize)]
pub struct TokenResponse {
    /// The token.
    pub access_token: SecretString,
    /// `Bearer`, in any case.
    pub token_type: String,
    /// Seconds; absent means the client must find out.
    pub expires_in: Option<u64>,
    /// What was granted, if it differs from what was asked for.
    pub scope: Option<String>,
}

/// An error of the token endpoint (RFC 6749 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OAuthError {
    /// The registered code.
    pub error: String,
    /// Text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}
