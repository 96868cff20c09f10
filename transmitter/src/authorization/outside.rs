//! The outside servers of every issuer, and the one question: what does this token grant here?

use std::collections::HashMap;
use std::sync::Arc;

use secrecy::SecretString;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;
use ssf_common::jwt::Unverified;
use ssf_common::runtime::Env;
use ssf_common::runtime::telemetry::chain;

use super::server::{Means, Server};
use super::{FetchError, Fetcher, Patience};
use crate::client::{ClientId, Scopes};
use crate::config::AuthorizationServer;

/// All outside servers. Clones share them, and what they said.
#[derive(Clone, Debug)]
pub struct Outside(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    servers: HashMap<IssuerUrl, Vec<Server>>,
    fetcher: Fetcher,
    patience: Patience,
    env: Env,
}

/// Whom an outside server names, and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose word it is: the server's own issuer.
    pub server: String,
    /// The client, by its name there, which must be its name here.
    pub client_id: ClientId,
    /// What the token says; what the client may here limits it.
    pub scopes: Scopes,
    /// When it ends, if that was said.
    pub expires_at: Option<Timestamp>,
}

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good, and grants this.
    Good(Grant),
    /// No server vouches for it.
    Bad,
    /// A server that might vouch for it cannot be asked.
    Unknown,
}

impl Outside {
    /// `servers` with their secrets; those without `at` are for `primary`.
    pub fn new(
        servers: &[(AuthorizationServer, Option<SecretString>)],
        primary: &IssuerUrl,
        fetcher: Fetcher,
        patience: Patience,
        env: Env,
    ) -> Self {
        let mut of: HashMap<IssuerUrl, Vec<Server>> = HashMap::new();
        for (settings, secret) in servers {
            let at = settings.at.clone().unwrap_or_else(|| primary.clone());
            let server = Server::new(settings, at.as_str(), secret.clone());
            of.entry(at).or_default().push(server);
        }
        Self(Arc::new(Shared { servers: of, fetcher, patience, env }))
    }

    /// The issuers of this issuer's servers, as its metadata name them.
    pub fn issuers(&self, at: &IssuerUrl) -> Vec<&str> {
        self.of(at).iter().map(|server| server.issuer.as_str()).collect()
    }

    /// What this token grants at this issuer of ours.
    pub async fn judge(&self, at: &IssuerUrl, token: &str) -> Verdict {
        let servers = self.of(at);
        if servers.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Verdict::Bad;
        }
        let jwt = Unverified::parse(token, MAX_TOKEN).ok();
        let named = jwt.as_ref().and_then(|jwt| jwt.text("iss"));
        let mut is_unknown = false;
        for server in servers {
            let said = match (&server.means, &jwt) {
                (Means::Keys(_), None) => continue,
                // a JWT that names another issuer is none of this server's, and none of its business
                _ if named.is_some_and(|issuer| issuer != server.issuer) => continue,
                (Means::Keys(keys), Some(jwt)) => {
                    let Shared { fetcher, patience, env, .. } = &*self.0;
                    server.judge(jwt, keys, fetcher, patience, env).await.map(|judged| match judged {
                        Ok(grant) => Some(grant),
                        Err(refusal) => {
                            tracing::debug!(reason = %refusal, server.issuer = server.issuer, "an outside token is refused");
                            None
                        }
                    })
                }
                (Means::Asking(asking), _) => {
                    let believed = self.0.patience.introspection_cache;
                    asking.ask(server, token, &self.0.fetcher, believed, &self.0.env).await
                }
            };
            match said {
                Ok(Some(grant)) => return Verdict::Good(grant),
                Ok(None) => {}
                Err(error) => {
                    is_unknown = true;
                    warn(server, &error);
                }
            }
        }
        if is_unknown { Verdict::Unknown } else { Verdict::Bad }
    }

    fn of(&self, at: &IssuerUrl) -> &[Server] {
        self.0.servers.get(at).map_or(&[], Vec::as_slice)
    }
}

fn warn(server: &Server, error: &FetchError) {
    tracing::warn!(error = %chain(error), server.issuer = server.issuer, "an authorization server cannot be asked; callers with its tokens get 503");
}

/// Longer than the access tokens of any server seen in the field.
const MAX_TOKEN: usize = 16 * 1024;
