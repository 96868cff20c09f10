//! Settings: `config.default.toml` says what each means; here they become types and are checked against each other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ssf_common::backoff::Backoff;
use ssf_common::event::Vocabulary;
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::config::{ConfigError, Layers, Secret, Span};
use ssf_common::runtime::telemetry::LogSettings;
use url::{Host, Url};

/// The defaults, each with a sentence.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// All settings of the transmitter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means, and is compiled in")]
pub struct Settings {
    pub server: Server,
    pub issuer: IssuerSettings,
    pub database: Database,
    pub data: Data,
    pub keys: Keys,
    pub tokens: Tokens,
    pub streams: Streams,
    pub delivery: DeliverySettings,
    pub push: Push,
    pub poll: Poll,
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
    Server { listen: String, max_body_bytes: usize, grace: Span }
    IssuerSettings { url: IssuerUrl, algorithm: Algorithm, revalidate_uri: String }
    Database { url: Secret, schema: String, max_connections: u32 }
    Data { dir: PathBuf }
    Tokens { lifetime: Span }
    Streams { min_verification_interval: Span, inactivity_timeout: Span }
    DeliverySettings { retention: Span, history: Span }
    Push { window: u32, max_in_flight: u32, timeout: Span, lease: Span, retry_first: Span, retry_ceiling: Span }
    Poll { max_events: u32, wait: Span }
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
}

impl Settings {
    /// Reads and checks the settings.
    pub fn load(layers: &Layers) -> Result<Self, SettingsError> {
        let settings: Self = ssf_common::runtime::config::load(layers)?;
        settings.check()?;
        Ok(settings)
    }

    /// Whether a private cluster is used.
    pub fn is_embedded(&self) -> bool {
        self.database.url.expose().is_empty()
    }

    /// Plain http on loopback: development, where receivers may be plain http and private too.
    pub fn is_development(&self) -> bool {
        self.issuer.url.as_str().starts_with("http://")
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

    fn check(&self) -> Result<(), SettingsError> {
        check_issuer(self.issuer.url.as_str())?;
        let wrong = |key, remedy| Err(SettingsError::Value { key, remedy });
        if !self.issuer.revalidate_uri.contains(':') {
            return wrong("issuer.revalidate_uri", "must be an absolute URI");
        }
        if self.tokens.lifetime.duration() > Duration::from_hours(1) || self.tokens.lifetime.duration().is_zero() {
            return wrong("tokens.lifetime", "must be more than 0 and at most 1h");
        }
        if self.push.window == 0 || self.push.max_in_flight < self.push.window {
            return wrong("push.max_in_flight", "must be at least push.window, and push.window at least 1");
        }
        if self.push.lease.duration() <= self.push.timeout.duration() {
            return wrong("push.lease", "must be longer than push.timeout, or a SET could be sent twice at once");
        }
        if self.poll.max_events == 0 {
            return wrong("poll.max_events", "must be at least 1");
        }
        if !is_identifier(&self.database.schema) {
            return wrong("database.schema", "must be a plain SQL name: lower-case letters, digits and _");
        }
        if RESERVED_CLAIMS.contains(&self.timeline.claim.as_str()) {
            return wrong("timeline.claim", "must not be the name of a registered claim");
        }
        let is_postgres = |url: &str| url.starts_with("postgres://") || url.starts_with("postgresql://");
        if !self.is_embedded() && !is_postgres(self.database.url.expose()) {
            return wrong("database.url", "must be a PostgreSQL URL, for example postgres://ssf@db.example/idp");
        }
        if !self.is_embedded() && self.keys.sealing_key.is_none() && self.keys.sealing_key_file.is_none() {
            return wrong(
                "keys.sealing_key",
                "is required with database.url; make one with `openssl rand -base64 32`, keep it, and set keys.sealing_key or keys.sealing_key_file",
            );
        }
        Ok(())
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// They could not be read.
    #[error(transparent)]
    Load(#[from] ConfigError),
    /// A value is not usable.
    #[error("{key} {remedy}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What it must be.
        remedy: &'static str,
    },
}

/// SSF 1.0 §7.1: https, no query, no fragment. Plain http only on loopback, for development.
fn check_issuer(text: &str) -> Result<(), SettingsError> {
    let wrong = |remedy| Err(SettingsError::Value { key: "issuer.url", remedy });
    let Ok(url) = text.parse::<Url>() else { return wrong("is not a URL; write for example https://idp.example") };
    let on_loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if on_loopback => {}
        _ => return wrong("must be https; plain http is allowed on loopback only"),
    }
    if url.query().is_some() || url.fragment().is_some() || text.ends_with('/') {
        return wrong("must have no query, no fragment and no slash at the end");
    }
    Ok(())
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() < 60
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

const RESERVED_CLAIMS: [&str; 10] = ["iss", "aud", "jti", "iat", "exp", "sub", "sub_id", "events", "txn", "toe"];

#[cfg(test)]
mod tests {
    use super::*;

    fn load(overrides: &[(&str, &str)]) -> Result<Settings, String> {
        let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let layers = Layers { environment: Vec::new(), overrides, ..Layers::new("transmitter", DEFAULTS) };
        Settings::load(&layers).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_stand_on_their_own() {
        let settings = load(&[]).unwrap();
        assert!(settings.is_embedded() && settings.is_development());
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused_by_its_key() {
        let refused = [
            (&[("issuer.url", "http://idp.example")][..], "issuer.url must be https"),
            (&[("issuer.url", "https://idp.example/?x")], "issuer.url must have no query"),
            (&[("push.lease", "4s")], "push.lease must be longer than push.timeout"),
            (&[("tokens.lifetime", "2h")], "tokens.lifetime must be"),
            (&[("timeline.claim", "iss")], "timeline.claim must not"),
            (&[("database.schema", "a;b")], "database.schema must be a plain SQL name"),
            (&[("database.url", "mysql://db/x")], "database.url must be a PostgreSQL URL"),
            (&[("database.url", "postgres://db/x")], "keys.sealing_key is required"),
        ];
        for (overrides, start) in refused {
            let said = load(overrides).unwrap_err();
            assert!(said.starts_with(start), "{said}");
        }
    }
}
