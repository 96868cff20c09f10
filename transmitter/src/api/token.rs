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
use serde::{Deserialize, Serialize};
use ssf_common::runtime::http::error_reply;
use utoipa::ToSchema;

use super::ApiState;
use super::error::{ApiError, Problem};
use super::front::At;
use crate::client::{ClientId, Digest, Scopes, store};

/// A request for a token (RFC 6749 §4.4).
#[derive(Deserialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "RFC 6749 names them")]
pub(super) struct Grant {
    /// `client_credentials`.
    grant_type: Option<String>,
    /// What is asked for, separated by spaces; all the client has if left out.
    scope: Option<String>,
    /// Unless it stands in the header.
    client_id: Option<String>,
    /// Unless it stands in the header.
    #[schema(write_only)]
    client_secret: Option<String>,
}

/// Grants an access token by client credentials (RFC 6749 §4.4)
///
/// The client shows its secret in the header (`client_secret_basic`) or in the body (`client_secret_post`). It is granted
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
