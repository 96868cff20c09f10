//! `/health/*`: for supervisors and load balancers.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use sqlx::Connection as _;

use super::ApiState;
use super::error::ApiError;

/// The process runs.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

/// The process can do its work: the database answers. 503 otherwise.
pub(super) async fn ready(State(state): State<ApiState>) -> Result<Json<Value>, ApiError> {
    if state.stopping.is_cancelled() {
        return Err(ApiError::Unavailable);
    }
    state.pool.acquire().await?.ping().await?;
    Ok(Json(json!({"status": "ready"})))
}
