//! `/admin/v1/streams/{stream_id}/…`: what an operator does to a stream.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use ssf_common::event::StreamStatus;
use utoipa::ToSchema;

use super::{Admin, ApiError, ApiState, reply};
use crate::admin::{self, StreamError};
use crate::api::body::{json_body, nothing};
use crate::api::error::Problem;
use crate::api::query::Named;
use crate::control::Unsolicited;
use crate::outbox::EventId;
use crate::stream::StreamKey;

/// The status a stream is to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusRequest {
    /// enabled sends; paused holds until it is enabled or the retention ends; disabled discards what waits.
    #[schema(value_type = StreamStatus)]
    status: String,
    /// Why; its receiver reads it.
    reason: Option<String>,
}

/// What became of a stream.
#[derive(Serialize, ToSchema)]
pub(super) struct StatusChanged {
    /// The status it had.
    from: StreamStatus,
    /// The status it has.
    status: StreamStatus,
    /// SETs that waited and were discarded.
    discarded: u64,
}

/// What became of a verification.
#[derive(Serialize, ToSchema)]
pub(super) struct VerificationRequested {
    /// The event that was recorded; absent while the last one is not settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<EventId>,
}

/// Sets a stream's status; its receiver is told by a stream-updated event before anything else
#[utoipa::path(put, path = "/streams/{stream_id}/status", tag = "admin: streams", operation_id = "setStreamStatus",
    params(("stream_id" = StreamKey, Path, description = "Which stream")), request_body = StatusRequest,
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 200, description = "The status before and now", body = StatusChanged),
        (status = 404, description = "There is no such stream, or its receiver was removed", body = Problem)))]
pub(super) async fn set_status(
    State(state): State<ApiState>,
    admin: Admin,
    Named(stream_id): Named,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: StatusRequest = json_body(&body)?;
    let status: StreamStatus =
        request.status.parse().map_err(|_| ApiError::invalid("status must be enabled, paused or disabled"))?;
    let key: StreamKey = stream_id.parse().map_err(|_| ApiError::from(StreamError::NotFound))?;
    let (reason, actor) = (request.reason.as_deref(), &admin.actor);
    let change = admin::set_stream_status(&state.pool, admin.issuer(), key, status, reason, actor, &state.env).await?;
    // its announcement goes out at once, and what was held
    state.push.wake();
    state.polling.ring(key);
    Ok(reply(StatusCode::OK, &StatusChanged { from: change.from, status, discarded: change.discarded }))
}

/// Sends a verification event that the receiver did not ask for
#[utoipa::path(post, path = "/streams/{stream_id}/verify", tag = "admin: streams", operation_id = "verifyStreamAsOperator",
    params(("stream_id" = StreamKey, Path, description = "Which stream")),
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 200, description = "The event, or none while the last one is not settled", body = VerificationRequested),
        (status = 404, description = "There is no such stream, or its receiver was removed", body = Problem),
        (status = 409, description = "It is paused or disabled", body = Problem)))]
pub(super) async fn verify(
    State(state): State<ApiState>,
    admin: Admin,
    Named(stream_id): Named,
    body: Bytes,
) -> Result<Response, ApiError> {
    nothing(&body)?;
    let key: StreamKey = stream_id.parse().map_err(|_| ApiError::from(StreamError::NotFound))?;
    let done = admin::verify_stream(&state.pool, admin.issuer(), key, &admin.actor, &state.env).await?;
    let event_id = match done {
        Unsolicited::Recorded(event_id) => Some(event_id),
        Unsolicited::StillWaiting => None,
        Unsolicited::NotEnabled(status) => {
            return Err(ApiError::Conflict(format!("the stream is {}; nothing is sent on it", status.as_str())));
        }
    };
    state.fan_out.wake();
    Ok(reply(StatusCode::OK, &VerificationRequested { event_id }))
}

impl From<StreamError> for ApiError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::NotFound => Self::NotFound("there is no such stream, or its receiver was removed"),
            StreamError::Reason => Self::Invalid(error.to_string()),
            StreamError::Database(error) => error.into(),
        }
    }
}
