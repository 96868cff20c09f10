//! `POST /ssf/poll/{stream_id}`: poll delivery (RFC 8936 §2), for the stream's own receiver.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use ssf_common::id::StreamId;
use ssf_common::protocol::{DeliveryMethod, PollRequest};

use super::ApiState;
use super::auth::Caller;
use super::error::ApiError;
use super::streams::{NO_STREAM, json_body, own};
use crate::client::Scope;

/// Acknowledgements and errors take effect before SETs are selected. An empty body is an empty request.
pub(super) async fn poll(
    State(state): State<ApiState>,
    caller: Caller,
    path: Result<Path<StreamId>, PathRejection>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Read)?.client;
    let Path(stream_id) = path.map_err(|_| ApiError::NotFound(NO_STREAM))?;
    let request: PollRequest = if body.is_empty() { PollRequest::default() } else { json_body(&body)? };
    let stream = own(&state, &mut *state.pool.acquire().await?, &stream_id, &client).await?;
    if stream.wanted.method != DeliveryMethod::Poll {
        return Err(ApiError::invalid("this stream is delivered by push"));
    }
    let polled = state.polling.poll(stream.key, &request, &state.stopping).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(polled.response)).into_response())
}
