//! `/ssf/status`: a stream's status (SSF 1.0 §8.1.2).

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use serde::Deserialize;
use serde_json::json;
use ssf_common::event::StreamStatus;
use ssf_common::id::StreamId;
use ssf_common::protocol::StatusBody;

use super::ApiState;
use super::auth::Caller;
use super::body::json_body;
use super::error::{ApiError, Problem};
use super::streams::{Which, note, own};
use crate::client::Scope;
use crate::control::{ChangedBy, change, is_fit_reason};

/// The body of a `POST`; `status` is text here, so that a wrong word can be told from a wrong shape.
#[derive(Deserialize)]
struct Wish {
    stream_id: StreamId,
    status: String,
    reason: Option<String>,
}

/// A stream's status (SSF 1.0 §8.1.2.1)
#[utoipa::path(get, path = "/ssf/status", tag = "streams", operation_id = "readStatus", params(Which),
    security(("bearer" = ["ssf.read"])),
    responses(
        (status = 200, description = "The status", body = StatusBody),
        (status = 404, description = "This receiver has no such stream", body = Problem)))]
pub(super) async fn read(State(state): State<ApiState>, caller: Caller, which: Which) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Read)?.client;
    let stream = own(&state, &mut *state.pool.acquire().await?, &which.required()?, &client).await?;
    Ok(reply(&stream.status_body()))
}

/// Sets a stream's status (SSF 1.0 §8.1.2.2)
///
/// The receiver pauses, disables or enables its stream, or gives the present status another reason.
#[utoipa::path(post, path = "/ssf/status", tag = "streams", operation_id = "setStatus", request_body = StatusBody,
    security(("bearer" = ["ssf.manage"])),
    responses(
        (status = 200, description = "The status now", body = StatusBody),
        (status = 404, description = "This receiver has no such stream", body = Problem)))]
pub(super) async fn set(State(state): State<ApiState>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Manage)?.client;
    let wish: Wish = json_body(&body)?;
    let status: StreamStatus =
        wish.status.parse().map_err(|_| ApiError::invalid("status must be enabled, paused or disabled"))?;
    if wish.reason.as_deref().is_some_and(|reason| !is_fit_reason(reason)) {
        return Err(ApiError::invalid("reason is longer than 1000 characters or has a NUL"));
    }
    let mut tx = state.pool.begin().await?;
    let stream = own(&state, &mut tx, &wish.stream_id, &client).await?;
    let (reason, by) = (wish.reason.as_deref(), ChangedBy::Receiver);
    let change = change(&mut tx, stream.issuer_id, stream.key, status, reason, by, &state.env).await?;
    let details = json!({"from": change.map(|change| change.from), "to": status, "discarded": change.map(|change| change.discarded)});
    note(&mut tx, &client, stream.key, "stream.status_set", details, state.env.now()).await?;
    tx.commit().await?;
    if change.is_some_and(|change| change.from != status) {
        tracing::info!(stream.id = %stream.key, client.id = %client.client_id, status = status.as_str(), "a receiver set its stream's status");
    }
    // what was held goes out at once
    state.push.wake();
    state.polling.ring(stream.key);
    Ok(reply(&StatusBody { stream_id: stream.key.stream_id(), status, reason: wish.reason }))
}

fn reply(body: &StatusBody) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
