//! [`Mask`]: what stands between what was exchanged and what is shown.
//!
//! Members that hold credentials are masked by their names; and every credential that was used, wherever it turns up, by
//! itself: a peer may echo it in a text of its own. What strangers wrote cannot steer a terminal.

use std::fmt;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, PROXY_AUTHORIZATION, SET_COOKIE};
use serde_json::Value;

/// The credentials of one run, longest first.
#[derive(Default)]
pub struct Mask(Mutex<Vec<String>>);

impl Mask {
    /// From now on this is never shown. Texts so short that they stand in innocent words are masked by their names only.
    pub fn learn(&self, secret: &str) {
        if secret.len() < SHORTEST {
            return;
        }
        let encoded = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let escaped = Value::from(secret).to_string().trim_matches('"').to_owned();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for form in [secret.to_owned(), encoded, escaped] {
            if !known.contains(&form) {
                known.push(form);
            }
        }
        known.sort_by_key(|known| std::cmp::Reverse(known.len()));
    }

    /// What is learnt from a header that authorizes: all of it, and what stands behind the scheme.
    pub fn learn_authorization(&self, header: &str) {
        self.learn(header);
        if let Some((_, credential)) = header.split_once(' ') {
            self.learn(credential.trim());
        }
    }

    /// Learns what JSON holds under the names of credentials.
    pub fn learn_from(&self, json: &Value) {
        match json {
            Value::Object(members) => members.iter().for_each(|(name, value)| match value.as_str() {
                Some(text) if is_credential(name) => self.learn_authorization(text),
                _ => self.learn_from(value),
            }),
            Value::Array(values) => values.iter().for_each(|value| self.learn_from(value)),
            _ => {}
        }
    }

    /// A text for people, in as many lines as it has.
    pub fn text(&self, text: &str) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let masked = known.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASKED));
        masked.chars().fold(String::with_capacity(masked.len()), |mut shown, c| {
            if c.is_control() && c != '\n' {
                let _ = write!(shown, "{}", c.escape_default());
            } else {
                shown.push(c);
            }
            shown
        })
    }

    /// A text for people, in one line.
    pub fn line(&self, text: &str) -> String {
        self.text(text).replace('\n', "\\n")
    }

    /// JSON for people and for programs.
    pub fn json(&self, json: &Value) -> Value {
        match json {
            Value::Object(members) => {
                let masked = members.iter().map(|(name, value)| {
                    let value = if is_credential(name) && !value.is_null() { MASKED.into() } else { self.json(value) };
                    (self.known_masked(name), value)
                });
                Value::Object(masked.collect())
            }
            Value::Array(values) => values.iter().map(|value| self.json(value)).collect(),
            Value::String(text) => self.known_masked(text).into(),
            other => other.clone(),
        }
    }

    /// A form, as a token endpoint is sent it.
    pub fn form(&self, form: &[u8]) -> String {
        let shown = url::form_urlencoded::parse(form).map(|(name, value)| {
            let value = if is_credential(&name) { MASKED.into() } else { self.line(&value) };
            format!("{}={value}", self.line(&name))
        });
        shown.collect::<Vec<_>>().join("&")
    }

    /// The value of a header.
    pub fn header(&self, name: &HeaderName, value: &HeaderValue) -> String {
        let text = String::from_utf8_lossy(value.as_bytes());
        if *name == AUTHORIZATION || *name == PROXY_AUTHORIZATION {
            return text.split_once(' ').map_or(MASKED.to_owned(), |(scheme, _)| format!("{scheme} {MASKED}"));
        }
        if *name == COOKIE || *name == SET_COOKIE { MASKED.to_owned() } else { self.line(&text) }
    }

    fn known_masked(&self, text: &str) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASKED))
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(***)")
    }
}

fn is_credential(name: &str) -> bool {
    CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

const MASKED: &str = "***";
const SHORTEST: usize = 6;
/// Members of JSON bodies and forms that hold one.
const CREDENTIALS: [&str; 9] = [
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "client_assertion",
    "assertion",
    "password",
    "authorization_header",
    "registration_access_token",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_are_masked_by_their_names_and_wherever_else_they_turn_up() {
        let mask = Mask::default();
        mask.learn("hush hush");
        mask.learn_authorization("Bearer to/ken-1");
        mask.learn_from(&json!({"delivery": {"authorization_header": "Custom push-secret"}}));
        let shown = mask.json(&json!({
            "access_token": "x", "delivery": {"authorization_header": "y"}, "error_description": "hush hush is wrong",
            "list": ["to/ken-1", "push-secret"], "client_secret": null,
        }));
        let expected = json!({
            "access_token": "***", "delivery": {"authorization_header": "***"}, "error_description": "*** is wrong",
            "list": ["***", "***"], "client_secret": null,
        });
        assert_eq!(shown, expected);
        assert_eq!(
            mask.form(b"grant_type=a&client_secret=b&scope=hush+hush"),
            "grant_type=a&client_secret=***&scope=***"
        );
        assert_eq!(mask.text("to%2Fken-1 to/ken-1"), "*** ***");
        assert_eq!(mask.header(&AUTHORIZATION, &HeaderValue::from_static("Basic YTpi")), "Basic ***");
        assert_eq!(mask.header(&SET_COOKIE, &HeaderValue::from_static("a=b")), "***");
        assert!(!format!("{mask:?}").contains("hush"));
    }

    #[test]
    fn what_strangers_wrote_cannot_steer_a_terminal() {
        let mask = Mask::default();
        assert_eq!(mask.text("a\u{1b}[2J\nb\r"), "a\\u{1b}[2J\nb\\r");
        assert_eq!(mask.line("a\nb"), "a\\nb");
    }
}
