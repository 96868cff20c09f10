//! `/ssf/status`: a stream's status (SSF 1.0 §8.1.2).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use ssf_common::protocol::StatusBody;

use super::ApiState;
use super::auth::Caller;
use super::error::{ApiError, Problem};
use super::query::Params;
use super::streams::{Which, own};
use crate::client::Scope;

/// A stream's status (SSF 1.0 §8.1.2.1)
#[utoipa::path(get, path = "/ssf/status", tag = "streams", operation_id = "readStatus", params(Which),
    security(("bearer" = ["ssf.read"])),
    responses(
        (status = 200, description = "The status", body = StatusBody),
        (status = 404, description = "This receiver has no such stream", body = Problem)))]
pub(super) async fn read(
    State(state): State<ApiState>,
    caller: Caller,
    Params(which): Params<Which>,
) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Read)?.client;
    let stream_id = which.stream_id.ok_or_else(|| ApiError::invalid("the query must name a stream_id"))?;
    let stream = own(&state, &mut *state.pool.acquire().await?, &stream_id, &client).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(stream.status_body())).into_response())
}
