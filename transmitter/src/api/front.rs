//! Which issuer a request means: decided by host and path before any route is looked for.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{HOST, WWW_AUTHENTICATE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};

use super::error::ApiError;
use super::{ApiState, is_health};
use crate::tenant::Tenant;

/// The issuer that was meant.
#[derive(Clone, Debug)]
pub(crate) struct At(pub(crate) Arc<Tenant>);

/// What was meant below the issuer's path: the whole of it, where a nested router sees its own part only.
#[derive(Clone, Debug)]
pub(super) struct Below(pub(super) String);

impl FromRequestParts<ApiState> for At {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &ApiState) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or(ApiError::NotFound(NOTHING))
    }
}

/// Finds the issuer and takes its path off the request's, so that every route is written as for an issuer at the root.
/// Documents of an issuer stand between host and path (SSF 1.0 §7.2.1). A request that means no issuer goes on as it is,
/// for the routes of the whole service. Every refusal of a bearer token names the issuer's resource metadata (RFC 9728
/// §5.1), for that is known only here.
pub(super) async fn find_issuer(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Result<Response, Response> {
    // nested in another application, the path was shortened already
    let whole = request.extensions().get::<OriginalUri>().map_or_else(|| request.uri().clone(), |uri| uri.0.clone());
    let origin = state.traffic.origin(&request);
    let host = origin.host.clone().or_else(|| host_of(&whole, request.headers()).map(ToOwned::to_owned));
    let found = match well_known(whole.path()) {
        Some((name, issuer_path)) => {
            let tenant = state.tenants.with_path(host.as_deref(), issuer_path);
            let tenant = tenant.ok_or_else(|| ApiError::NotFound(NOTHING).into_response())?;
            Some((tenant, format!("/.well-known/{name}")))
        }
        None => state.tenants.at(host.as_deref(), whole.path()).map(|(tenant, rest)| (tenant, rest.to_owned())),
    };
    let Some((tenant, path)) = found else {
        request.extensions_mut().insert(origin);
        return Ok(next.run(request).await);
    };
    let is_https = tenant.issuer.url.as_str().starts_with("https://");
    if is_https && origin.is_secure == Some(false) && !is_health(&path) {
        // a token that came this way was readable on its way (RFC 6750 §5.3)
        return Err(ApiError::invalid("this issuer is reached over https only").into_response());
    }
    request.extensions_mut().insert(origin);
    if let Some(uri) = with_path(&whole, &path) {
        *request.uri_mut() = uri;
    }
    request.extensions_mut().insert(At(Arc::clone(&tenant)));
    request.extensions_mut().insert(Below(path));
    let mut response = next.run(request).await;
    if let Some(challenge) = response.headers_mut().get_mut(WWW_AUTHENTICATE) {
        name_resource(challenge, &tenant);
    }
    Ok(response)
}

fn name_resource(challenge: &mut HeaderValue, tenant: &Tenant) {
    let Some(said) = challenge.to_str().ok().filter(|said| said.starts_with("Bearer")) else { return };
    let separator = if said == "Bearer" { " " } else { ", " };
    let metadata = tenant.endpoints.well_known("oauth-protected-resource");
    if let Ok(whole) = HeaderValue::from_str(&format!("{said}{separator}resource_metadata=\"{metadata}\"")) {
        *challenge = whole;
    }
}

/// The host the client asked for; a trusted proxy's word comes before it.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    uri.authority().map(http::uri::Authority::as_str).or_else(|| headers.get(HOST)?.to_str().ok())
}

/// The document's name and the issuer's path behind it.
fn well_known(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/.well-known/")?;
    Some(rest.find('/').map_or((rest, ""), |at| rest.split_at(at)))
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let text = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(text.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

pub(super) const NOTHING: &str = "there is nothing at this path";
