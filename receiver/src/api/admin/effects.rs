//! `/admin/effects`: callbacks that were not taken, how the targets stand, and sending again.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use crate::api::extract::{Asked, Body};
use crate::api::{ApiError, ApiState};
use crate::audit::Actor;
use crate::effects::EffectId;
use crate::effects::desk::{self, Again, Called, ReplayError, Standing, TargetState, Told};

/// How each target stands.
#[derive(Debug, Serialize)]
pub(super) struct Targets {
    /// In the order of their names.
    targets: Vec<TargetState>,
}

/// `GET /admin/effects/targets`.
pub(super) async fn targets(State(api): State<ApiState>) -> Result<Json<Targets>, ApiError> {
    let targets = desk::targets(&mut *api.pool.acquire().await?).await?;
    Ok(Json(Targets { targets }))
}

/// Which callbacks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Of one target; of all if absent.
    target: Option<String>,
    /// `dead` or `waiting`; dead if absent.
    #[serde(default)]
    standing: Standing,
    /// Those after this position; from the first if absent.
    #[serde(default)]
    after: i64,
    /// At most this many: 1 to 1,000, 100 if absent.
    limit: Option<i64>,
}

/// One page.
#[derive(Debug, Serialize)]
pub(super) struct Callbacks {
    /// In order; the next page begins after the last one's `position`.
    callbacks: Vec<Called>,
}

/// `GET /admin/effects`: callbacks not taken.
pub(super) async fn list(State(api): State<ApiState>, Asked(page): Asked<Page>) -> Result<Json<Callbacks>, ApiError> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(ApiError::InvalidRequest("limit: must be 1 to 1000".to_owned()));
    }
    let target = plain(page.target.as_deref())?;
    let callbacks = desk::list(&mut *api.pool.acquire().await?, target, page.standing, page.after, limit).await?;
    Ok(Json(Callbacks { callbacks }))
}

/// `GET /admin/effects/{id}`: one effect, and who has not taken it.
pub(super) async fn show(State(api): State<ApiState>, Path(id): Path<String>) -> Result<Json<Told>, ApiError> {
    let id: EffectId = id.parse().map_err(|_| ApiError::NotFound("id: no such effect is kept"))?;
    let told = desk::show(&mut *api.pool.acquire().await?, id).await?;
    told.map(Json).ok_or(ApiError::NotFound("id: no such effect is kept"))
}

/// What is sent again: the dead letters of `target`, or the effect `id` (to `target`, or to all).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    target: Option<String>,
    id: Option<EffectId>,
}

/// How many callbacks are on their way again.
#[derive(Debug, Serialize)]
pub(super) struct Replayed {
    replayed: u64,
}

/// `POST /admin/effects/replay`.
pub(super) async fn replay(State(api): State<ApiState>, Body(asked): Body<Replay>) -> Result<Json<Replayed>, ApiError> {
    plain(asked.target.as_deref())?;
    let again = match (asked.id, asked.target) {
        (Some(id), target) => Again::One { id, target },
        (None, Some(target)) => Again::Dead { target },
        (None, None) => {
            return Err(ApiError::InvalidRequest("target: is required, or id".to_owned()));
        }
    };
    let replayed = desk::replay(&api.pool, &again, &Actor::AdminApi, api.env.now()).await?;
    Ok(Json(Replayed { replayed }))
}

impl From<ReplayError> for ApiError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::NoEffect => Self::NotFound("id: no such effect is kept"),
            ReplayError::NoTarget => Self::NotFound("target: no such target is configured"),
            ReplayError::Store(error) => Self::Store(error),
        }
    }
}

fn plain(text: Option<&str>) -> Result<Option<&str>, ApiError> {
    if text.is_some_and(|text| text.contains('\0')) {
        return Err(ApiError::InvalidRequest("target: must not contain NUL".to_owned()));
    }
    Ok(text)
}
