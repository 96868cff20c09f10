//! [`Challenge`]: what is answered to who does not get through (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3).

use std::fmt::Write as _;
use std::time::Duration;

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::config::Span;
use ssf_common::runtime::http::error_reply;

use super::refusal::Refusal;
use crate::config::Authz;

/// What challenges say beside the error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    realm: Option<String>,
    acr_values: Vec<String>,
    max_age: Option<Duration>,
}

/// A text that cannot stand in a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be printable ASCII without spaces, \" and \\")]
pub struct Unquotable;

impl Challenge {
    /// The name of what is protected (RFC 9110 §11.5).
    pub fn realm(self, realm: &str) -> Result<Self, Unquotable> {
        let is_quotable = realm.bytes().all(|b| b == b' ' || is_token_like(b));
        if is_quotable { Ok(Self { realm: Some(realm.to_owned()), ..self }) } else { Err(Unquotable) }
    }

    /// The authentication contexts one of which a revalidation must reach, the preferred one first (RFC 9470 §3).
    pub fn acr_values<'a>(self, values: impl IntoIterator<Item = &'a str>) -> Result<Self, Unquotable> {
        let values: Vec<String> = values.into_iter().map(ToOwned::to_owned).collect();
        let are_quotable = values.iter().all(|value| !value.is_empty() && value.bytes().all(is_token_like));
        if are_quotable { Ok(Self { acr_values: values, ..self }) } else { Err(Unquotable) }
    }

    /// How long ago the user may have authenticated actively when it is revalidated, in whole seconds (RFC 9470 §3).
    #[must_use]
    pub fn max_age(self, age: Duration) -> Self {
        Self { max_age: Some(age), ..self }
    }

    /// As the settings say, which were checked.
    pub fn of_settings(settings: &Authz) -> Self {
        Self {
            realm: Some(settings.realm.clone()).filter(|realm| !realm.is_empty()),
            acr_values: settings.acr_values.clone(),
            max_age: settings.max_age.map(Span::duration),
        }
    }

    /// The answer: 401 with its challenge, or 503.
    pub fn reply(&self, refusal: &Refusal) -> Response {
        let Some((code, text)) = refusal.words() else {
            let text = "whether the session is good cannot be said now; come again";
            let mut reply = error_reply(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", text);
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return reply;
        };
        let mut reply = error_reply(StatusCode::UNAUTHORIZED, code.unwrap_or("unauthenticated"), text);
        let headers = reply.headers_mut();
        // built from texts that were checked when they came in
        if let Some(challenge) = self.value(refusal).and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Refusal::Proof(_, Some(nonce)) = refusal
            && let Ok(nonce) = HeaderValue::from_str(nonce)
        {
            headers.insert(DPOP_NONCE, nonce);
        }
        reply
    }

    /// The value of `WWW-Authenticate`.
    fn value(&self, refusal: &Refusal) -> Option<String> {
        let (code, text) = refusal.words()?;
        let is_about_dpop = matches!(refusal, Refusal::Unproved | Refusal::Proof(..));
        let mut challenge = if is_about_dpop { "DPoP".to_owned() } else { "Bearer".to_owned() };
        let mut separator = ' ';
        let mut put = |name: &str, value: &str| {
            let _ = write!(challenge, "{separator}{name}=\"{value}\"");
            separator = ',';
        };
        if let Some(realm) = &self.realm {
            put("realm", realm);
        }
        // RFC 6750 §3.1: who brought nothing is told of no error
        if let Some(code) = code {
            put("error", code);
            put("error_description", text);
        }
        if is_about_dpop {
            put("algs", &Algorithm::ALL.map(Algorithm::as_str).join(" "));
        }
        if matches!(refusal, Refusal::Revalidate(_)) {
            if !self.acr_values.is_empty() {
                put("acr_values", &self.acr_values.join(" "));
            }
            if let Some(age) = self.max_age {
                put("max_age", &age.as_secs().to_string());
            }
        }
        Some(challenge)
    }
}

const fn is_token_like(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

#[cfg(test)]
mod tests {
    use ssf_common::clock::Timestamp;

    use super::*;
    use crate::config::BindingClass;
    use crate::guard::Checked;
    use crate::guard::dpop::DpopRefusal;
    use crate::validity::State;

    #[test]
    fn each_refusal_has_its_status_and_its_challenge() {
        let checked = |state| Checked {
            sid: None,
            state,
            reason: None,
            as_of: Timestamp::EPOCH,
            class: BindingClass::Bearer,
            stale: false,
            break_glass: false,
        };
        let algs = "algs=\"RS256 PS256 ES256 EdDSA\"";
        let over = "Bearer error=\"invalid_token\",error_description=\"the session is over or unknown\"";
        let again = "Bearer error=\"insufficient_user_authentication\",error_description=\"a newer assertion of the issuer is required\"";
        let table = [
            (Refusal::Nobody, 401, Some("Bearer".to_owned())),
            (Refusal::Invalid(None), 401, Some(over.to_owned())),
            (Refusal::Invalid(Some(checked(State::Revoked))), 401, Some(over.to_owned())),
            (Refusal::Revalidate(checked(State::RevalidateRequired)), 401, Some(again.to_owned())),
            (
                Refusal::Unproved,
                401,
                Some(format!(
                    "DPoP error=\"invalid_token\",error_description=\"the token is bound to a key that was not shown\",{algs}"
                )),
            ),
            (
                Refusal::Proof(DpopRefusal::UseNonce, Some("n1".to_owned())),
                401,
                Some(format!(
                    "DPoP error=\"use_dpop_nonce\",error_description=\"the DPoP proof is not accepted\",{algs}"
                )),
            ),
            (Refusal::Unanswered, 503, None),
        ];
        for (refusal, status, challenge) in table {
            let reply = Challenge::default().reply(&refusal);
            assert_eq!(reply.status().as_u16(), status, "{refusal:?}");
            let said = reply.headers().get(header::WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(said, challenge, "{refusal:?}");
            assert_eq!(reply.headers().contains_key("dpop-nonce"), matches!(refusal, Refusal::Proof(..)));
            assert_eq!(reply.headers().contains_key(header::RETRY_AFTER), status == 503);
        }
    }

    #[test]
    fn a_step_up_says_what_is_asked_for() {
        let challenge = Challenge::default().realm("the shop").unwrap().acr_values(["urn:gold", "silver"]).unwrap();
        let challenge = challenge.max_age(Duration::from_mins(5));
        let checked = Checked {
            sid: None,
            state: State::RevalidateRequired,
            reason: None,
            as_of: Timestamp::EPOCH,
            class: BindingClass::Bearer,
            stale: false,
            break_glass: false,
        };
        let said = challenge.value(&Refusal::Revalidate(checked)).unwrap();
        assert_eq!(
            said,
            "Bearer realm=\"the shop\",error=\"insufficient_user_authentication\",error_description=\"a newer assertion of the issuer is required\",acr_values=\"urn:gold silver\",max_age=\"300\""
        );
        assert_eq!(challenge.value(&Refusal::Nobody).unwrap(), "Bearer realm=\"the shop\"");
        for wrong in ["a\"b", "a\\b", "ä", "a\u{7f}", "a\nb"] {
            assert_eq!(Challenge::default().realm(wrong), Err(Unquotable), "{wrong:?}");
            assert_eq!(Challenge::default().acr_values([wrong]), Err(Unquotable), "{wrong:?}");
        }
        assert_eq!(Challenge::default().acr_values(["two words"]), Err(Unquotable));
    }
}
