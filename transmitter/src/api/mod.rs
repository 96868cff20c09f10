//! The HTTP surface: SSF's management API, the token endpoint, poll delivery, and the producer's own.
//!
//! One file per endpoint family. A handler extracts, makes one call, answers. The credential is checked before the body
//! and before existence: [`auth::Caller`] is the first extractor everywhere it is needed.

mod auth;
mod error;
mod events;
mod front;
mod health;
mod latency;
mod metadata;
mod poll;
mod state;
mod status;
mod streams;
mod token;
mod verification;

use axum::Router;
use axum::middleware::{map_request_with_state, map_response};
use axum::response::Response;
use axum::routing::{get, post};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use ssf_common::runtime::http::with_hygiene;
pub use state::ApiState;
use tower_layer::Layer as _;

/// Every route of every issuer, below the path of each.
pub fn router(state: ApiState, body_limit: usize) -> Router {
    let routes = Router::new()
        .route("/.well-known/ssf-configuration", get(metadata::ssf))
        .route("/.well-known/risc-configuration", get(metadata::ssf))
        .route("/.well-known/oauth-authorization-server", get(metadata::oauth))
        .route("/jwks.json", get(metadata::jwks))
        .route("/oauth2/token", post(token::grant))
        .route(
            "/ssf/streams",
            post(streams::create).get(streams::read).patch(streams::patch).put(streams::put).delete(streams::delete),
        )
        .route("/ssf/status", get(status::read).post(status::set))
        .route("/ssf/verify", post(verification::request))
        .route("/ssf/poll/{stream_id}", post(poll::poll))
        .route("/events", post(events::record))
        .route("/events/{event_id}", get(events::progress))
        .route("/latency", get(latency::report))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready));
    let routes = with_hygiene(routes.with_state(state.clone()), body_limit).layer(map_response(keep_no_error));
    // around the router, not inside it: which route is meant is known only when the issuer is
    Router::new().fallback_service(map_request_with_state(state, front::find_issuer).layer(routes))
}

/// No error is to be cached, also not those that no handler wrote (SSF 1.0 §8.1.1: every answer is `no-store`).
async fn keep_no_error(mut response: Response) -> Response {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}
