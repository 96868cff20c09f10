//! `GET /latency`: the transmitter's part of the timeline, for producers and operators.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use ssf_common::clock::Timestamp;

use super::ApiState;
use super::auth::Caller;
use super::error::ApiError;
use crate::client::Scope;
use crate::timeline::{LatencyReport, store};

#[derive(Deserialize)]
pub(super) struct Range {
    since: Option<Timestamp>,
}

/// `?since=` RFC 3339; the last hour by default.
pub(super) async fn report(
    State(state): State<ApiState>,
    caller: Caller,
    Query(range): Query<Range>,
) -> Result<Json<LatencyReport>, ApiError> {
    let client = caller.with(Scope::Emit)?.client;
    let since = range.since.unwrap_or_else(|| state.env.now().minus(std::time::Duration::from_hours(1)));
    let rows = store::latency(&mut *state.pool.acquire().await?, client.issuer_id, since).await?;
    Ok(Json(LatencyReport { since, clocks: "transmitter", rows }))
}
