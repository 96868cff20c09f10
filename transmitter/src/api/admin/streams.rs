//! `/admin/v1/streams`: the receivers' streams, how delivery to them goes, and what waits on them.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::query::PageQuery;
use super::{Admin, ApiError, ApiState, reply};
use crate::admin::{self, ListedStream, Page, WaitingDelivery};
use crate::api::query::{Named, Params};
use crate::outbox::Lane;
use crate::stream::StreamKey;

/// The issuer's streams with their health, by id
#[utoipa::path(get, path = "/streams", tag = "admin: streams", operation_id = "listStreams", params(PageQuery),
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "A page of streams", body = Page<ListedStream>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    admin: Admin,
    Params(page): Params<PageQuery>,
) -> Result<Response, ApiError> {
    let streams = admin::list_streams(&state.pool, admin.issuer(), page.after()?, page.limit()?, &state.env).await?;
    Ok(reply(StatusCode::OK, &streams))
}

/// One stream with its health
#[utoipa::path(get, path = "/streams/{stream_id}", tag = "admin: streams", operation_id = "readStream",
    params(("stream_id" = StreamKey, Path, description = "Which stream")),
    security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "The stream", body = ListedStream), (status = 404, description = "There is no such stream", body = crate::api::error::Problem)))]
pub(super) async fn read(
    State(state): State<ApiState>,
    admin: Admin,
    Named(stream_id): Named,
) -> Result<Response, ApiError> {
    let key = stream_id.parse().map_err(|_| ApiError::NotFound(NO_STREAM))?;
    let stream = admin::find_stream(&state.pool, admin.issuer(), key, &state.env).await?;
    Ok(reply(StatusCode::OK, &stream.ok_or(ApiError::NotFound(NO_STREAM))?))
}

/// What waits on a stream, in the order in which it is taken
#[utoipa::path(get, path = "/streams/{stream_id}/deliveries", tag = "admin: streams", operation_id = "listWaitingDeliveries",
    params(("stream_id" = StreamKey, Path, description = "Which stream"), PageQuery),
    security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "A page of deliveries", body = Page<WaitingDelivery>), (status = 404, description = "There is no such stream", body = crate::api::error::Problem)))]
pub(super) async fn deliveries(
    State(state): State<ApiState>,
    admin: Admin,
    Named(stream_id): Named,
    Params(page): Params<PageQuery>,
) -> Result<Response, ApiError> {
    let key: StreamKey = stream_id.parse().map_err(|_| ApiError::NotFound(NO_STREAM))?;
    let after = page.after.as_deref().map(place).transpose()?;
    let waiting = admin::waiting_deliveries(&state.pool, admin.issuer(), key, after, page.limit()?).await?;
    Ok(reply(StatusCode::OK, &waiting.ok_or(ApiError::NotFound(NO_STREAM))?))
}

/// A lane and a place in it, as a page names them.
fn place(text: &str) -> Result<(Lane, i64), ApiError> {
    let parsed = text.split_once('.').and_then(|(lane, seq)| {
        let lane: i16 = lane.parse().ok().filter(|lane| (0..=2).contains(lane))?;
        Some((Lane::from_number(lane), seq.parse().ok()?))
    });
    parsed.ok_or_else(|| ApiError::invalid("after is not what a page gave as next"))
}

const NO_STREAM: &str = "there is no such stream";
