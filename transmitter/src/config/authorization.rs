//! One outside authorization server: a section `[[authorization.servers]]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::config::Secret;
use url::{Host, Url};

use super::check::check_issuer_url;

/// An outside authorization server; `config.default.toml` says what each setting means.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means")]
pub struct AuthorizationServer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<IssuerUrl>,
    pub issuer: String,
    #[serde(default)]
    pub audience: Vec<String>,
    #[serde(default)]
    pub client_claim: ClientClaim,
    #[serde(default = "every_algorithm")]
    pub algorithms: Vec<Algorithm>,
    #[serde(default)]
    pub untyped_jwt: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<Url>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<Url>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
}

/// The claim that names the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientClaim {
    /// `client_id` (RFC 9068 §2.2, RFC 7662 §2.2).
    #[default]
    ClientId,
    /// `azp`, as OpenID providers write it.
    Azp,
    /// `sub`.
    Sub,
}

impl ClientClaim {
    /// The claim's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientId => "client_id",
            Self::Azp => "azp",
            Self::Sub => "sub",
        }
    }
}

impl AuthorizationServer {
    /// `Err` says what must be.
    pub(super) fn check(&self, is_development: bool) -> Result<(), &'static str> {
        let may_call = |url: &Url| may_be_called(url, is_development);
        if !self
            .issuer
            .parse()
            .is_ok_and(|url: Url| may_call(&url) && url.query().is_none() && url.fragment().is_none())
        {
            return Err("need an issuer that is an https URL without query and fragment");
        }
        if self.jwks_uri.as_ref().is_some_and(|url| !may_call(url)) {
            return Err("need a jwks_uri that is an https URL");
        }
        if self.algorithms.is_empty() {
            return Err("need at least one of algorithms");
        }
        if self.at.as_ref().is_some_and(|at| check_issuer_url(at.as_str()).is_err()) {
            return Err("need an at that is the URL of an issuer of ours, byte for byte");
        }
        let Some(endpoint) = &self.introspection_endpoint else {
            if self.client_id.is_some() || self.client_secret.is_some() || self.client_secret_file.is_some() {
                return Err("with a client_id or client_secret need the introspection_endpoint they are for");
            }
            return Ok(());
        };
        if !may_call(endpoint) {
            return Err("need an introspection_endpoint that is an https URL");
        }
        if self.jwks_uri.is_some() {
            return Err("have either a jwks_uri or an introspection_endpoint");
        }
        if self.untyped_jwt || self.algorithms != every_algorithm() {
            return Err("that are asked (introspection_endpoint) have no use for algorithms and untyped_jwt");
        }
        if self.client_id.is_none() || (self.client_secret.is_none() && self.client_secret_file.is_none()) {
            return Err(
                "that are asked (introspection_endpoint) need client_id and client_secret or client_secret_file",
            );
        }
        Ok(())
    }
}

/// https, or in development plain http on loopback.
pub fn may_be_called(url: &Url, is_development: bool) -> bool {
    let on_loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let has_no_password = url.username().is_empty() && url.password().is_none();
    has_no_password && (url.scheme() == "https" || (is_development && url.scheme() == "http" && on_loopback))
}

fn every_algorithm() -> Vec<Algorithm> {
    Algorithm::ALL.to_vec()
}
