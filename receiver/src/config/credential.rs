//! What we show a transmitter's token endpoint to be let in.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use ssf_common::jwks::SigningKey;
use ssf_common::runtime::config::{Secret, resolve_secret};

use super::settings::{SettingsError, wrong};
use super::upstream::UpstreamSettings;

/// What we show to be let in.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A token that was issued once.
    Static(SecretString),
    /// Client credentials, for which the token endpoint issues tokens (RFC 6749 §4.4).
    Client {
        /// Our name there.
        id: String,
        /// Our secret there.
        secret: SecretString,
        /// How the two are shown.
        auth: ClientAuth,
    },
    /// A key of our own, with which we sign that we are who we say (RFC 7523 §2.2).
    Key {
        /// Our name there.
        id: String,
        /// Where the key is.
        key: ClientKey,
        /// Whom the assertion is for.
        audience: AssertionAudience,
    },
}

/// How client credentials are shown to the token endpoint, by the names of RFC 7591 §2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientAuth {
    /// In the `Authorization` header (RFC 6749 §2.3.1).
    #[default]
    #[serde(rename = "client_secret_basic")]
    Basic,
    /// In the form (RFC 6749 §2.3.1, for servers that want it there).
    #[serde(rename = "client_secret_post")]
    Post,
    /// Never shown: an assertion signed with a key of ours takes its place (RFC 7523 §2.2).
    #[serde(rename = "private_key_jwt")]
    PrivateKey,
}

/// Whom a client assertion is for (RFC 7523 §3): servers differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssertionAudience {
    /// The URL of the token endpoint.
    #[default]
    TokenEndpoint,
    /// The authorization server's issuer.
    Issuer,
}

/// A private key: as it was given, or in a file, which may hold another one by the time it is used.
#[derive(Clone, Debug)]
pub enum ClientKey {
    /// As it was given.
    Given(Arc<SigningKey>),
    /// Read whenever a token is asked for, so that a key that was rotated in is used without a restart.
    File {
        /// The setting, for errors.
        key: String,
        /// The file.
        path: PathBuf,
    },
}

impl ClientKey {
    /// The key as it is now.
    pub fn current(&self) -> Result<Arc<SigningKey>, SettingsError> {
        match self {
            Self::Given(key) => Ok(Arc::clone(key)),
            Self::File { key, path } => match resolve_secret(key, None, Some(path))? {
                Some(text) => imported(key, &text),
                None => wrong(key, "has no value"),
            },
        }
    }
}

impl UpstreamSettings {
    /// What we show to be let in; `name` is ours for the transmitter, for errors.
    pub fn credential(&self, name: &str) -> Result<Credential, SettingsError> {
        self.credential_as(|of| format!("upstreams.{name}.{of}"))
    }

    /// The same of a transmitter that is not one of the settings: errors call members by their own names.
    pub fn unnamed_credential(&self) -> Result<Credential, SettingsError> {
        self.credential_as(ToOwned::to_owned)
    }

    fn credential_as(&self, key: impl Fn(&str) -> String) -> Result<Credential, SettingsError> {
        let has_key = self.client_key.is_some() || self.client_key_file.is_some();
        match (self.client_auth, has_key) {
            (ClientAuth::PrivateKey, _) => return self.key_as(key),
            (_, true) => {
                return wrong(
                    key("client_key"),
                    "is used with client_auth = \"private_key_jwt\" only; set that, or remove it",
                );
            }
            (ClientAuth::Basic | ClientAuth::Post, false) => {}
        }
        let token = resolve_secret(&key("token"), self.token.as_ref(), self.token_file.as_deref())?;
        let secret =
            resolve_secret(&key("client_secret"), self.client_secret.as_ref(), self.client_secret_file.as_deref())?;
        match (token, self.client_id.as_str(), secret) {
            (Some(token), "", None) => Ok(Credential::Static(token)),
            (Some(_), _, _) => wrong(key("token"), "and client_id or client_secret are both set; keep one of them"),
            (None, "", None) => wrong(
                key("client_id"),
                "has no value; register this receiver with the transmitter and set client_id and client_secret (or client_secret_file), or token (or token_file)",
            ),
            (None, "", Some(_)) => wrong(key("client_id"), "is required with client_secret"),
            (None, _, None) => wrong(key("client_secret"), "is required with client_id; set it or client_secret_file"),
            (None, id, Some(secret)) => Ok(Credential::Client { id: id.to_owned(), secret, auth: self.client_auth }),
        }
    }

    fn key_as(&self, key: impl Fn(&str) -> String) -> Result<Credential, SettingsError> {
        if self.token.is_some() || self.token_file.is_some() {
            return wrong(key("token"), "and client_auth = \"private_key_jwt\" are both set; keep one of them");
        }
        if self.client_secret.is_some() || self.client_secret_file.is_some() {
            return wrong(key("client_secret"), "has no use with client_auth = \"private_key_jwt\"; remove it");
        }
        if self.client_id.is_empty() {
            return wrong(key("client_id"), "is required with client_auth = \"private_key_jwt\"");
        }
        let named = key("client_key");
        let given = resolve_secret(&named, self.client_key.as_ref(), self.client_key_file.as_deref())?;
        let Some(text) = given else {
            return wrong(
                named,
                "is required with client_auth = \"private_key_jwt\"; set it or client_key_file to a private key (JWK or PEM) whose public half the transmitter knows",
            );
        };
        let imported = imported(&named, &text)?;
        let key = match &self.client_key_file {
            Some(path) => ClientKey::File { key: named, path: path.clone() },
            None => ClientKey::Given(imported),
        };
        Ok(Credential::Key { id: self.client_id.clone(), key, audience: self.assertion_audience })
    }

    /// The secrets that were given and not named by a file, taken out: what is left may be shown and stored.
    pub fn without_secrets(&self) -> (Self, [(&'static str, Option<Secret>); 3]) {
        let mut plain = self.clone();
        let secrets = [
            ("client_secret", plain.client_secret.take()),
            ("client_key", plain.client_key.take()),
            ("token", plain.token.take()),
        ];
        (plain, secrets)
    }
}

fn imported(key: &str, text: &SecretString) -> Result<Arc<SigningKey>, SettingsError> {
    let imported = SigningKey::import(text, None);
    imported.map(Arc::new).map_err(|source| SettingsError::Key { key: key.to_owned(), source })
}
