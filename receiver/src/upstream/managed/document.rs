//! [`Document`]: what an operator says of an upstream, the secrets apart from the rest. Pure.

use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::config::{SettingsError, UpstreamSettings};

/// What `[upstreams.<name>]` would say, as it was given; defaults are not filled in.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    plain: Map<String, Value>,
    secrets: Map<String, Value>,
}

/// It does not fit. Never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A secret that is none.
    #[error("{0}: must be a text that is not empty")]
    Secret(&'static str),
    /// A member is unknown, missing, or of the wrong kind.
    #[error("{0}")]
    Member(String),
    /// Together they cannot be used.
    #[error(transparent)]
    Settings(SettingsError),
    /// The credential would be shown to somebody else.
    #[error(
        "{0}: the credential is not carried over to another {0}; give it again (client_secret, client_key, token, or the file of it) in the same change"
    )]
    Carried(&'static str),
}

impl Document {
    /// What was said of a new one.
    pub fn of(said: Map<String, Value>) -> Result<Self, DocumentError> {
        Self { plain: Map::new(), secrets: Map::new() }.changed(said)
    }

    /// As it was stored.
    pub(super) const fn stored(plain: Map<String, Value>, secrets: Map<String, Value>) -> Self {
        Self { plain, secrets }
    }

    /// The same after a change (RFC 7396 for the members at the top): null takes one away.
    ///
    /// A credential is shown to the token endpoint or to the issuer's own endpoints: if either changes, the credential
    /// must come again. Otherwise whoever may change an upstream could have its secret sent to themselves.
    pub fn changed(mut self, change: Map<String, Value>) -> Result<Self, DocumentError> {
        if let Some(member) = change.iter().find_map(|(name, value)| with_nul(name, value)) {
            return Err(DocumentError::Member(format!("{member}: must not contain NUL")));
        }
        // A producer's credential is worth more than a receiver's, and is kept nowhere but with the settings.
        if change.contains_key("probe") {
            let text = "probe: only upstreams of the settings file can be probed";
            return Err(DocumentError::Member(text.to_owned()));
        }
        let brings_credential = CREDENTIALS.iter().any(|name| change.get(*name).is_some_and(|value| !value.is_null()));
        let has_credential =
            CREDENTIALS.iter().any(|name| self.plain.contains_key(*name) || self.secrets.contains_key(*name));
        for name in SHOWN_TO {
            let turns = change.get(name).is_some_and(|value| value != self.plain.get(name).unwrap_or(&Value::Null));
            if turns && has_credential && !brings_credential {
                return Err(DocumentError::Carried(name));
            }
            if turns && brings_credential {
                // What is not given again is gone.
                CREDENTIALS.iter().filter(|name| !change.contains_key(**name)).for_each(|name| {
                    self.plain.remove(*name);
                    self.secrets.remove(*name);
                });
            }
        }
        for (name, value) in change {
            let secret = SECRETS.into_iter().find(|secret| *secret == name);
            let members = if secret.is_some() { &mut self.secrets } else { &mut self.plain };
            match (value, secret) {
                (Value::Null, _) => drop(members.remove(&name)),
                (Value::String(text), Some(secret)) if text.is_empty() => return Err(DocumentError::Secret(secret)),
                (value, Some(secret)) if !value.is_string() => return Err(DocumentError::Secret(secret)),
                (value, _) => drop(members.insert(name, value)),
            }
        }
        Ok(self)
    }

    /// As settings, checked like those of the file; `name` is the upstream's.
    pub fn settings(&self, name: &str) -> Result<UpstreamSettings, DocumentError> {
        let whole: Map<String, Value> = self.plain.clone().into_iter().chain(self.secrets.clone()).collect();
        let settings = UpstreamSettings::deserialize(Value::Object(whole));
        let settings = settings.map_err(|error| DocumentError::Member(error.to_string()))?;
        settings.check(name).map_err(DocumentError::Settings)?;
        Ok(settings)
    }

    /// Everything but the secrets.
    pub fn plain(&self) -> Value {
        Value::Object(self.plain.clone())
    }

    /// The secrets.
    pub(super) const fn secrets(&self) -> &Map<String, Value> {
        &self.secrets
    }
}

/// The path of the first text or name with NUL, which no jsonb can hold; NUL itself is left out of it.
fn with_nul(name: &str, value: &Value) -> Option<String> {
    if name.contains('\0') {
        return Some(name.replace('\0', ""));
    }
    match value {
        Value::String(text) => text.contains('\0').then(|| name.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(place, item)| with_nul(&format!("{name}[{place}]"), item))
        }
        Value::Object(members) => {
            members.iter().find_map(|(inner, member)| with_nul(&format!("{name}.{inner}"), member))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("plain", &self.plain).finish_non_exhaustive()
    }
}

