//! `/admin/break-glass`: lets the sessions of an issuer go on although it is silent or events may have been lost.
//!
//! | call | answer |
//! |---|---|
//! | `GET /admin/break-glass` | the times it was opened, the newest first |
//! | `POST /admin/break-glass` | 200 with `until`: open; `{"issuer": …, "for": "1h", "reason": …}`, at most 4h |
//! | `DELETE /admin/break-glass` | 204: closed; `{"issuer": …}`; 404 if it was not open |

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::config::Span;

use crate::api::extract::Body;
use crate::api::{ApiError, ApiState};
use crate::audit::Actor;
use crate::break_glass::{self, BreakGlassError, Opening};

/// The body of `POST`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    issuer: IssuerUrl,
    #[serde(rename = "for")]
    lasting: Span,
    reason: String,
}

/// The body of `DELETE`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Close {
    issuer: IssuerUrl,
}

/// It is open.
#[derive(Debug, Serialize)]
pub(super) struct Opened {
    issuer: IssuerUrl,
    until: Timestamp,
}

/// The newest hundred.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    openings: Vec<Opening>,
}

pub(super) async fn list(State(api): State<ApiState>) -> Result<Json<Listed>, ApiError> {
    Ok(Json(Listed { openings: break_glass::list(&api.pool, api.env.now(), SHOWN).await? }))
}

pub(super) async fn open(
    State(api): State<ApiState>,
    Body(Open { issuer, lasting, reason }): Body<Open>,
) -> Result<Json<Opened>, ApiError> {
    let lasting = lasting.duration();
    let until = break_glass::open(&api.pool, &api.env, &issuer, lasting, &reason, &Actor::AdminApi).await?;
    take_in(&api).await;
    Ok(Json(Opened { issuer, until }))
}

pub(super) async fn close(
    State(api): State<ApiState>,
    Body(Close { issuer }): Body<Close>,
) -> Result<StatusCode, ApiError> {
    if !break_glass::close(&api.pool, &api.env, &issuer, &Actor::AdminApi).await? {
        return Err(ApiError::NotFound("issuer: break-glass is not open for it"));
    }
    take_in(&api).await;
    Ok(StatusCode::NO_CONTENT)
}

/// It is done, and this process shall answer by it at once; the others hear of it in a moment, and so does this one if the
/// database is away now.
async fn take_in(api: &ApiState) {
    if let Err(error) = api.validity.replica().follow_changes().await {
        tracing::warn!(%error, "break-glass changed, and this process has not heard of it yet");
    }
}

impl From<BreakGlassError> for ApiError {
    fn from(error: BreakGlassError) -> Self {
        match error {
            BreakGlassError::Store(error) => Self::Store(error),
            error => Self::InvalidRequest(error.to_string()),
        }
    }
}

const SHOWN: i64 = 100;
