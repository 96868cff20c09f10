//! `/health/*`: for supervisors and load balancers.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sqlx::{Connection as _, PgPool};
use ssf_common::clock::Timestamp;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::ApiState;
use super::error::{ApiError, Problem};

/// Whether the database answered, asked once for all who ask within a second: this endpoint is open to everybody and
/// bounded by nothing, and must not take connections away from decisions.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Option<Timestamp>>>);

impl Readiness {
    async fn check(&self, pool: &PgPool, now: Timestamp) -> Result<(), ApiError> {
        let mut answered = self.0.lock().await;
        if answered.is_some_and(|at| now < at.plus(BELIEVED)) {
            return Ok(());
        }
        *answered = None;
        pool.acquire().await?.ping().await?;
        *answered = Some(now);
        Ok(())
    }
}

const BELIEVED: Duration = Duration::from_secs(1);

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
    state.readiness.check(&state.pool, state.env.now()).await?;
    Ok(Json(ProcessHealth { status: "ready" }))
}
