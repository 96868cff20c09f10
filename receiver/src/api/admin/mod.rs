//! The operator's HTTP interface, all under `/admin`: who may use it is a layer around it ([`crate::app`]).

mod audit;
mod break_glass;
pub mod upstreams;

use axum::Router;
use axum::routing::get;

use super::ApiState;

/// The routes of the administration.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/admin/audit", get(audit::list))
        .route("/admin/break-glass", get(break_glass::list).post(break_glass::open).delete(break_glass::close))
        .with_state(state)
}
