//! `GET /admin/audit`: what people changed here by hand.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::api::extract::Asked;
use crate::api::{ApiError, ApiState};
use crate::audit::{self, Entry};

/// Which part of the log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Entries after the one with this id; from the first if absent.
    #[serde(default)]
    after: i64,
    /// At most this many: 1 to 1,000, 100 if absent.
    limit: Option<i64>,
}

/// One page of the log.
#[derive(Debug, Serialize)]
pub(super) struct Log {
    /// In order.
    entries: Vec<Entry>,
}

/// Entries in order; the next page begins after the last one's `id`.
pub(super) async fn list(State(api): State<ApiState>, Asked(page): Asked<Page>) -> Result<Json<Log>, ApiError> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(ApiError::InvalidRequest("limit: must be 1 to 1000".to_owned()));
    }
    let entries = audit::entries(&mut *api.pool.acquire().await?, page.after, limit).await?;
    Ok(Json(Log { entries }))
}
