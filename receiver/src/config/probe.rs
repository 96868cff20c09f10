//! `[upstreams.<name>.probe]`: a session that exists only to be revoked, and how its issuer is asked to do so.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ssf_common::runtime::config::{Secret, Span};

use super::origin::check_url;
use super::settings::{SettingsError, wrong};
use super::{Credential, UpstreamSettings};

/// How an upstream is probed; `config.default.toml` says what each setting means.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means")]
pub struct ProbeSettings {
    #[serde(default = "default_every")]
    pub every: Span,
    #[serde(default)]
    pub url: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl ProbeSettings {
    /// Where the revocation is asked for: `POST /events` of our own transmitter, or what the operator has put there.
    pub fn url(&self, of: &UpstreamSettings) -> String {
        match self.url.as_str() {
            "" => format!("{}/events", of.issuer.as_str().trim_end_matches('/')),
            given => given.to_owned(),
        }
    }

    /// The upstream's settings with the producer's credential in place of the receiver's.
    pub fn producer(&self, of: &UpstreamSettings) -> UpstreamSettings {
        UpstreamSettings {
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            client_secret_file: self.client_secret_file.clone(),
            token: self.token.clone(),
            token_file: self.token_file.clone(),
            scope: "ssf.emit".to_owned(),
            probe: None,
            ..UpstreamSettings::new(of.issuer.clone(), of.delivery)
        }
    }

    /// What shows that we may ask for it; `name` is ours for the upstream.
    pub fn credential(&self, name: &str, of: &UpstreamSettings) -> Result<Credential, SettingsError> {
        self.producer(of).credential(&format!("{name}.probe"))
    }

    pub(super) fn check(&self, name: &str, of: &UpstreamSettings) -> Result<(), SettingsError> {
        if self.every.duration() < LEAST {
            return wrong(format!("upstreams.{name}.probe.every"), "must be at least 10s, for example \"1h\"");
        }
        check_url(&self.url(of), &format!("upstreams.{name}.probe.url"))?;
        self.credential(name, of).map(drop)
    }
}

const fn default_every() -> Span {
    Span::from_secs(3_600)
}

const LEAST: std::time::Duration = std::time::Duration::from_secs(10);
