//! Who may use the HTTP interfaces: layers around the routes of the application and the operator.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::{ExposeSecret as _, SecretString};
use ssf_common::runtime::http::error_reply;
use subtle::ConstantTimeEq as _;

use crate::upstream::Digest;

/// Lets those in who show the token of the API (RFC 6750 §2.1).
pub(super) async fn bearer(State(token): State<Arc<SecretString>>, request: Request, next: Next) -> Response {
    if is_shown(request.headers(), &token) {
        return next.run(request).await;
    }
    let text = "send the token of the API as `Authorization: Bearer …`";
    let mut reply = error_reply(StatusCode::UNAUTHORIZED, "invalid_token", text);
    reply.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    reply
}

/// The application's token is set and the operator's is not: nobody can be told from the application.
pub(super) async fn closed(_request: Request, _next: Next) -> Response {
    error_reply(StatusCode::FORBIDDEN, "access_denied", "set admin.token to use the administration")
}

fn is_shown(headers: &HeaderMap, token: &SecretString) -> bool {
    let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    match shown.split_at_checked(BEARER.len()) {
        Some((scheme, shown)) if scheme.eq_ignore_ascii_case(BEARER) => {
            // Digests have the same length whatever the token's is.
            let (shown, expected) = (Digest::of(shown), Digest::of(token.expose_secret().as_bytes()));
            shown.as_bytes().ct_eq(expected.as_bytes()).into()
        }
        _ => false,
    }
}

const BEARER: &[u8] = b"Bearer ";
