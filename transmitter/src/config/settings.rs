//! The settings as types; `config.default.toml` says what each means.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ssf_common::backoff::Backoff;
use ssf_common::event::Vocabulary;
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::Algorithm;
use ssf_common::protocol::DefaultSubjects;
use ssf_common::runtime::config::{Layers, Secret, Span, Windows};
use ssf_common::runtime::http::ForwardedBy;
use ssf_common::runtime::telemetry::LogSettings;
use ssf_common::runtime::tls::ClientCertificates;

use super::{AuthorizationServer, BacklogSettings, SettingsError};

/// All settings of the transmitter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means, and is compiled in")]
pub struct Settings {
    pub server: Server,
    pub tls: TlsSettings,
    pub proxy: Proxy,
    pub limits: LimitSettings,
    pub intake: Intake,
    pub issuer: IssuerSettings,
    pub database: Database,
    pub data: Data,
    pub keys: Keys,
    pub tokens: Tokens,
    pub authorization: AuthorizationSettings,
    pub streams: Streams,
    pub delivery: DeliverySettings,
    pub push: Push,
    pub poll: Poll,
    pub windows: Windows,
    pub backlog: BacklogSettings,
    pub outgoing: OutgoingSettings,
    pub timeline: TimelineSettings,
    pub log: LogSettings,
}

macro_rules! sections {
    ($($name:ident { $($field:ident: $type:ty),+ $(,)? })+) => {$(
        #[doc = concat!("A section of `config.default.toml`: ", stringify!($name), ".")]
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "config.default.toml says what each setting means")]
        pub struct $name { $(pub $field: $type),+ }
    )+};
}

sections! {
    Server {
        listen: String, max_body_bytes: usize, grace: Span, max_connections: usize, max_requests: usize,
        max_bytes_in_flight: usize, max_header_bytes: usize, header_timeout: Span, body_timeout: Span,
    }
    TlsSettings {
        certificate_file: PathBuf, key_file: PathBuf, client_certificates: ClientCertificates, client_ca_file: PathBuf,
        handshake_timeout: Span, development: bool,
    }
    Proxy { trusted: Vec<String>, header: ForwardedBy }
    LimitSettings { management_per_10s: u32, polls_per_10s: u32, emits_per_10s: u32, token_failures_per_minute: u32 }
    Intake { max_batch: usize, max_waiting: usize }
    OutgoingSettings { ca_file: PathBuf }
    IssuerSettings { url: IssuerUrl, algorithm: Algorithm, revalidate_uri: String, critical_subject_members: Vec<String> }
    Database { url: Secret, schema: String, max_connections: u32 }
    Data { dir: PathBuf }
    Tokens { enabled: bool, lifetime: Span, allow_public_clients: bool, max_assertion_lifetime: Span }
    AuthorizationSettings {
        servers: Vec<AuthorizationServer>,
        timeout: Span,
        keys_refresh: Span,
        keys_cooldown: Span,
        introspection_cache: Span,
    }
    Streams { default_subjects: DefaultSubjects, max_streams: u32, min_verification_interval: Span, inactivity_timeout: Span, max_subjects: u32, removal_grace: Span, verify_every: Span }
    DeliverySettings { retention: Span, history: Span }
    Push {
        window: u32, max_window: u32, max_in_flight: u32, timeout: Span, lease: Span, retry_first: Span, retry_ceiling: Span,
        max_per_host: u32, allow: Vec<String>,
    }
    Poll { max_events: u32, wait: Span, max_waiting: usize }
    TimelineSettings { claim: String }
}

/// The section `[keys]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Seals private keys and push credentials: 32 bytes in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key: Option<Secret>,
    /// The same from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key_file: Option<PathBuf>,
    /// How long a key signs; zero: until the operator rotates.
    pub rotate_every: Span,
    /// How long a key is published before it signs.
    pub publish_ahead: Span,
    /// How long a key is published after it signed.
    pub publish_after: Span,
}

impl Settings {
    /// Reads and checks the settings.
    pub fn load(layers: &Layers) -> Result<Self, SettingsError> {
        let mut settings: Self = ssf_common::runtime::config::load(layers)?;
        if settings.tls.development && settings.issuer.url.as_str() == DEFAULT_ISSUER {
            // whoever asks for TLS and says nothing of the issuer means the usual one over TLS
            settings.issuer.url = DEFAULT_ISSUER.replacen("http:", "https:", 1).as_str().into();
        }
        settings.check()?;
        Ok(settings)
    }

    /// The defaults with these differences, such as `("issuer.url", "https://idp.example")`: for an IdP that embeds the
    /// transmitter. No file and no environment is read.
    pub fn with(differences: &[(&str, &str)]) -> Result<Self, SettingsError> {
        let overrides = differences.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self::load(&Layers {
            name: "transmitter",
            defaults: super::DEFAULTS,
            file: None,
            usual_file: false,
            environment: Vec::new(),
            overrides,
        })
    }

    /// Whether a private cluster is used.
    pub fn is_embedded(&self) -> bool {
        self.database.url.expose().is_empty()
    }

    /// Plain http on loopback, or a certificate of our own: development, where receivers may be plain http and private too.
    pub fn is_development(&self) -> bool {
        self.issuer.url.as_str().starts_with("http://") || self.tls.development
    }

    /// How event types are named.
    pub fn vocabulary(&self) -> Vocabulary {
        Vocabulary { revalidate_uri: self.issuer.revalidate_uri.clone(), ..Vocabulary::default() }
    }

    /// When a failed push is tried again.
    pub const fn push_backoff(&self) -> Backoff {
        Backoff { first: self.push.retry_first.duration(), ceiling: self.push.retry_ceiling.duration() }
    }

    /// The private claim, unless it is switched off.
    pub fn timeline_claim(&self) -> Option<&str> {
        Some(self.timeline.claim.as_str()).filter(|name| !name.is_empty())
    }

    /// A file under the data directory.
    pub fn data_file(&self, name: &str) -> PathBuf {
        Path::new(&self.data.dir).join(name)
    }
}

/// `issuer.url` as `config.default.toml` has it.
const DEFAULT_ISSUER: &str = "http://127.0.0.1:8701";
