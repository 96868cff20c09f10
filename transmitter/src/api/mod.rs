//! The HTTP surface: SSF's management API, the token endpoint, poll delivery, and the producer's own.
//!
//! One file per endpoint family. A handler extracts, makes one call, answers. The credential is checked before the body
//! and before existence: [`auth::Caller`] is the first extractor everywhere it is needed.

mod auth;
mod error;
mod events;
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
use axum::routing::{get, post};
pub use state::{ApiState, Endpoints};

/// Every route, for an issuer at the root of its host or below a path.
pub fn router(state: ApiState) -> Router {
    let path = state.endpoints.path.clone();
    let issuer_routes = Router::new()
        .route("/jwks.json", get(metadata::jwks))
        .route("/oauth2/token", post(token::grant))
        .route(
            "/ssf/streams",
            post(streams::create).get(streams::read).patch(streams::patch).put(streams::put).delete(streams::delete),
        )
        .route("/ssf/status", get(status::read))
        .route("/ssf/verify", post(verification::request))
        .route("/ssf/poll/{stream_id}", post(poll::poll))
        .route("/events", post(events::record))
        .route("/events/{event_id}", get(events::progress))
        .route("/latency", get(latency::report));
    let well_known = |name: &str| format!("/.well-known/{name}{path}");
    let root = Router::new()
        .route(&well_known("ssf-configuration"), get(metadata::ssf))
        .route(&well_known("risc-configuration"), get(metadata::ssf))
        .route(&well_known("oauth-authorization-server"), get(metadata::oauth))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready));
    let routes = if path.is_empty() { root.merge(issuer_routes) } else { root.nest(&path, issuer_routes) };
    routes.with_state(state)
}
