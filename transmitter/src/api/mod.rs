//! The HTTP surface: SSF's management API, the token endpoint, poll delivery, and the producer's own.
//!
//! One file per endpoint family. A handler extracts, makes one call, answers. The credential is checked before the body
//! and before existence: [`auth::Caller`] is the first extractor everywhere it is needed.

mod auth;
mod credentials;
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
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use ssf_common::runtime::http::with_hygiene;
pub use state::ApiState;
use tower_layer::Layer as _;

/// Every route of every issuer, below the path of each.
pub fn router(state: ApiState, body_limit: usize) -> Router {
    let routes = Router::new()
        .route("/.well-known/ssf-configuration", get(metadata::ssf))
        .route("/.well-known/risc-configuration", get(metadata::ssf))
        .route("/.well-known/oauth-authorization-server", get(metadata::oauth))
        .route("/.well-known/oauth-protected-resource", get(metadata::resource))
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
        .route("/latency", get(latency::report))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready));
    let routes = with_hygiene(routes.with_state(state.clone()), body_limit);
    // around the router, not inside it: which route is meant is known only when the issuer is
    Router::new().fallback_service(from_fn_with_state(state, front::find_issuer).layer(routes))
}
