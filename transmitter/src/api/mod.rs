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
mod traffic;
mod verification;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_request_with_state};
use axum::routing::{get, post};
use ssf_common::runtime::http::{Admission, with_admission, with_hygiene};
pub use state::ApiState;
use tower_layer::Layer as _;
pub use traffic::Traffic;

/// Every route of every issuer, below the path of each.
pub fn router(state: ApiState, admission: Admission, body_limit: usize) -> Router {
    let counted = from_fn_with_state(state.clone(), traffic::token_endpoint);
    let routes = Router::new()
        .route("/.well-known/ssf-configuration", get(metadata::ssf))
        .route("/.well-known/risc-configuration", get(metadata::ssf))
        .route("/.well-known/oauth-authorization-server", get(metadata::oauth))
        .route("/jwks.json", get(metadata::jwks))
        .route("/oauth2/token", post(token::grant).layer(counted))
        .route(
            "/ssf/streams",
            post(streams::create).get(streams::read).patch(streams::patch).put(streams::put).delete(streams::delete),
        )
        .route("/ssf/status", get(status::read))
        .route("/ssf/verify", post(verification::request))
        .route("/ssf/poll/{stream_id}", post(poll::poll))
        .route("/events", post(events::record))
        .route("/events/{event_id}", get(events::progress))
        .route("/latency", get(latency::report))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready));
    let routes = with_hygiene(routes.with_state(state.clone()), body_limit);
    // around the router, not inside it: which route is meant is known only when the issuer is
    let whole = Router::new().fallback_service(map_request_with_state(state, front::find_issuer).layer(routes));
    with_admission(whole, admission)
}

/// Health is told however much there is to do.
pub(crate) fn is_health(path: &str) -> bool {
    path.ends_with("/health/live") || path.ends_with("/health/ready")
}
