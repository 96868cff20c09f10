//! `/ssf/subjects/add`, `/ssf/subjects/remove`: whose events a stream carries (SSF 1.0 §8.1.3). Answers have no body and
//! are `Cache-Control: no-store`. A subject nobody ever heard of is answered like any other (§9.1).

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde_json::Value;
use ssf_common::protocol::{AddSubject, RemoveSubject};
use ssf_common::subject::Subject;

use super::ApiState;
use super::auth::Caller;
use super::body::json_body;
use super::error::ApiError;
use super::streams::own;
use crate::audit::Actor;
use crate::client::Scope;

/// Adds a subject to a stream (SSF 1.0 §8.1.3.2)
///
/// 403 if the list is as long as it may be: no waiting helps, so it is not 429.
#[utoipa::path(post, path = "/ssf/subjects/add", tag = "streams", operation_id = "addSubject",
    security(("bearer" = ["ssf.manage"])), request_body = AddSubject,
    responses((status = 200, description = "Its events are sent")))]
pub(super) async fn add(State(state): State<ApiState>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Manage)?.client;
    let request: AddSubject = json_body(&body)?;
    let subject = parsed(&request.subject)?;
    let prepared = state.subjects.prepare(&mut *state.pool.acquire().await?, client.issuer_id, &state.env).await?;
    let mut tx = state.pool.begin().await?;
    let stream = own(&state, &mut tx, &request.stream_id, &client).await?;
    let verified = request.verified.unwrap_or(true);
    state.subjects.add(&mut tx, &prepared, stream.key, &subject, verified, state.env.now()).await?;
    tx.commit().await?;
    Ok((StatusCode::OK, [(CACHE_CONTROL, "no-store")]).into_response())
}

/// Removes a subject from a stream (SSF 1.0 §8.1.3.3)
///
/// 204, also if the subject was not on the list. 403 for the subject that names the stream itself (§8.1.4.1). Its events go
/// on for the removal's grace (§9.3).
#[utoipa::path(post, path = "/ssf/subjects/remove", tag = "streams", operation_id = "removeSubject",
    security(("bearer" = ["ssf.manage"])), request_body = RemoveSubject,
    responses((status = 204, description = "Its events are not sent any more, after a while")))]
pub(super) async fn remove(State(state): State<ApiState>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Manage)?.client;
    let request: RemoveSubject = json_body(&body)?;
    let subject = parsed(&request.subject)?;
    let prepared = state.subjects.prepare(&mut *state.pool.acquire().await?, client.issuer_id, &state.env).await?;
    let mut tx = state.pool.begin().await?;
    let stream = own(&state, &mut tx, &request.stream_id, &client).await?;
    let actor = Actor::Client(client.client_id.to_string());
    state.subjects.remove(&mut tx, &prepared, &stream, &subject, &actor, state.env.now()).await?;
    tx.commit().await?;
    Ok((StatusCode::NO_CONTENT, [(CACHE_CONTROL, "no-store")]).into_response())
}

fn parsed(subject: &Value) -> Result<Subject, ApiError> {
    Subject::parse(subject).map_err(|error| ApiError::Invalid(format!("`subject` is not valid: {error}")))
}
