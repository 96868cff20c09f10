//! `POST /oauth2/token`: client credentials (RFC 6749 §4.4), secret in the header or in the body (§2.3.1).

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;
use ssf_common::runtime::http::error_reply;

use super::ApiState;
use super::error::ApiError;
use super::front::At;
use crate::client::{ClientId, Digest, Scopes, store};

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "RFC 6749 names them")]
pub(super) struct Grant {
    grant_type: Option<String>,
    scope: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// Grants the scopes asked for that the client has; all of them if it asks for none.
pub(super) async fn grant(
    State(state): State<ApiState>,
    At(tenant): At,
    headers: HeaderMap,
    form: Result<Form<Grant>, FormRejection>,
) -> Result<Response, TokenError> {
    let form = form.map(|Form(grant)| grant);
    let (client_id, secret) = match basic(&headers)? {
        Some(pair) => pair,
        None => match &form {
            Ok(Grant { client_id: Some(id), client_secret: Some(secret), .. }) => (id.clone(), secret.clone()),
            _ => return Err(TokenError::Client),
        },
    };
    if client_id.contains('\0') {
        // no client has such a name, and PostgreSQL could not even look for it
        return Err(TokenError::Client);
    }
    let mut conn = state.pool.acquire().await.map_err(ApiError::from)?;
    let client = store::authenticate(&mut conn, tenant.issuer.id, &ClientId(client_id), Digest::of(&secret)).await;
    let client = client.map_err(ApiError::from)?.ok_or(TokenError::Client)?;
    let grant = form.map_err(|_| TokenError::Request("the body must be a form with grant_type=client_credentials"))?;
    match grant.grant_type.as_deref() {
        Some("client_credentials") => {}
        Some(_) => return Err(TokenError::GrantType),
        None => return Err(TokenError::Request("grant_type is missing")),
    }
    let scopes = match grant.scope.as_deref().filter(|scope| !scope.trim().is_empty()) {
        Some(asked) => Scopes::from_words(asked.split_whitespace()).within(&client.scopes),
        None => client.scopes.clone(),
    };
    if scopes.is_empty() {
        return Err(TokenError::Scope);
    }
    let token = state.env.random.secret();
    let now = state.env.now();
    let stored = store::insert_token(
        &mut conn,
        Digest::of(&token),
        client.key,
        &scopes,
        now,
        Some(now.plus(state.token_lifetime)),
    );
    stored.await.map_err(ApiError::from)?;
    let body = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": state.token_lifetime.as_secs(),
        "scope": scopes.to_string(),
    });
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// RFC 6749 §5.2.
#[derive(Debug)]
pub(super) enum TokenError {
    Client,
    Request(&'static str),
    GrantType,
    Scope,
    Other(ApiError),
}

impl From<ApiError> for TokenError {
    fn from(error: ApiError) -> Self {
        Self::Other(error)
    }
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response<Body> {
        let bad_request = StatusCode::BAD_REQUEST;
        let mut response = match self {
            Self::Client => {
                let mut response = error_reply(
                    StatusCode::UNAUTHORIZED,
                    "invalid_client",
                    "the client is unknown or its secret is wrong",
                );
                response
                    .headers_mut()
                    .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"ssf-transmitter\""));
                response
            }
            Self::Request(reason) => error_reply(bad_request, "invalid_request", reason),
            Self::GrantType => error_reply(bad_request, "unsupported_grant_type", "only client_credentials is granted"),
            Self::Scope => error_reply(bad_request, "invalid_scope", "the client has none of the scopes asked for"),
            Self::Other(error) => error.into_response(),
        };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// The id and secret of a Basic header, form-decoded (RFC 6749 §2.3.1); `None` without such a header.
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, TokenError> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let pair = header.to_str().ok().and_then(|text| {
        let (scheme, encoded) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("basic").then_some(())?;
        let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        Some((form_decoded(id), form_decoded(secret)))
    });
    pair.map(Some).ok_or(TokenError::Client)
}

fn form_decoded(text: &str) -> String {
    let pair = format!("v={text}");
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
