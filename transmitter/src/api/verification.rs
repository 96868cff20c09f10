//! `POST /ssf/verify`: a receiver asks for a verification event (SSF 1.0 §8.1.4.2).

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use ssf_common::protocol::VerifyRequest;

use super::ApiState;
use super::auth::Caller;
use super::body::json_body;
use super::error::{ApiError, Problem};
use super::streams::own;
use crate::client::Scope;
use crate::control::{is_fit_state, verification};
use crate::outbox::record;
use crate::stream::store;

/// Asks for a verification event (SSF 1.0 §8.1.4.2)
///
/// It is sent past `events_delivered`. A paused stream holds it like every event, a disabled one drops it (§8.1.2.1): nothing
/// in §8.1.4.2 lets a request be refused for its stream's status, and receivers that test us ask in every status.
#[utoipa::path(post, path = "/ssf/verify", tag = "streams", operation_id = "verifyStream", request_body = VerifyRequest,
    security(("bearer" = ["ssf.manage"])),
    responses(
        (status = 204, description = "It will be sent, once the stream is enabled"),
        (status = 404, description = "This receiver has no such stream", body = Problem),
        (status = 429, description = "Sooner than the stream's min_verification_interval; Retry-After says when", body = Problem)))]
pub(super) async fn request(State(state): State<ApiState>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Manage)?.client;
    let request: VerifyRequest = json_body(&body)?;
    if request.state.as_deref().is_some_and(|text| !is_fit_state(text)) {
        return Err(ApiError::invalid("state is longer than 1024 bytes or has a NUL"));
    }
    let mut tx = state.pool.begin().await?;
    let stream = own(&state, &mut tx, &request.stream_id, &client).await?;
    let now = state.env.now();
    if let Err(seconds) = store::take_verification(&mut tx, stream.key, now).await? {
        return Err(ApiError::TooFast(seconds));
    }
    let event = verification(client.issuer_id, stream.key, request.state.as_deref(), &state.env);
    record(&mut tx, &event, now).await?;
    tx.commit().await?;
    state.fan_out.wake();
    Ok((StatusCode::NO_CONTENT, [(CACHE_CONTROL, "no-store")]).into_response())
}
