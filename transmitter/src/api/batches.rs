//! `/batches`: how decisions that were handed in together stand, for producers.

use axum::Json;
use axum::extract::State;

use super::ApiState;
use super::auth::Caller;
use super::error::{ApiError, Problem};
use super::query::Named;
use crate::backlog::batch::{self, BatchProgress};
use crate::client::Scope;
use crate::outbox::BatchId;

/// How a batch stands: how much is recorded, fanned out and settled, and which streams are slowest
#[utoipa::path(get, path = "/batches/{batch_id}", tag = "events", operation_id = "readBatch",
    params(("batch_id" = BatchId, Path, description = "Which batch")),
    security(("bearer" = ["ssf.emit"])),
    responses((status = 200, description = "Its progress", body = BatchProgress), (status = 404, description = "There is no such batch", body = Problem)))]
pub(super) async fn progress(
    State(state): State<ApiState>,
    caller: Caller,
    Named(batch_id): Named,
) -> Result<Json<BatchProgress>, ApiError> {
    let client = caller.with(Scope::Emit)?.client;
    let batch_id: BatchId = batch_id.parse().map_err(|_| ApiError::NotFound(NO_BATCH))?;
    let mut conn = state.pool.acquire().await?;
    let progress = batch::progress(&mut conn, client.issuer_id, batch_id).await?;
    progress.map(Json).ok_or(ApiError::NotFound(NO_BATCH))
}

const NO_BATCH: &str = "there is no such batch";
