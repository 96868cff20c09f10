//! The layers every service wants around its routes, so that a handler's trouble stays small and is told in JSON.

use std::any::Any;

use axum::Json;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;

/// Puts the layers around the routes that keep a handler's trouble small: a body above `body_limit` bytes is a 413 where
/// a handler reads it (so whoever is refused for his credential hears of that first), a panic is a 500 without details,
/// an unknown path is a 404 and a wrong method a 405, all as JSON; a 413 that a route words itself, as JSON, is left
/// alone, and so is a limit of its own. To be called last, on a router that has no fallback of its own.
pub fn with_hygiene(router: Router, body_limit: usize) -> Router {
    router
        .fallback(|| async { error_reply(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            error_reply(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
        })
        .layer(DefaultBodyLimit::max(body_limit))
        .layer(map_response(in_json_if_too_large))
        .layer(CatchPanicLayer::custom(after_a_panic))
}

/// A JSON error body: `{"error": code, "error_description": text}` (the members of RFC 6749 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// A stable code for machines.
    pub error: String,
    /// A sentence for people. Never contains what the client sent.
    pub error_description: String,
}

/// An answer with an [`ErrorBody`].
pub fn error_reply(status: StatusCode, code: &str, description: &str) -> Response {
    (status, Json(ErrorBody { error: code.to_owned(), error_description: description.to_owned() })).into_response()
}

/// axum's extractors answer in plain text; a route that refuses a long body itself does so in JSON.
async fn in_json_if_too_large(response: Response) -> Response {
    let is_json = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.starts_with("application/json"));
    let is_worded = response.headers().get(CONTENT_TYPE).is_some_and(is_json);
    if response.status() != StatusCode::PAYLOAD_TOO_LARGE || is_worded {
        return response;
    }
    error_reply(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is longer than this service reads")
}

/// The panic's own message went to the log through the panic hook; the client learns nothing of it.
#[expect(clippy::needless_pass_by_value, reason = "the shape CatchPanicLayer asks for")]
fn after_a_panic(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(panic = message, "a request handler panicked");
    error_reply(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the request could not be handled")
}
