//! One outside server: what it is, and how its JWT access tokens are checked (RFC 9068 §4).

use serde_json::Value;
use ssf_common::clock::Timestamp;
use ssf_common::jwks::Algorithm;
use ssf_common::jwt::{Expected, JwtRefusal, Unverified};
use ssf_common::runtime::Env;

use super::introspection::Introspection;
use super::key_set::{KeySet, Place};
use super::{FetchError, Fetcher, Grant, Patience};
use crate::client::{ClientId, Scopes};
use crate::config::{AuthorizationServer, ClientClaim};

/// How a server's word is got.
#[derive(Debug)]
pub(super) enum Means {
    /// Its tokens are JWTs.
    Keys(KeySet),
    /// It is asked.
    Asking(Introspection),
}

/// An outside server for one issuer of ours.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) issuer: String,
    pub(super) means: Means,
    audience: Vec<String>,
    /// Whether an operator said by which names we are meant.
    has_names: bool,
    client_claim: ClientClaim,
    algorithms: Vec<Algorithm>,
    untyped: bool,
}

impl Server {
    /// From its section; `resource` is the issuer of ours it is for.
    pub(super) fn new(settings: &AuthorizationServer, resource: &str, secret: Option<secrecy::SecretString>) -> Self {
        let means = match (&settings.introspection_endpoint, &settings.client_id, secret) {
            (Some(endpoint), Some(client_id), Some(secret)) => {
                Means::Asking(Introspection::new(endpoint.clone(), client_id.clone(), secret))
            }
            _ => Means::Keys(KeySet::new(match &settings.jwks_uri {
                Some(url) => Place::At(url.clone()),
                None => Place::OfIssuer(settings.issuer.clone()),
            })),
        };
        let audience = if settings.audience.is_empty() { vec![resource.to_owned()] } else { settings.audience.clone() };
        Self {
            issuer: settings.issuer.clone(),
            means,
            audience,
            has_names: !settings.audience.is_empty(),
            client_claim: settings.client_claim,
            algorithms: settings.algorithms.clone(),
            untyped: settings.untyped_jwt,
        }
    }

    /// What a JWT of this server grants.
    pub(super) async fn judge(
        &self,
        token: &Unverified<'_>,
        keys: &KeySet,
        fetcher: &Fetcher,
        patience: &Patience,
        env: &Env,
    ) -> Result<Result<Grant, JwtRefusal>, FetchError> {
        let audiences: Vec<&str> = self.audience.iter().map(String::as_str).collect();
        let types: &[&str] = if self.untyped { &["at+jwt", "JWT"] } else { &["at+jwt"] };
        let expected = Expected {
            types,
            untyped: self.untyped,
            algorithms: &self.algorithms,
            issuer: &self.issuer,
            audiences: &audiences,
            shared: true,
            longest: None,
        };
        let keys = keys.with(token.key_id(), fetcher, patience, env).await?;
        let verified = match token.verify(&expected, &keys, env.now()) {
            Ok(verified) => verified,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let claim = |name: &str| verified.claim(name);
        Ok(self.grant(claim, Some(verified.expires_at)).ok_or(JwtRefusal::Claim(self.client_claim.as_str())))
    }

    /// Who and what, by the claims of a JWT or the members of an answer. `None` if nobody is named.
    pub(super) fn grant<'a>(
        &self,
        claim: impl Fn(&'static str) -> Option<&'a Value>,
        expires_at: Option<Timestamp>,
    ) -> Option<Grant> {
        let client_id =
            claim(self.client_claim.as_str())?.as_str().filter(|name| !name.is_empty() && !name.contains('\0'))?;
        // `scope` by RFC 9068 §2.2.3 and RFC 7662 §2.2; `scp`, text or list, as some servers have it
        let scopes = claim("scope").or_else(|| claim("scp")).map(scopes).unwrap_or_default();
        Some(Grant { server: self.issuer.clone(), client_id: ClientId::from(client_id), scopes, expires_at })
    }

    /// Whether one of these names means us. An answer that names nobody means whoever asked, unless an operator said by
    /// which names we are meant: then the server is one that names somebody.
    pub(super) fn is_for_us(&self, audience: Option<&Value>) -> bool {
        let is_ours = |name: &Value| name.as_str().is_some_and(|name| self.audience.iter().any(|ours| ours == name));
        match audience {
            None => !self.has_names,
            Some(Value::Array(names)) => names.iter().any(is_ours),
            Some(name) => is_ours(name),
        }
    }
}

fn scopes(value: &Value) -> Scopes {
    match value {
        Value::Array(words) => Scopes::from_words(words.iter().filter_map(Value::as_str)),
        other => Scopes::from_words(other.as_str().unwrap_or_default().split_ascii_whitespace()),
    }
}
