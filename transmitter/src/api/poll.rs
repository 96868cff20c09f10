//! `POST /ssf/poll/{stream_id}`: poll delivery (RFC 8936 §2), for the stream's own receiver.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use ssf_common::id::StreamId;
use ssf_common::protocol::{DeliveryMethod, PollRequest, PollResponse};
use ssf_common::runtime::http::Slot;

use super::ApiState;
use super::auth::Caller;
use super::body::json_body;
use super::error::{ApiError, Problem};
use super::query::Named;
use super::streams::own;
use crate::client::Scope;
use crate::delivery::Place;

/// Fetches SETs, acknowledges and refuses (RFC 8936 §2)
///
/// Acknowledgements and errors take effect before SETs are selected. An empty body is an empty request.
#[utoipa::path(post, path = "/ssf/poll/{stream_id}", tag = "delivery", operation_id = "poll", request_body = Option<PollRequest>,
    params(("stream_id" = StreamId, Path, description = "Which stream")),
    security(("bearer" = ["ssf.read"])),
    responses(
        (status = 200, description = "SETs by jti", body = PollResponse),
        (status = 404, description = "This receiver has no such stream", body = Problem)))]
pub(super) async fn poll(
    State(state): State<ApiState>,
    caller: Caller,
    Named(stream_id): Named,
    Extension(slot): Extension<Slot>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Read)?.client;
    let request: PollRequest = if body.is_empty() { PollRequest::default() } else { json_body(&body)? };
    let stream = own(&state, &mut *state.pool.acquire().await?, &StreamId(stream_id), &client).await?;
    if stream.wanted.method != DeliveryMethod::Poll {
        return Err(ApiError::invalid("this stream is delivered by push"));
    }
    let waits = request.return_immediately != Some(true) && request.max_events != Some(0);
    let place = waits.then(|| state.waiting.enter(stream.key, &state.stopping));
    if waits {
        // who only waits takes nobody's place
        slot.leave();
    }
    let stop = place.as_ref().map_or(&state.stopping, Place::end);
    let polled = state.polling.poll(stream.key, &request, stop).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(polled.response)).into_response())
}
