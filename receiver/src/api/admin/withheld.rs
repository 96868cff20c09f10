//! `/admin/withheld`: what issuers decided that they may not decide here.
//!
//! | call | answer |
//! |---|---|
//! | `GET /admin/withheld` | what waits, the oldest first; `?upstream=`, `all=true`: also what was settled, `after=`, `limit=` |
//! | `POST /admin/withheld/{id}/apply` | 204: it is in force; 404 if nothing of this number waits; 409 if it is a fact |
//! | `POST /admin/withheld/{id}/discard` | 204: it never will be; 404 |

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::extract::Asked;
use crate::api::{ApiError, ApiState};
use crate::audit::Actor;
use crate::withheld::{self, Held, SettleError, Settled};

/// Which of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    upstream: Option<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    after: i64,
    limit: Option<i64>,
}

/// One page.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    withheld: Vec<Held>,
}

pub(super) async fn list(State(api): State<ApiState>, Asked(page): Asked<Page>) -> Result<Json<Listed>, ApiError> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(ApiError::InvalidRequest("limit: must be 1 to 1000".to_owned()));
    }
    if page.upstream.as_ref().is_some_and(|name| name.contains('\0')) {
        return Err(ApiError::InvalidRequest("upstream: must not contain NUL".to_owned()));
    }
    let withheld = withheld::list(&api.pool, page.upstream.as_deref(), page.all, page.after, limit).await?;
    Ok(Json(Listed { withheld }))
}

pub(super) async fn apply(State(api): State<ApiState>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    settle(&api, &id, Settled::Applied).await?;
    api.validity.replica().catch_up().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn discard(State(api): State<ApiState>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    settle(&api, &id, Settled::Discarded).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn settle(api: &ApiState, id: &str, how: Settled) -> Result<(), ApiError> {
    let id = id.parse().map_err(|_| ApiError::NotFound("id: nothing of this number is withheld"))?;
    Ok(withheld::settle(&api.pool, &api.env, id, how, &Actor::AdminApi).await?)
}

impl From<SettleError> for ApiError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Unknown => Self::NotFound("id: nothing of this number is withheld"),
            SettleError::Fact => Self::Conflict(error.to_string()),
            SettleError::Store(error) => Self::Store(error),
        }
    }
}
