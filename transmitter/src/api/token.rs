//! `POST /oauth2/token`: client credentials (RFC 6749 §4.4), by secret, by assertion (RFC 7523 §2.2) or, where that is
//! allowed, by name alone.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use ssf_common::runtime::http::error_reply;
use ssf_common::runtime::telemetry::chain;
use utoipa::ToSchema;

use super::ApiState;
use super::credentials::{Grant, Presented, Proof};
use super::error::{ApiError, Problem};
use super::front::At;
use crate::authorization::AssertionRefusal;
use crate::client::authentication::{Registered, store as registered};
use crate::client::{Authentication, Digest, Scopes};
use crate::tenant::Tenant;

/// Grants an access token by client credentials (RFC 6749 §4.4)
///
/// The client shows who it is by the one method it is registered with: its secret in the header (`client_secret_basic`) or
/// in the body (`client_secret_post`), a signed assertion (`private_key_jwt`), or its name alone where that is allowed. It is granted
/// the scopes it asks for and has; all of them if it asks for none.
#[utoipa::path(post, path = "/oauth2/token", tag = "token", operation_id = "grantToken",
    request_body(content = Grant, content_type = "application/x-www-form-urlencoded"), security((), ("client" = [])),
    responses(
        (status = 200, description = "A token", body = Granted),
        (status = 400, description = "RFC 6749 §5.2: invalid_request, unsupported_grant_type, invalid_scope", body = Problem),
        (status = 401, description = "invalid_client", body = Problem)))]
pub(super) async fn grant(
    State(state): State<ApiState>,
    At(tenant): At,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, TokenError> {
    if !state.token_endpoint {
        return Err(ApiError::NotFound(super::front::NOTHING).into());
    }
    let form = Grant::read(&headers, &body);
    let presented = Presented::read(&headers, form.as_ref().ok())?;
    let known = authenticate(&state, &tenant, presented).await?;
    let grant = form.map_err(TokenError::Request)?;
    match grant.grant_type.as_deref() {
        Some("client_credentials") => {}
        Some(_) => return Err(TokenError::GrantType),
        None => return Err(TokenError::Request("grant_type is missing")),
    }
    if grant.resource.iter().any(|resource| resource != tenant.issuer.url.as_str()) {
        return Err(TokenError::Target);
    }
    let scopes = match grant.scope.as_deref().filter(|scope| !scope.trim().is_empty()) {
        Some(asked) => Scopes::from_words(asked.split_whitespace()).within(&known.client.scopes),
        None => known.client.scopes.clone(),
    };
    if scopes.is_empty() {
        return Err(TokenError::Scope);
    }
    let token = state.env.random.secret();
    let now = state.env.now();
    let mut conn = state.pool.acquire().await.map_err(ApiError::from)?;
    let ends = now.plus(state.token_lifetime);
    let stored = registered::grant_token(&mut conn, Digest::of(&token), &known, &scopes, now, ends);
    if !stored.await.map_err(ApiError::from)? {
        // its credential ended since it was looked at, and with it what it would have got
        return Err(TokenError::Client);
    }
    let (expires_in, scope) = (state.token_lifetime.as_secs(), scopes.to_string());
    let body = Granted { access_token: token, token_type: "Bearer", expires_in, scope };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// A granted token (RFC 6749 §5.1).
#[derive(Serialize, ToSchema)]
pub(super) struct Granted {
    /// The token.
    access_token: String,
    /// `Bearer`.
    #[schema(value_type = String)]
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    /// What was granted, separated by spaces.
    scope: String,
}

/// The client, if it showed who it is by the method it is registered with.
async fn authenticate(state: &ApiState, tenant: &Tenant, presented: Presented) -> Result<Registered, TokenError> {
    let known = {
        // given back at once: reading a client's keys may take a while
        let conn = &mut *state.pool.acquire().await.map_err(ApiError::from)?;
        registered::registered(conn, tenant.issuer.id, &presented.client_id).await.map_err(ApiError::from)?
    };
    let known = known.filter(|known| known.authentication.method() == presented.method).ok_or(TokenError::Client)?;
    let is_proved = match (presented.proof, &known.authentication) {
        (Proof::Secret(secret), _) => known.has_secret(secret, state.env.now()),
        (Proof::Assertion(assertion), Authentication::Keys(keys)) => {
            let audiences = [tenant.issuer.url.as_str(), &tenant.endpoints.at("/oauth2/token")];
            let signed = state.assertions.verify(&assertion, &presented.client_id, keys, &audiences).await?;
            let conn = &mut *state.pool.acquire().await.map_err(ApiError::from)?;
            let used = registered::use_assertion(conn, known.client.key, signed.jti, signed.expires_at);
            used.await.map_err(ApiError::from)?
        }
        (Proof::Nothing, Authentication::Public) if state.public_clients => {
            tracing::warn!(client.id = %presented.client_id, "a token is granted to a name alone (method none); tokens.allow_public_clients is for closed test setups");
            true
        }
        _ => false,
    };
    if is_proved { Ok(known) } else { Err(TokenError::Client) }
}

/// RFC 6749 §5.2, RFC 8707 §2.
#[derive(Debug)]
pub(super) enum TokenError {
    /// Who asks is not known by what it presented.
    Client,
    /// The assertion is not good, and why.
    Assertion(AssertionRefusal),
    Request(&'static str),
    GrantType,
    Scope,
    Target,
    Other(ApiError),
}

impl From<ApiError> for TokenError {
    fn from(error: ApiError) -> Self {
        Self::Other(error)
    }
}

impl From<AssertionRefusal> for TokenError {
    fn from(refusal: AssertionRefusal) -> Self {
        Self::Assertion(refusal)
    }
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response<Body> {
        let bad_request = StatusCode::BAD_REQUEST;
        let not_known = |reason: &str| {
            let mut response = error_reply(StatusCode::UNAUTHORIZED, "invalid_client", reason);
            let challenge = HeaderValue::from_static("Basic realm=\"ssf-transmitter\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            response
        };
        let mut response = match self {
            Self::Client => {
                not_known("the client is unknown, its credential is wrong, or it is registered with another method")
            }
            Self::Assertion(AssertionRefusal::Refused(refusal)) => {
                not_known(&format!("the client assertion is not accepted: {refusal}"))
            }
            Self::Assertion(refusal @ AssertionRefusal::Keys(_)) => {
                tracing::warn!(error = %chain(&refusal), "a client assertion cannot be judged");
                ApiError::Unavailable.into_response()
            }
            Self::Request(reason) => error_reply(bad_request, "invalid_request", reason),
            Self::GrantType => error_reply(bad_request, "unsupported_grant_type", "only client_credentials is granted"),
            Self::Scope => error_reply(bad_request, "invalid_scope", "the client has none of the scopes asked for"),
            Self::Target => error_reply(bad_request, "invalid_target", "resource is not this issuer"),
            Self::Other(error) => error.into_response(),
        };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
