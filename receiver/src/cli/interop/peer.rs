//! Which transmitter, and with what credential.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use ssf_common::event::Vocabulary;
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::Env;
use ssf_common::runtime::config::Secret;
use ssf_receiver::config::{ClientAuth, Credential, Delivery, Settings, UpstreamSettings};
use ssf_receiver::interop::{Fault, Findings, Manner, Peer};

/// A transmitter: any, by its issuer, or one of the settings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Transmitter")]
pub(super) struct PeerArgs {
    /// The transmitter, by its issuer URL (https; plain http on loopback only)
    #[arg(long, value_name = "URL", conflicts_with = "upstream", required_unless_present = "upstream")]
    issuer: Option<String>,
    /// The transmitter, by its name in the settings, with the credential that stands there
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Client credentials (RFC 6749 §4.4): our name at the token endpoint
    #[arg(long, value_name = "ID", conflicts_with_all = ["upstream", "token", "token_file"])]
    client_id: Option<String>,
    /// … and our secret there; better in a file, for others see command lines
    #[arg(long, value_name = "SECRET", value_parser = secret, requires = "client_id", conflicts_with = "client_secret_file")]
    client_secret: Option<Secret>,
    /// … or the file it is in
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// How client credentials are shown to the token endpoint
    #[arg(long, value_name = "METHOD", default_value = "basic", conflicts_with = "upstream")]
    client_auth: ShownAs,
    /// Our private key (JWK or PEM) for --client-auth private-key-jwt
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_key_file: Option<PathBuf>,
    /// The token endpoint; without it the issuer's authorization server metadata (RFC 8414) say it
    #[arg(long, value_name = "URL", conflicts_with = "upstream")]
    token_url: Option<String>,
    /// What the access token is asked for
    #[arg(long, value_name = "SCOPES", conflicts_with = "upstream")]
    scope: Option<String>,
    /// An access token that was issued before, in place of client credentials; better in a file
    #[arg(long, value_name = "TOKEN", value_parser = secret, conflicts_with_all = ["upstream", "token_file"])]
    token: Option<Secret>,
    /// … or the file it is in
    #[arg(long, value_name = "FILE", conflicts_with = "upstream")]
    token_file: Option<PathBuf>,
    /// Print every request and answer to standard error, credentials masked
    #[arg(long)]
    trace: bool,
    /// Only warn of deviations that transmitters in the field are known for
    #[arg(long)]
    pub(super) lenient: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ShownAs {
    /// In the Authorization header (client_secret_basic)
    Basic,
    /// In the form (client_secret_post)
    Post,
    /// Not at all: a signed assertion takes its place (private_key_jwt)
    PrivateKeyJwt,
}

impl PeerArgs {
    /// Discovers it; what is wrong with its metadata is found.
    pub(super) async fn open(&self, all: &Settings, env: Env, found: &mut Findings) -> Result<Arc<Peer>, Fault> {
        let (settings, credential) = self.target(all)?;
        let manner = Manner {
            timeout: all.requests.timeout.duration(),
            keys_cooldown: all.requests.keys_cooldown.duration(),
            max_set_bytes: all.inbox.max_set_bytes,
            is_lenient: self.lenient,
            trace: self.trace.then(|| Box::new(io::stderr()) as _),
        };
        Ok(Arc::new(Peer::open(settings, credential, manner, env, found).await?))
    }

    /// How it names event types, as far as that is known before it is asked.
    pub(super) fn vocabulary(&self, all: &Settings) -> Vocabulary {
        let known = self.upstream.as_ref().and_then(|name| all.upstreams.get(name));
        known.map(UpstreamSettings::vocabulary).unwrap_or_default()
    }

    fn target(&self, all: &Settings) -> Result<(UpstreamSettings, Credential), Fault> {
        if let Some(name) = &self.upstream {
            let known = all.upstreams.get(name).cloned();
            let settings = known.ok_or_else(|| {
                let known: Vec<_> = all.upstreams.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Fault::Usage(format!(
                    "upstreams.{name} is not in the settings; correct --upstream, or use --issuer (there now: {known})"
                ))
            })?;
            let credential = settings.credential(name)?;
            return Ok((settings, credential));
        }
        let has_credential = self.token.is_some() || self.token_file.is_some() || self.client_id.is_some();
        if !has_credential {
            let text = "a credential is needed: --client-id with --client-secret-file, or --token-file";
            return Err(Fault::Usage(text.to_owned()));
        }
        let issuer = IssuerUrl(self.issuer.clone().unwrap_or_default());
        let settings = UpstreamSettings {
            client_id: self.client_id.clone().unwrap_or_default(),
            client_secret: self.client_secret.clone(),
            client_secret_file: self.client_secret_file.clone(),
            client_auth: match self.client_auth {
                ShownAs::Basic => ClientAuth::Basic,
                ShownAs::Post => ClientAuth::Post,
                ShownAs::PrivateKeyJwt => ClientAuth::PrivateKey,
            },
            client_key_file: self.client_key_file.clone(),
            token_url: self.token_url.clone().unwrap_or_default(),
            token: self.token.clone(),
            token_file: self.token_file.clone(),
            ..UpstreamSettings::new(issuer, Delivery::Poll)
        };
        let settings = match &self.scope {
            Some(scope) => UpstreamSettings { scope: scope.clone(), ..settings },
            None => settings,
        };
        settings.check_unnamed()?;
        let credential = settings.unnamed_credential()?;
        Ok((settings, credential))
    }
}

/// Whatever it is, an error must not quote it.
#[expect(clippy::unnecessary_wraps, reason = "the shape clap asks for")]
pub(super) fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::from(text.to_owned()))
}
