//! The operator's HTTP interface, all under `/admin`: who may use it is a layer around it ([`crate::app`]).

mod audit;
mod break_glass;
mod effects;
mod forget;
pub mod upstreams;
mod withheld;

use axum::Router;
use axum::routing::{get, post};

use super::ApiState;

/// The routes of the administration.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/admin/audit", get(audit::list))
        .route("/admin/effects", get(effects::list))
        .route("/admin/effects/targets", get(effects::targets))
        .route("/admin/effects/replay", post(effects::replay))
        .route("/admin/effects/{id}", get(effects::show))
        .route("/admin/break-glass", get(break_glass::list).post(break_glass::open).delete(break_glass::close))
        .route("/admin/forget", post(forget::forget))
        .route("/admin/withheld", get(withheld::list))
        .route("/admin/withheld/{id}/apply", post(withheld::apply))
        .route("/admin/withheld/{id}/discard", post(withheld::discard))
        .with_state(state)
}
