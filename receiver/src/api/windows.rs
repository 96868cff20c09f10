//! `/v1/windows`: how the windows were kept, and the cut-offs behind it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use ssf_common::clock::Timestamp;

use super::extract::{Asked, NO_UPSTREAM, time};
use super::{ApiError, ApiState};
use crate::proof::{Cursor, Lines, WindowsReport};

/// The query of both.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// Decisions received from then on are counted; RFC 3339 or seconds since 1970. The last 24 hours if absent.
    since: Option<String>,
    /// The name of one upstream; all if absent.
    upstream: Option<String>,
}

/// `GET /v1/windows?since=…&upstream=…`: the [`WindowsReport`].
pub(super) async fn report(
    State(api): State<ApiState>,
    Asked(asked): Asked<Since>,
) -> Result<Json<WindowsReport>, ApiError> {
    let now = api.env.now();
    let (since, upstream) = read(&api, asked).await?;
    Ok(Json(api.proof.report(since, upstream.as_deref(), now).await?))
}

/// The query of a page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    since: Option<String>,
    upstream: Option<String>,
    /// The `next` of the page before; from the beginning if absent.
    after: Option<String>,
    /// At most this many: 1 to 1,000, 100 if absent.
    limit: Option<usize>,
}

/// `GET /v1/windows/cutoffs?since=…&after=…&limit=…`: a page of cut-offs, each with its times.
pub(super) async fn cutoffs(State(api): State<ApiState>, Asked(page): Asked<Page>) -> Result<Json<Lines>, ApiError> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(ApiError::InvalidRequest("limit: must be 1 to 1000".to_owned()));
    }
    let after = page.after.as_deref().map(str::parse::<Cursor>).transpose();
    let after = after.map_err(|error| ApiError::InvalidRequest(format!("after: {error}")))?;
    let (since, upstream) = read(&api, Since { since: page.since, upstream: page.upstream }).await?;
    Ok(Json(api.proof.lines(since, upstream.as_deref(), after.as_ref(), limit).await?))
}

async fn read(api: &ApiState, asked: Since) -> Result<(Timestamp, Option<String>), ApiError> {
    let now = api.env.now();
    let since = asked.since.as_deref().map_or_else(|| Ok(now.minus(A_DAY)), time)?;
    if let Some(name) = &asked.upstream {
        known(api, name).await?;
    }
    Ok((since, asked.upstream))
}

/// An upstream that never was has missed no window: whoever mistypes a name shall not believe that all is well.
pub(super) async fn known(api: &ApiState, upstream: &str) -> Result<(), ApiError> {
    let is_known = !upstream.contains('\0') && api.proof.knows(upstream).await?;
    if is_known { Ok(()) } else { Err(ApiError::NotFound(NO_UPSTREAM)) }
}

const A_DAY: Duration = Duration::from_hours(24);
