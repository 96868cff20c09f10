//! `GET /v1/latency?since=…&upstream=…`: how long it took from the decision to the effect.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::extract::{Asked, time};
use super::windows::known;
use super::{ApiError, ApiState};
use crate::timeline::{Report, report};

/// The query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// SETs received from then on are counted; RFC 3339 or seconds since 1970. The last hour if absent.
    since: Option<String>,
    /// The name of one upstream; all if absent.
    upstream: Option<String>,
}

/// The [`Report`].
pub(super) async fn latency(State(api): State<ApiState>, Asked(asked): Asked<Since>) -> Result<Json<Report>, ApiError> {
    let now = api.env.now();
    let since = asked.since.as_deref().map_or_else(|| Ok(now.minus(Duration::from_hours(1))), time)?;
    if let Some(name) = &asked.upstream {
        known(&api, name).await?;
    }
    Ok(Json(report(&api.pool, since, asked.upstream.as_deref(), now).await?))
}
