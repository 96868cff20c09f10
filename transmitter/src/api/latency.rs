//! `GET /latency`: the transmitter's part of the timeline, for producers and operators.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use ssf_common::clock::Timestamp;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::error::ApiError;
use super::query::Params;
use crate::client::Scope;
use crate::timeline::{LatencyReport, store};

/// Since when.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Range {
    /// Settled then or later (RFC 3339); the last hour if left out.
    since: Option<Timestamp>,
}

/// How long decisions took to be acknowledged, per stream and type
#[utoipa::path(get, path = "/latency", tag = "events", operation_id = "readLatencyAsProducer", params(Range),
    security(("bearer" = ["ssf.emit"])), responses((status = 200, description = "Percentiles of every leg, on the transmitter's own clock", body = LatencyReport)))]
pub(super) async fn report(
    State(state): State<ApiState>,
    caller: Caller,
    Params(range): Params<Range>,
) -> Result<Json<LatencyReport>, ApiError> {
    let client = caller.with(Scope::Emit)?.client;
    let since = range.since.unwrap_or_else(|| state.env.now().minus(std::time::Duration::from_hours(1)));
    let rows = store::latency(&mut *state.pool.acquire().await?, client.issuer_id, since).await?;
    Ok(Json(LatencyReport { since, clocks: "transmitter", rows }))
}
