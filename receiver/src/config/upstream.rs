//! The settings of one transmitter we listen to: `[upstreams.<name>]`, or what an operator gave while running.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ssf_common::event::{EventType, Vocabulary};
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::config::{Secret, Span};
use url::Url;

use super::Level;
use super::authority::AuthoritySettings;
use super::credential::{AssertionAudience, ClientAuth};
use super::origin::{check_origin, check_url, is_on_loopback};
use super::policy::{EffectPolicy, PolicyRows, Rules, TenantSettings};
use super::probe::ProbeSettings;
use super::profile::{self, Profile};
use super::settings::{SettingsError, wrong};

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key_file: Option<PathBuf>,
    #[serde(default)]
    pub assertion_audience: AssertionAudience,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_every: Option<Span>,
    #[serde(default = "default_verify_patience")]
    pub verify_patience: Span,
    #[serde(default = "default_revalidate_uri")]
    pub revalidate_uri: String,
    #[serde(default)]
    pub revalidate_aliases: Vec<String>,
    #[serde(default = "default_timeline_claim")]
    pub timeline_claim: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub event_aliases: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub every_session_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_shapes: Option<bool>,
    #[serde(default)]
    pub level: Level,
    #[serde(default, skip_serializing_if = "PolicyRows::is_empty")]
    pub policy: PolicyRows,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<String, TenantSettings>,
    #[serde(default, skip_serializing_if = "AuthoritySettings::is_default")]
    pub authority: AuthoritySettings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeSettings>,
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

impl UpstreamSettings {
    /// How long a verification event may take, unless the settings say otherwise.
    pub const DEFAULT_PATIENCE: Span = Span::from_secs(60);

