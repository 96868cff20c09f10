//! `/admin/v1/events` and `/admin/v1/latency`: decisions, what became of each, and how long it took.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::query::{PageQuery, event_type, fit, time};
use super::{Admin, ApiError, ApiState, reply};
use crate::admin::{self, EventSelection, FollowedEvent, ListedEvent, Page};
use crate::api::query::{Named, Params};
use crate::outbox::EventId;
use crate::timeline::{LatencyReport, store};

/// Which decisions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Recorded then or later (RFC 3339).
    since: Option<String>,
    /// Recorded before (RFC 3339).
    until: Option<String>,
    /// Of this type: a short name such as `session-revoked`, or a URI.
    r#type: Option<String>,
    /// Of this cause.
    txn: Option<String>,
}

/// The issuer's decisions that were fanned out, newest first
///
/// Whom a decision is about is not told. One that still waits in the outbox is found by its id.
#[utoipa::path(get, path = "/events", tag = "admin: events", operation_id = "listEvents", params(EventQuery, PageQuery),
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "A page of decisions", body = Page<ListedEvent>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    admin: Admin,
    Params(query): Params<EventQuery>,
    Params(page): Params<PageQuery>,
) -> Result<Response, ApiError> {
    let selection = EventSelection {
        since: time("since", query.since.as_deref())?,
        until: time("until", query.until.as_deref())?,
        event_type: event_type(query.r#type.as_deref(), &state.vocabulary)?,
        txn: query.txn.as_deref().map(|txn| fit("txn", txn)).transpose()?.map(ToOwned::to_owned),
    };
    let events = admin::list_events(&state.pool, admin.issuer(), &selection, page.after()?, page.limit()?).await?;
    Ok(reply(StatusCode::OK, &events))
}

/// One decision and what became of it at every stream
#[utoipa::path(get, path = "/events/{event_id}", tag = "admin: events", operation_id = "followEvent",
    params(("event_id" = EventId, Path, description = "Which decision"), PageQuery),
    security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "The decision with a page of its deliveries", body = FollowedEvent), (status = 404, description = "There is no such event", body = crate::api::error::Problem)))]
pub(super) async fn read(
    State(state): State<ApiState>,
    admin: Admin,
    Named(event_id): Named,
    Params(page): Params<PageQuery>,
) -> Result<Response, ApiError> {
    let event_id = event_id.parse().map_err(|_| ApiError::NotFound(NO_EVENT))?;
    let event = admin::follow_event(&state.pool, admin.issuer(), event_id, page.after()?, page.limit()?).await?;
    Ok(reply(StatusCode::OK, &event.ok_or(ApiError::NotFound(NO_EVENT))?))
}

/// Since when.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LatencyQuery {
    /// Settled then or later (RFC 3339); the last hour if left out.
    since: Option<String>,
}

/// How long decisions took to be acknowledged, per stream and type
#[utoipa::path(get, path = "/latency", tag = "admin: events", operation_id = "readLatency", params(LatencyQuery),
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "Percentiles of every leg, on the transmitter's own clock", body = LatencyReport)))]
pub(super) async fn latency(
    State(state): State<ApiState>,
    admin: Admin,
    Params(query): Params<LatencyQuery>,
) -> Result<Response, ApiError> {
    let since = time("since", query.since.as_deref())?;
    let since = since.unwrap_or_else(|| state.env.now().minus(std::time::Duration::from_hours(1)));
    let rows = store::latency(&mut *state.pool.acquire().await?, admin.issuer().id, since).await?;
    Ok(reply(StatusCode::OK, &LatencyReport { since, clocks: "transmitter", rows }))
}

const NO_EVENT: &str = "there is no such event";
