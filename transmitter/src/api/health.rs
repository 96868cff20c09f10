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
pub(super) struct ProcessHealth {
    /// live or ready.
    #[schema(value_type = String)]
    status: &'static str,
}

/// The process runs
#[utoipa::path(get, path = "/health/live", tag = "health", operation_id = "live",
    responses((status = 200, description = "It does", body = ProcessHealth)))]
pub(super) async fn live() -> Json<ProcessHealth> {
    Json(ProcessHealth { status: "live" })
}

/// The process can do its work: the database answers
#[utoipa::path(get, path = "/health/ready", tag = "health", operation_id = "ready",
    responses((status = 200, description = "It does", body = ProcessHealth), (status = 503, description = "It does not, or the process stops", body = Problem)))]
pub(super) async fn ready(State(state): State<ApiState>) -> Result<Json<ProcessHealth>, ApiError> {
    if state.stopping.is_cancelled() {
        return Err(ApiError::Unavailable);
    }
    state.pool.acquire().await?.ping().await?;
    Ok(Json(ProcessHealth { status: "ready" }))
}
