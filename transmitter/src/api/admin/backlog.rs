//! `/admin/v1/backlog`, `/admin/v1/breaches` and the level of a stream: what waits, what waited too long, and what too long is.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::query::{PageQuery, optional};
use super::{Admin, ApiError, ApiState, reply};
use crate::admin::{self, Backlog, Breach, Page, StreamBacklog, StreamError};
use crate::api::body::json_body;
use crate::api::error::Problem;
use crate::api::query::{Named, Params};
use crate::stream::StreamKey;

/// Whose backlog.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BacklogQuery {
    /// true: of every issuer of the service, for its operators only.
    #[param(value_type = Option<bool>)]
    everywhere: Option<String>,
}

/// What waits: per stream and lane, altogether, and before the fan-out
#[utoipa::path(get, path = "/backlog", tag = "admin: backlog", operation_id = "readBacklog", params(BacklogQuery, PageQuery),
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "The backlog with a page of streams", body = Backlog)))]
pub(super) async fn read(
    State(state): State<ApiState>,
    admin: Admin,
    Params(query): Params<BacklogQuery>,
    Params(page): Params<PageQuery>,
) -> Result<Response, ApiError> {
    let everywhere = optional("everywhere", query.everywhere.as_deref(), "must be true or false")?.unwrap_or(false);
    let (after, limit) = (page.after()?, page.limit()?);
    let of = if everywhere {
        admin.operator()?;
        None
    } else {
        Some(admin.issuer().id)
    };
    let backlog = admin::backlog(&state.pool, of, after, limit, &state.promise, &state.env).await?;
    Ok(reply(StatusCode::OK, &backlog))
}

/// What waits on one stream
#[utoipa::path(get, path = "/streams/{stream_id}/backlog", tag = "admin: backlog", operation_id = "readStreamBacklog",
    params(("stream_id" = StreamKey, Path, description = "Which stream")),
    security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "What waits on it", body = StreamBacklog), (status = 404, description = "There is no such stream", body = Problem)))]
pub(super) async fn of_stream(
    State(state): State<ApiState>,
    admin: Admin,
    Named(stream_id): Named,
) -> Result<Response, ApiError> {
    let key: StreamKey = stream_id.parse().map_err(|_| ApiError::NotFound(NO_STREAM))?;
    let found = admin::stream_backlog(&state.pool, admin.issuer().id, key, &state.promise, &state.env).await?;
    Ok(reply(StatusCode::OK, &found.ok_or(ApiError::NotFound(NO_STREAM))?))
}

/// Which breaches.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BreachQuery {
    /// Of this stream, which may be gone.
    #[param(value_type = Option<StreamKey>)]
    stream_id: Option<String>,
}

/// Deliveries that missed their window, newest first
#[utoipa::path(get, path = "/breaches", tag = "admin: backlog", operation_id = "listBreaches", params(BreachQuery, PageQuery),
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "A page of breaches", body = Page<Breach>)))]
pub(super) async fn breaches(
    State(state): State<ApiState>,
    admin: Admin,
    Params(query): Params<BreachQuery>,
    Params(page): Params<PageQuery>,
) -> Result<Response, ApiError> {
    let stream = optional("stream_id", query.stream_id.as_deref(), "is not the id of a stream")?;
    let (after, limit) = (page.after()?, page.limit()?);
    let found = admin::list_breaches(&state.pool, admin.issuer(), stream, after, limit, &state.env).await?;
    Ok(reply(StatusCode::OK, &found))
}

/// Whose windows hold on a stream.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamLevel {
    /// sl2 or sl3; null: as the service is configured.
    level: Option<String>,
}

/// Sets whose windows hold on a stream
#[utoipa::path(put, path = "/streams/{stream_id}/level", tag = "admin: backlog", operation_id = "setStreamLevel",
    params(("stream_id" = StreamKey, Path, description = "Which stream")), request_body = StreamLevel,
    security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "The level it has now", body = StreamLevel), (status = 404, description = "There is no such stream, or its receiver was removed", body = Problem)))]
pub(super) async fn set_level(
    State(state): State<ApiState>,
    admin: Admin,
    Named(stream_id): Named,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: StreamLevel = json_body(&body)?;
    let level = optional("level", request.level.as_deref(), "must be sl2 or sl3, or null")?;
    let key: StreamKey = stream_id.parse().map_err(|_| ApiError::from(StreamError::NotFound))?;
    admin::set_stream_level(&state.pool, admin.issuer(), key, level, &admin.actor, &state.env).await?;
    Ok(reply(StatusCode::OK, &request))
}

const NO_STREAM: &str = "there is no such stream";
