//! Who calls: the bearer token of a request becomes a [`Caller`] (RFC 6750 §2.1, header only).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::ApiState;
use super::error::ApiError;
use super::front::{At, Below};
use crate::authorization::Verdict;
use crate::client::authentication::store::registered;
use crate::client::{Authentication, Client, Digest, Principal, Scope, store};
use crate::tenant::Tenant;

/// An authenticated caller. As the first extractor of a handler it decides before body and existence are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    principal: Principal,
    /// At which issuer.
    pub(crate) tenant: Arc<Tenant>,
}

impl Caller {
    /// The principal, if its token allows `scope`. With `ssf.admin` it may be an operator of another issuer: what it
    /// administers is [`tenant`](Self::tenant), never its own client's issuer.
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
        let principal = match own(state, &tenant, token).await? {
            Some(principal) => principal,
            None => outside(state, &tenant, token).await?,
        };
        let path = parts.extensions.get::<Below>().map_or_else(|| parts.uri.path(), |Below(path)| path.as_str());
        state.traffic.count(principal.client.key, path, state.env.now())?;
        Ok(Self { principal, tenant })
    }
}

/// Who holds this token, if it is one of ours.
async fn own(state: &ApiState, tenant: &Tenant, token: &str) -> Result<Option<Principal>, ApiError> {
    // none of ours has a dot; a JWT does
    if token.contains('.') {
        return Ok(None);
    }
    let mut conn = state.pool.acquire().await?;
    let (digest, issued) = (Digest::of(token), state.token_endpoint);
    let principal = store::principal(&mut conn, tenant.issuer.id, digest, issued, state.env.now()).await?;
    // an operator's token ends with the issuer it was made at
    Ok(principal.filter(|principal| state.tenants.of(principal.client.issuer_id).is_some()))
}

/// Who holds this token by the word of an outside server: a client registered here, within what it may do here.
async fn outside(state: &ApiState, tenant: &Tenant, token: &str) -> Result<Principal, ApiError> {
    let granted = match state.outside.judge(&tenant.issuer.url, token).await {
        Verdict::Good(granted) => granted,
        Verdict::Bad => return Err(ApiError::BadToken),
        Verdict::Unknown => return Err(ApiError::Unavailable),
    };
    let mut conn = state.pool.acquire().await?;
    let known = registered(&mut conn, tenant.issuer.id, &granted.client_id).await?;
    // a server names its own clients only, whatever names it gives them
    let known = known.filter(|known| known.authentication == Authentication::Outside(granted.server));
    // the whole service is operated with credentials of ours only
    let client = Client { is_operator: false, ..known.ok_or(ApiError::NotRegistered)?.client };
    Ok(Principal { scopes: granted.scopes.within(&client.scopes), client })
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}
