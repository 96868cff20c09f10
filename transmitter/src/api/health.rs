//! `/health/*`: for supervisors and load balancers.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sqlx::Connection as _;
use utoipa::ToSchema;

use super::ApiState;
use super::error::{ApiError, Problem};

/// How the process is.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// live or ready.
    #[schema(value_type = String)]
    status: &'static str,
}

/// The process runs
#[utoipa::path(get, path = "/health/live", tag = "health", operation_id = "live",
    responses((status = 200, description = "It does", body = Health)))]
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

/// The process can do its work: the database answers
#[utoipa::path(get, path = "/health/ready", tag = "health", operation_id = "ready",
    responses((status = 200, description = "It does", body = Health), (status = 503, description = "It does not, or the process stops", body = Problem)))]
pub(super) async fn ready(State(state): State<ApiState>) -> Result<Json<Health>, ApiError> {
    if state.stopping.is_cancelled() {
        return Err(ApiError::Unavailable);
    }
    state.pool.acquire().await?.ping().await?;
    Ok(Json(Health { status: "ready" }))
}