/// What stands in the place of a secret where it is shown.
pub const MASKED: &str = "***";
const SECRETS: [&str; 3] = ["client_secret", "client_key", "token"];
const CREDENTIALS: [&str; 6] =
    ["client_secret", "client_secret_file", "client_key", "client_key_file", "token", "token_file"];
/// Whoever these name sees the credential.
const SHOWN_TO: [&str; 2] = ["issuer", "token_url"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn given() -> Document {
        let said =
            json!({"issuer": "https://idp.example", "delivery": "push", "client_id": "rp", "client_secret": "hush"});
        Document::of(object(&said)).unwrap()
    }

    #[test]
    fn secrets_stand_apart_and_are_never_shown() {
        let document = given();
        assert!(document.plain().get("client_secret").is_none());
        assert!(!format!("{document:?}").contains("hush"));
        assert_eq!(document.settings("idp").unwrap().client_secret.unwrap().expose(), "hush");
    }

    #[test]
    fn a_change_replaces_what_it_names_and_takes_away_what_it_names_with_null() {
        let changed = given().changed(object(&json!({"delivery": "poll", "scope": "x"}))).unwrap();
        assert_eq!(
            (changed.plain()["delivery"].as_str(), changed.plain()["scope"].as_str()),
            (Some("poll"), Some("x"))
        );
        let back = changed.changed(object(&json!({"scope": null, "client_secret": "new"}))).unwrap();
        assert!(back.plain().get("scope").is_none());
        assert_eq!(back.settings("idp").unwrap().client_secret.unwrap().expose(), "new");
    }

    #[test]
    fn the_credential_of_a_producer_is_not_taken() {
        let probe = object(&json!({"probe": {"every": "1h", "token": "hush"}}));
        let refused = given().changed(probe).unwrap_err().to_string();
        assert!(refused.starts_with("probe: only upstreams of the settings file"), "{refused}");
    }

    #[test]
    fn a_credential_is_not_carried_over_to_somebody_else() {
        for change in [json!({"issuer": "https://evil.example"}), json!({"token_url": "https://evil.example/token"})] {
            let error = given().changed(object(&change)).unwrap_err();
            assert!(matches!(error, DocumentError::Carried(_)), "{change}");
            let mut again = object(&change);
            again.insert("client_secret".to_owned(), json!("for them"));
            assert_eq!(
                given().changed(again).unwrap().settings("idp").unwrap().client_secret.unwrap().expose(),
                "for them"
            );
        }
        assert!(given().changed(object(&json!({"issuer": "https://idp.example"}))).is_ok(), "it stays the same");
        let with_token = json!({"issuer": "https://evil.example", "token": "t", "client_id": null});
        let turned = given().changed(object(&with_token)).unwrap();
        assert!(turned.settings("idp").unwrap().client_secret.is_none(), "what is not given again is gone");
    }

    #[test]
    fn what_does_not_fit_is_named_and_no_secret_is_quoted() {
        for (said, named) in [
            (json!({"delivery": "push"}), "issuer"),
            (json!({"issuer": "https://idp.example", "delivery": "pull", "token": "hush"}), "pull"),
            (json!({"issuer": "https://idp.example", "delivery": "push", "token": "hush", "isuer": 1}), "isuer"),
            (
                json!({"issuer": "http://idp.example", "delivery": "push", "token": "hush"}),
                "upstreams.idp.issuer must be https",
            ),
        ] {
            let error = Document::of(object(&said)).unwrap().settings("idp").unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("hush"), "{error}");
        }
        for (said, named) in [
            (json!({"description": "a\0"}), "description: must not contain NUL"),
            (json!({"token": "hush\0"}), "token: must not contain NUL"),
            (json!({"audiences": ["a", "\0"]}), "audiences[1]: must not contain NUL"),
            (json!({"authority": {"tenants": ["\0a"]}}), "authority.tenants[0]: must not contain NUL"),
            (json!({"tenants": {"a\0b": {}}}), "tenants.ab: must not contain NUL"),
            (json!({"isuer\0": 1}), "isuer: must not contain NUL"),
        ] {
            assert_eq!(given().changed(object(&said)).unwrap_err().to_string(), named);
        }
        assert!(matches!(Document::of(object(&json!({"token": 7}))), Err(DocumentError::Secret("token"))));
        assert!(matches!(Document::of(object(&json!({"token": ""}))), Err(DocumentError::Secret("token"))));
    }
}
