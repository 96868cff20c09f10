//! Who calls: the bearer token of a request becomes a [`Caller`] (RFC 6750 §2.1, header only).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::ApiState;
use super::error::ApiError;
use super::front::At;
use crate::client::{Digest, Principal, Scope, store};
use crate::tenant::Tenant;

/// An authenticated caller. As the first extractor of a handler it decides before body and existence are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    principal: Principal,
    /// At which issuer.
    pub(crate) tenant: Arc<Tenant>,
}

impl Caller {
    /// The principal, if its token allows `scope`.
    pub(crate) fn with(self, scope: Scope) -> Result<Principal, ApiError> {
        if self.principal.may(scope) { Ok(self.principal) } else { Err(ApiError::Scope(scope)) }
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let At(tenant) = At::from_request_parts(parts, state).await?;
        if parts.uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("access_token="))) {
            return Err(ApiError::MisplacedToken);
        }
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
        let header = match (headers.next(), headers.next()) {
            (None, _) => return Err(ApiError::NoToken),
            (Some(header), None) => header,
            (Some(_), Some(_)) => return Err(ApiError::MisplacedToken),
        };
        let token = header.to_str().ok().and_then(bearer).ok_or(ApiError::NoToken)?;
        let mut conn = state.pool.acquire().await?;
        let principal = store::principal(&mut conn, tenant.issuer.id, Digest::of(token), state.env.now()).await?;
        let principal = principal.ok_or(ApiError::BadToken)?;
        state.traffic.count(principal.client.key, parts.uri.path(), state.env.now())?;
        Ok(Self { principal, tenant })
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}
