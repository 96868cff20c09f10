//! How a client is to show who it is, as a request says it.

use serde_json::Value;
use url::Url;

use super::{ApiError, ApiState};
use crate::client::{AuthMethod, Authentication, ClientKeys, PublicKeys};
use crate::config::may_be_called;
use crate::issuer::Issuer;

/// The members that say it.
pub(super) struct MethodRequest<'a> {
    pub(super) auth_method: Option<&'a str>,
    pub(super) jwks: Option<&'a Value>,
    pub(super) jwks_uri: Option<&'a str>,
    pub(super) authorization_server: Option<&'a str>,
}

impl MethodRequest<'_> {
    /// The one method, with what belongs to it and nothing else. What is left out is `authorization_server` if one is
    /// named, and `client_secret_basic` if not.
    pub(super) fn chosen(self, state: &ApiState, issuer: &Issuer) -> Result<Authentication, ApiError> {
        let method: AuthMethod = match self.auth_method.filter(|word| !word.is_empty()) {
            Some(word) => word.parse().map_err(|error| ApiError::Invalid(format!("auth_method: {error}")))?,
            None if self.authorization_server.is_some() => AuthMethod::Outside,
            None => AuthMethod::default(),
        };
        if method != AuthMethod::PrivateKeyJwt && (self.jwks.is_some() || self.jwks_uri.is_some()) {
            return Err(ApiError::invalid("jwks and jwks_uri are for private_key_jwt only"));
        }
        if method != AuthMethod::Outside && self.authorization_server.is_some() {
            return Err(ApiError::invalid("authorization_server is for the method of this name only"));
        }
        match method {
            AuthMethod::SecretBasic => Ok(Authentication::SecretBasic),
            AuthMethod::SecretPost => Ok(Authentication::SecretPost),
            AuthMethod::PrivateKeyJwt => self.keys(state).map(Authentication::Keys),
            AuthMethod::Outside => {
                let known = state.outside.issuers(&issuer.url);
                let server = self.authorization_server.filter(|server| known.contains(server));
                let server = server.ok_or_else(|| {
                    ApiError::invalid("authorization_server must be the issuer of one of authorization.servers")
                })?;
                Ok(Authentication::Outside(server.to_owned()))
            }
            AuthMethod::None if state.public_clients => Ok(Authentication::Public),
            AuthMethod::None => {
                Err(ApiError::invalid("auth_method none is not allowed here (tokens.allow_public_clients)"))
            }
        }
    }

    fn keys(&self, state: &ApiState) -> Result<ClientKeys, ApiError> {
        match (self.jwks, self.jwks_uri) {
            (Some(keys), None) => {
                let keys = PublicKeys::parse(keys.to_string().as_bytes());
                keys.map(ClientKeys::Here).map_err(|error| ApiError::Invalid(format!("jwks: {error}")))
            }
            (None, Some(uri)) => {
                let uri: Option<Url> = uri.parse().ok().filter(|uri| may_be_called(uri, state.is_development));
                let uri = uri.ok_or_else(|| ApiError::invalid("jwks_uri must be an https URL"))?;
                state.endpoints.check(&uri).map_err(|error| ApiError::Invalid(format!("jwks_uri: {error}")))?;
                Ok(ClientKeys::At(uri))
            }
            _ => Err(ApiError::invalid("private_key_jwt needs either jwks or jwks_uri")),
        }
    }
}
