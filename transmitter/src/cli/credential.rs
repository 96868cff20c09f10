//! `client rotate-secret`, `client set-method`, `client token add|list|revoke`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use ssf_common::runtime::Env;
use ssf_common::runtime::config::Span;
use ssf_transmitter::admin;
use ssf_transmitter::client::{AuthMethod, Authentication, ClientKeys, PublicKeys, Scope, Scopes};
use ssf_transmitter::config::{Settings, may_be_called};
use ssf_transmitter::issuer::Issuer;
use url::Url;

use super::database::{Database, actor};

/// How a client shows who it is at the token endpoint.
#[derive(Debug, Args)]
pub(super) struct Method {
    /// client_secret_basic, client_secret_post, private_key_jwt (with --jwks or --jwks-uri), authorization_server (with
    /// --authorization-server), or none (only with tokens.allow_public_clients).
    #[arg(id = "auth-method", long, value_name = "METHOD")]
    by: Option<AuthMethod>,
    /// A file with the client's public keys, a JWK set.
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// Where the client publishes its keys.
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<Url>,
    /// The issuer of one of authorization.servers: the client gets its tokens there, and they name it.
    #[arg(long, value_name = "URL", conflicts_with_all = ["jwks", "jwks_uri"])]
    authorization_server: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Gives a client a new secret and prints it, once. Without --overlap the old one ends now, and every token issued for it.
    RotateSecret {
        /// The client's name.
        client_id: String,
        /// How long the old secret stays good, for example 24h.
        #[arg(long, value_name = "SPAN")]
        overlap: Option<Span>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Changes how a client shows who it is; its streams stay as they are.
    SetMethod {
        /// The client's name.
        client_id: String,
        #[command(flatten)]
        method: Method,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// A client's static tokens.
    #[command(subcommand)]
    Token(Token),
}

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Gives a client a further static token and prints it, once.
    Add {
        /// The client's name.
        client_id: String,
        /// What it is for; revoke it by this.
        #[arg(long)]
        label: Option<String>,
        /// What it allows, if not all the client may. May be given several times.
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<Scope>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists them; the tokens themselves are nowhere.
    List {
        /// The client's name.
        client_id: String,
        /// As JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
    /// Ends one at once.
    Revoke {
        /// The client's name.
        client_id: String,
        /// Its id or its label.
        token: String,
    },
}

/// Runs one of them.
pub(super) async fn work(
    settings: &Settings,
    database: &Database,
    issuer: &Issuer,
    command: Command,
    env: &Env,
) -> anyhow::Result<String> {
    let pool = &database.pool;
    match command {
        Command::RotateSecret { client_id, overlap, json } => {
            let overlap = overlap.map_or(Duration::ZERO, Span::duration);
            let secret = admin::rotate_secret(pool, issuer, &client_id.as_str().into(), overlap, &actor(), env).await?;
            Ok(shown(json, &client_id, "client_secret", Some(&secret)))
        }
        Command::SetMethod { client_id, method, json } => {
            let authentication = method
                .chosen(settings, issuer)?
                .context("say which with --auth-method, --jwks, --jwks-uri or --authorization-server")?;
            let name = client_id.as_str().into();
            let secret = admin::set_authentication(pool, issuer, &name, &authentication, &actor(), env).await?;
            Ok(shown(json, &client_id, "client_secret", secret.as_ref()))
        }
        Command::Token(Token::Add { client_id, label, scope, json }) => {
            let scopes = (!scope.is_empty()).then(|| scope.into_iter().collect::<Scopes>());
            let name = client_id.as_str().into();
            let (id, token) =
                admin::add_token(pool, issuer, &name, label.as_deref(), scopes.as_ref(), &actor(), env).await?;
            if json {
                return Ok(json!({"client_id": client_id, "id": id, "label": label, "token": token.expose_secret()})
                    .to_string());
            }
            Ok(format!("{}\nid             {id}", shown(false, &client_id, "token", Some(&token))))
        }
        Command::Token(Token::List { client_id, json }) => {
            let tokens = admin::list_tokens(pool, issuer, &client_id.as_str().into()).await?;
            let lines = tokens.iter().map(|token| {
                let (id, label, scopes) = (token.id, token.label.as_deref(), token.scopes.to_string());
                if json {
                    json!({"id": id, "label": label, "scopes": scopes, "created_at": token.created_at}).to_string()
                } else {
                    format!("{id}  {:<24} {scopes:<28} {}", label.unwrap_or("-"), token.created_at)
                }
            });
            Ok(lines.collect::<Vec<_>>().join("\n"))
        }
        Command::Token(Token::Revoke { client_id, token }) => {
            admin::revoke_token(pool, issuer, &client_id.as_str().into(), &token, &actor(), env).await?;
            Ok(format!("the token {token} of {client_id} has ended"))
        }
    }
}

impl Method {
    /// What was chosen; `None` if nothing was.
    pub(super) fn chosen(&self, settings: &Settings, issuer: &Issuer) -> anyhow::Result<Option<Authentication>> {
        let has_keys = self.jwks.is_some() || self.jwks_uri.is_some();
        let method = match (self.by, has_keys) {
            (None, false) if self.authorization_server.is_some() => AuthMethod::Outside,
            (None, false) => return Ok(None),
            (None, true) => AuthMethod::PrivateKeyJwt,
            (Some(method), _) => method,
        };
        anyhow::ensure!(!has_keys || method == AuthMethod::PrivateKeyJwt, "keys belong to the method private_key_jwt");
        anyhow::ensure!(
            self.authorization_server.is_none() || method == AuthMethod::Outside,
            "--authorization-server belongs to the method authorization_server"
        );
        Ok(Some(match method {
            AuthMethod::SecretBasic => Authentication::SecretBasic,
            AuthMethod::SecretPost => Authentication::SecretPost,
            AuthMethod::PrivateKeyJwt => Authentication::Keys(self.keys(settings)?),
            AuthMethod::Outside => Authentication::Outside(self.server(settings, issuer)?),
            AuthMethod::None => {
                anyhow::ensure!(
                    settings.tokens.allow_public_clients,
                    "a client with the method none is whoever knows its name; for a closed test setup set tokens.allow_public_clients = true"
                );
                Authentication::Public
            }
        }))
    }

    fn server(&self, settings: &Settings, issuer: &Issuer) -> anyhow::Result<String> {
        let server = self.authorization_server.as_ref().context("name the server with --authorization-server URL")?;
        let primary = &settings.issuer.url;
        let mut servers = settings.authorization.servers.iter();
        anyhow::ensure!(
            servers.any(|one| one.issuer == *server && *one.at.as_ref().unwrap_or(primary) == issuer.url),
            "none of authorization.servers for {} has the issuer {server}",
            issuer.url
        );
        Ok(server.clone())
    }

    fn keys(&self, settings: &Settings) -> anyhow::Result<ClientKeys> {
        if let Some(file) = &self.jwks {
            let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            return Ok(ClientKeys::Here(PublicKeys::parse(&text).with_context(|| file.display().to_string())?));
        }
        let url =
            self.jwks_uri.clone().context("private_key_jwt needs the client's keys: --jwks FILE or --jwks-uri URL")?;
        anyhow::ensure!(may_be_called(&url, settings.is_development()), "--jwks-uri must be an https URL");
        settings.endpoint_guard()?.check(&url).context("--jwks-uri")?;
        Ok(ClientKeys::At(url))
    }
}

fn shown(as_json: bool, client_id: &str, what: &str, secret: Option<&SecretString>) -> String {
    let secret = secret.map(SecretString::expose_secret);
    if as_json {
        return json!({"client_id": client_id, what: secret}).to_string();
    }
    match secret {
        Some(secret) => format!("this is shown only now:\nclient_id      {client_id}\n{what:<14} {secret}"),
        None => format!("{client_id} has no secret any more"),
    }
}
