//! `/v1/sessions/{sid}`: the application tells us of a session, of a new assertion about it, and of its end.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use ssf_common::moment::Moment;

use super::check::Reply;
use super::extract::Body;
use super::{ApiError, ApiState};
use crate::session::describe::{moment, not_in_the_future, optional_moment};
use crate::session::{Description, Registered, Sid, register as registry};
use crate::validity::{Question, Validity};

/// `PUT /v1/sessions/{sid}` with a [`Description`]: 201 if it is new, 200 if it was known.
///
/// Doing it twice changes nothing. A newer `origin` is a new login and replaces what was known; an older one is refused
/// with 409. The answer has the session's state, for the account may have been shut out already.
pub(super) async fn register(
    State(api): State<ApiState>,
    sid: Sid,
    Body(description): Body<Description>,
) -> Result<(StatusCode, Json<Reply>), ApiError> {
    let now = api.env.now();
    let described = description.read(&api.keyring, now)?;
    let status = match registry::register(&api.pool, &sid, described, now).await? {
        Registered::New => StatusCode::CREATED,
        Registered::Again => StatusCode::OK,
    };
    api.validity.replica().session_changed(&sid);
    api.waits.ring();
    // what was decided before this session was there told nobody of it: the answer must know it
    api.validity.replica().catch_up().await?;
    Ok((status, Json(state_of(&api.validity, sid).await?)))
}

/// `DELETE /v1/sessions/{sid}`: the application ended it itself; 204 whether it was known or not.
pub(super) async fn end(State(api): State<ApiState>, sid: Sid) -> Result<StatusCode, ApiError> {
    registry::end(&api.pool, &sid, api.env.now()).await?;
    api.validity.replica().session_changed(&sid);
    api.waits.ring();
    Ok(StatusCode::NO_CONTENT)
}

/// The body of `POST /v1/sessions/{sid}/revalidated`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revalidated {
    /// When the new assertion was made; an older one than is known changes nothing.
    #[serde(deserialize_with = "moment")]
    validated: Moment,
    /// The session's new end, if it moves.
    #[serde(default, deserialize_with = "optional_moment")]
    expires_at: Option<Moment>,
}

/// `POST /v1/sessions/{sid}/revalidated`: there is a newer assertion of the issuer. Answers with the new state; 404 if
/// there is no such session.
pub(super) async fn revalidated(
    State(api): State<ApiState>,
    sid: Sid,
    Body(told): Body<Revalidated>,
) -> Result<Json<Reply>, ApiError> {
    let now = api.env.now();
    not_in_the_future("validated", told.validated, now)?;
    if !registry::revalidated(&api.pool, &sid, told.validated, told.expires_at, now).await? {
        return Err(ApiError::NotFound("sid: no such session is registered"));
    }
    api.validity.replica().session_changed(&sid);
    api.waits.ring();
    Ok(Json(state_of(&api.validity, sid).await?))
}

async fn state_of(validity: &Validity, sid: Sid) -> Result<Reply, ApiError> {
    let answer = validity.check(&Question::named(sid.clone())).await?;
    Ok(Reply::new(Some(sid), &answer))
}
