//! The HTTP surface: SSF's management API, the token endpoint, poll delivery, and the producer's own.
//!
//! One file per endpoint family. A handler extracts, makes one call, answers. The credential is checked before the body
//! and before existence: [`auth::Caller`] is the first extractor everywhere it is needed.

mod admin;
mod auth;
mod batches;
mod body;
mod credentials;
mod docs;
mod error;
mod events;
mod front;
mod health;
mod latency;
mod metadata;
mod metrics;
mod openapi;
mod poll;
mod query;
mod receipts;
mod state;
mod status;
mod streams;
mod subjects;
mod token;
mod traffic;
mod verification;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
pub use health::Readiness;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
pub use openapi::Document;
use ssf_common::runtime::http::{Admission, with_admission, with_hygiene};
pub use state::ApiState;
use tower_layer::Layer as _;
pub use traffic::Traffic;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Every route of every issuer, below the path of each.
pub fn router(state: ApiState, admission: Admission, body_limit: usize) -> Router {
    let (routes, document) = routes().split_for_parts();
    let state = ApiState { document: openapi::completed(document), ..state };
    let routes = routes.with_state(state.clone()).layer(from_fn_with_state(state.clone(), traffic::token_endpoint));
    let routes = with_hygiene(routes, body_limit).layer(map_response(keep_no_error));
    // around the router, not inside it: which route is meant is known only when the issuer is
    let whole = Router::new().fallback_service(from_fn_with_state(state, front::find_issuer).layer(routes));
    with_admission(whole, admission)
}

/// The HTTP surface in OpenAPI 3.1, as `/openapi.json` of an issuer at the root shows it.
pub fn document() -> serde_json::Value {
    openapi::completed(routes().into_openapi()).to_json("/")
}

/// The one list of routes: what is routed is documented, because a handler says both where it is and what it answers.
fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(metadata::ssf))
        .routes(routes!(metadata::risc))
        .routes(routes!(metadata::oauth))
        .routes(routes!(metadata::resource))
        .routes(routes!(metadata::jwks))
        .routes(routes!(token::grant))
        .routes(routes!(streams::create, streams::read, streams::patch, streams::put, streams::delete))
        .routes(routes!(status::read, status::set))
        .routes(routes!(subjects::add))
        .routes(routes!(subjects::remove))
        .routes(routes!(verification::request))
        .routes(routes!(poll::poll))
        .routes(routes!(receipts::take))
        .routes(routes!(events::record))
        .routes(routes!(events::progress))
        .routes(routes!(batches::progress))
        .routes(routes!(latency::report))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::scrape))
        .routes(routes!(openapi::serve))
        .routes(routes!(docs::page))
        .nest("/admin/v1", admin::router())
}

/// No error is to be cached, also not those that no handler wrote (SSF 1.0 §8.1.1: every answer is `no-store`).
async fn keep_no_error(mut response: Response) -> Response {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

/// Health is told however much there is to do.
pub(crate) fn is_health(path: &str) -> bool {
    path.ends_with("/health/live") || path.ends_with("/health/ready")
}
