//! The settings of one transmitter we listen to: `[upstreams.<name>]`.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use ssf_common::event::{EventType, Vocabulary};
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::config::{Secret, Span, resolve_secret};
use url::Url;

use super::origin::{check_origin, check_url, is_on_loopback};
use super::settings::{SettingsError, wrong};
use super::windows::Level;

/// One transmitter; `config.default.toml` says what each setting means.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means")]
pub struct UpstreamSettings {
    pub issuer: IssuerUrl,
    pub delivery: Delivery,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    #[serde(default)]
    pub client_auth: ClientAuth,
    #[serde(default = "default_scope")]
    pub scope: String,
    #[serde(default)]
    pub token_url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    #[serde(default)]
    pub audiences: Vec<String>,
    #[serde(default)]
    pub events_requested: Vec<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default = "default_verify_every")]
    pub verify_every: Span,
    #[serde(default = "default_revalidate_uri")]
    pub revalidate_uri: String,
    #[serde(default)]
    pub revalidate_aliases: Vec<String>,
    #[serde(default = "default_timeline_claim")]
    pub timeline_claim: String,
    #[serde(default)]
    pub legacy_shapes: bool,
    #[serde(default)]
    pub level: Level,
}

/// How SETs come from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// It sends them to us (RFC 8935).
    Push,
    /// We ask for them (RFC 8936).
    Poll,
}

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
}

impl UpstreamSettings {
    /// Settings with every default, for `issuer` and a way of delivery; a credential is still missing.
    pub fn new(issuer: IssuerUrl, delivery: Delivery) -> Self {
        Self {
            issuer,
            delivery,
            client_id: String::new(),
            client_secret: None,
            client_secret_file: None,
            client_auth: ClientAuth::default(),
            scope: default_scope(),
            token_url: String::new(),
            token: None,
            token_file: None,
            audiences: Vec::new(),
            events_requested: Vec::new(),
            description: String::new(),
            verify_every: default_verify_every(),
            revalidate_uri: default_revalidate_uri(),
            revalidate_aliases: Vec::new(),
            timeline_claim: default_timeline_claim(),
            legacy_shapes: false,
            level: Level::default(),
        }
    }

    /// Whether SETs are sent to us.
    pub fn is_push(&self) -> bool {
        self.delivery == Delivery::Push
    }

    /// Plain http on loopback: development, where its endpoints may be plain http on loopback too.
    pub fn is_development(&self) -> bool {
        self.issuer.as_str().starts_with("http://")
    }

    /// How this transmitter names event types.
    pub fn vocabulary(&self) -> Vocabulary {
        Vocabulary { revalidate_uri: self.revalidate_uri.clone(), revalidate_aliases: self.revalidate_aliases.clone() }
    }

    /// The URIs of the event types to ask for; without any in the settings, all that have an effect here.
    pub fn event_uris(&self) -> Vec<String> {
        let vocabulary = self.vocabulary();
        if self.events_requested.is_empty() {
            return WITH_EFFECT.iter().map(|event_type| event_type.uri(&vocabulary).to_owned()).collect();
        }
        let named = self.events_requested.iter().filter_map(|name| EventType::from_name(name, &vocabulary));
        named.map(|event_type| event_type.uri(&vocabulary).to_owned()).collect()
    }

    /// What we show to be let in; `name` is ours for the transmitter, for errors.
    pub fn credential(&self, name: &str) -> Result<Credential, SettingsError> {
        self.credential_as(|of| format!("upstreams.{name}.{of}"))
    }

    /// The same of a transmitter that is not one of the settings: errors call members by their own names.
    pub fn unnamed_credential(&self) -> Result<Credential, SettingsError> {
        self.credential_as(ToOwned::to_owned)
    }

    /// Whether such a transmitter may be talked to: its URLs are https, or plain http on loopback.
    pub fn check_unnamed(&self) -> Result<(), SettingsError> {
        check_url(self.issuer.as_str(), "issuer")?;
        self.check_token_url("token_url".to_owned())
    }

    fn credential_as(&self, key: impl Fn(&str) -> String) -> Result<Credential, SettingsError> {
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

    pub(super) fn check(&self, name: &str) -> Result<(), SettingsError> {
        let key = |of: &str| format!("upstreams.{name}.{of}");
        if !is_path_name(name) {
            return wrong(
                format!("upstreams.{name}"),
                "must be named by lower-case letters, digits, - and _, starting with a letter or digit, at most 63",
            );
        }
        check_origin(self.issuer.as_str(), &key("issuer"))?;
        self.check_token_url(key("token_url"))?;
        if self.verify_every.duration().is_zero() {
            return wrong(key("verify_every"), "must be more than 0, for example \"5m\"");
        }
        if RESERVED_CLAIMS.contains(&self.timeline_claim.as_str()) {
            return wrong(key("timeline_claim"), "must not be the name of a registered claim");
        }
        let vocabulary = self.vocabulary();
        vocabulary.check().map_err(|source| SettingsError::Vocabulary { key: key("revalidate_uri"), source })?;
        if self.events_requested.iter().any(|name| EventType::from_name(name, &vocabulary).is_none()) {
            return wrong(
                key("events_requested"),
                "holds a name that is not an event type; write short names such as session-revoked, or URIs",
            );
        }
        self.credential(name)?;
        Ok(())
    }

    fn check_token_url(&self, key: String) -> Result<(), SettingsError> {
        let allowed = |url: &Url| url.scheme() == "https" || (self.is_development() && is_on_loopback(url));
        if self.token_url.is_empty() || self.token_url.parse::<Url>().is_ok_and(|url| allowed(&url)) {
            return Ok(());
        }
        wrong(key, "must be an https URL, or empty")
    }
}

fn default_scope() -> String {
    "ssf.read ssf.manage".to_owned()
}

const fn default_verify_every() -> Span {
    Span::from_secs(300)
}

fn default_revalidate_uri() -> String {
    Vocabulary::default().revalidate_uri
}

fn default_timeline_claim() -> String {
    ssf_common::set::DEFAULT_TIMELINE_CLAIM.to_owned()
}

/// As the database and the path of the push endpoint want it.
fn is_path_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 63
        && name.bytes().next().is_some_and(is_plain)
        && name.bytes().all(|b| is_plain(b) || b == b'-' || b == b'_')
}

/// What becomes a cut-off here, a block, or a line of the inventory. Control events need not be asked for.
const WITH_EFFECT: [EventType; 16] = [
    EventType::SessionRevoked,
    EventType::SessionsRevoked,
    EventType::Revalidate,
    EventType::CredentialChange,
    EventType::CredentialCompromise,
    EventType::AssuranceLevelChange,
    EventType::TokenClaimsChange,
    EventType::DeviceComplianceChange,
    EventType::RiskLevelChange,
    EventType::AccountCredentialChangeRequired,
    EventType::AccountDisabled,
    EventType::AccountEnabled,
    EventType::AccountPurged,
    EventType::IdentifierRecycled,
    EventType::SessionEstablished,
    EventType::SessionPresented,
];

const RESERVED_CLAIMS: [&str; 11] = ["", "iss", "aud", "jti", "iat", "exp", "sub", "sub_id", "events", "txn", "toe"];
