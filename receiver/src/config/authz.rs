//! `[authz]`: where `GET /v1/authz` finds the session a gateway asks about, and what its challenges say.

use http::HeaderName;
use serde::{Deserialize, Serialize};
use ssf_common::runtime::config::Span;

use super::settings::{SettingsError, wrong};

/// A section of `config.default.toml`: how gateways ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means")]
pub struct Authz {
    pub session_cookie: String,
    pub session_header: String,
    pub session_is_secret: bool,
    pub token_headers: String,
    pub enforcement_point: String,
    pub realm: String,
    pub acr_values: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
}

impl Authz {
    /// Names that can be names, and texts that can stand in a challenge.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if !self.session_cookie.bytes().all(is_of_a_cookie_name) {
            return wrong("authz.session_cookie", "must be the name of a cookie, or empty (RFC 6265 §4.1.1)");
        }
        if !self.session_header.is_empty() && self.session_header.parse::<HeaderName>().is_err() {
            return wrong("authz.session_header", "must be the name of a header, or empty");
        }
        if !self.token_headers.is_empty() && format!("{}issuer", self.token_headers).parse::<HeaderName>().is_err() {
            return wrong("authz.token_headers", "must be what header names begin with, such as X-Token-, or empty");
        }
        if self.session_cookie.is_empty() && self.session_header.is_empty() && self.token_headers.is_empty() {
            return wrong("authz.session_cookie", "is required when neither session_header nor token_headers is set");
        }
        let is_quotable = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if !self.realm.bytes().all(|byte| byte == b' ' || is_quotable(byte)) {
            return wrong("authz.realm", "must be printable ASCII without \" and \\");
        }
        if !self.acr_values.iter().all(|value| !value.is_empty() && value.bytes().all(is_quotable)) {
            return wrong("authz.acr_values", "must be printable ASCII without spaces, \" and \\ each");
        }
        Ok(())
    }
}

/// A token of RFC 9110 §5.6.2.
const fn is_of_a_cookie_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}