    /// Settings with every default, for `issuer` and a way of delivery; a credential is still missing.
    pub fn new(issuer: IssuerUrl, delivery: Delivery) -> Self {
        Self {
            issuer,
            delivery,
            client_id: String::new(),
            client_secret: None,
            client_secret_file: None,
            client_auth: ClientAuth::default(),
            client_key: None,
            client_key_file: None,
            assertion_audience: AssertionAudience::default(),
            scope: default_scope(),
            token_url: String::new(),
            token: None,
            token_file: None,
            audiences: Vec::new(),
            events_requested: Vec::new(),
            description: String::new(),
            verify_every: None,
            verify_patience: default_verify_patience(),
            revalidate_uri: default_revalidate_uri(),
            revalidate_aliases: Vec::new(),
            timeline_claim: default_timeline_claim(),
            event_aliases: BTreeMap::new(),
            every_session_id: String::new(),
            profile: None,
            legacy_shapes: None,
            level: Level::default(),
            policy: PolicyRows::default(),
            tenants: BTreeMap::new(),
            authority: AuthoritySettings::default(),
            probe: None,
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

    /// How often a verification event is asked for: as configured, or so often that the windows of the level allow for
    /// one that is lost.
    pub fn verify_every(&self) -> Duration {
        let by_level = match self.level {
            Level::Sl2 => Duration::from_mins(1),
            Level::Sl3 => Duration::from_secs(15),
        };
        self.verify_every.map_or(by_level, Span::duration)
    }

    /// How this transmitter names event types.
    pub fn vocabulary(&self) -> Vocabulary {
        let named =
            |(uri, name): (&String, &String)| Some((uri.clone(), EventType::from_name(name, &Vocabulary::default())?));
        let mut event_aliases = self.profile().event_aliases();
        event_aliases.extend(self.event_aliases.iter().filter_map(named));
        let (revalidate_uri, revalidate_aliases) = (self.revalidate_uri.clone(), self.revalidate_aliases.clone());
        Vocabulary { revalidate_uri, revalidate_aliases, event_aliases }
    }

    /// How far it may depart from the letter of the standards.
    pub fn profile(&self) -> Profile {
        match (self.profile, self.legacy_shapes) {
            (Some(profile), _) => profile,
            (None, Some(true)) => Profile::Legacy,
            (None, _) => Profile::default(),
        }
    }

    /// What is done with its decisions, with what `[policy]` says of all transmitters.
    pub fn rules(&self, global: &PolicyRows) -> Rules {
        let policy = EffectPolicy::new(global, &self.policy, &self.tenants, &self.vocabulary());
        Rules { policy, authority: self.authority.clone() }
    }

    /// The URIs of the event types to ask for; without any in the settings, all that have an effect or
    /// tell a fact.
    pub fn event_uris(&self) -> Vec<String> {
        let vocabulary = self.vocabulary();
        if self.events_requested.is_empty() {
            // control events need not be asked for
            let decisions = EventType::known().iter().filter(|event_type| !event_type.is_about_the_stream());
            return decisions.map(|event_type| event_type.uri(&vocabulary).to_owned()).collect();
        }
        let named = self.events_requested.iter().filter_map(|name| EventType::from_name(name, &vocabulary));
        named.map(|event_type| event_type.uri(&vocabulary).to_owned()).collect()
    }

    /// Whether such a transmitter may be talked to: its URLs are https, or plain http on loopback.
    pub fn check_unnamed(&self) -> Result<(), SettingsError> {
        check_url(self.issuer.as_str(), "issuer")?;
        self.check_token_url("token_url".to_owned())
    }

    /// Whether everything fits together; `name` is ours for the transmitter, for errors.
    pub(crate) fn check(&self, name: &str) -> Result<(), SettingsError> {
        let key = |of: &str| format!("upstreams.{name}.{of}");
        if !is_path_name(name) {
            return wrong(
                format!("upstreams.{name}"),
                "must be named by lower-case letters, digits, - and _, starting with a letter or digit, at most 63",
            );
        }
        match self.profile() {
            // Google calls itself so.
            Profile::Legacy => check_url(self.issuer.as_str(), &key("issuer"))?,
            Profile::Strict | Profile::Lenient => check_origin(self.issuer.as_str(), &key("issuer"))?,
        }
        if matches!((self.profile, self.legacy_shapes), (Some(Profile::Strict | Profile::Lenient), Some(true))) {
            return wrong(
                key("legacy_shapes"),
                "is the old spelling of profile = \"legacy\" and says otherwise than profile; remove it",
            );
        }
        self.check_token_url(key("token_url"))?;
        if self.verify_every().is_zero() {
            return wrong(key("verify_every"), "must be more than 0, for example \"1m\"");
        }
        if self.verify_patience.duration().is_zero() {
            return wrong(key("verify_patience"), "must be more than 0, for example \"1m\"");
        }
        if RESERVED_CLAIMS.contains(&self.timeline_claim.as_str()) {
            return wrong(key("timeline_claim"), "must not be the name of a registered claim");
        }
        profile::check_aliases(&self.event_aliases, &key("event_aliases"))?;
        let vocabulary = self.vocabulary();
        vocabulary.check().map_err(|source| SettingsError::Vocabulary { key: key("revalidate_uri"), source })?;
        if self.events_requested.iter().any(|name| EventType::from_name(name, &vocabulary).is_none()) {
            return wrong(
                key("events_requested"),
                "holds a name that is not an event type; write short names such as session-revoked, or URIs",
            );
        }
        self.policy.read(&key("policy"), &vocabulary)?;
        self.authority.check(&key("authority"))?;
        for (id, tenant) in &self.tenants {
            tenant.policy.read(&format!("{}.{id:?}.policy", key("tenants")), &vocabulary)?;
        }
        self.credential(name)?;
        self.probe.as_ref().map_or(Ok(()), |probe| probe.check(name, self))
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

const fn default_verify_patience() -> Span {
    UpstreamSettings::DEFAULT_PATIENCE
}

fn default_revalidate_uri() -> String {
    Vocabulary::default().revalidate_uri
}

fn default_timeline_claim() -> String {
    ssf_common::set::DEFAULT_TIMELINE_CLAIM.to_owned()
}

/// As the database and the path of the push endpoint want it.
pub(super) fn is_path_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 63
        && name.bytes().next().is_some_and(is_plain)
        && name.bytes().all(|b| is_plain(b) || b == b'-' || b == b'_')
}

const RESERVED_CLAIMS: [&str; 11] = ["", "iss", "aud", "jti", "iat", "exp", "sub", "sub_id", "events", "txn", "toe"];
