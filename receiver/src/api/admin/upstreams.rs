//! `/admin/upstreams`: the transmitters this service listens to, those of the settings (to be read) and those made here.
//!
//! | call | answer |
//! |---|---|
//! | `GET /admin/upstreams` | all that there are; with `removed=true` also those that were |
//! | `POST /admin/upstreams` | 201: made; the body is what `[upstreams.<name>]` would say, with its `name` |
//! | `GET /admin/upstreams/{name}` | what it is at the moment, and what is configured, secrets masked |
//! | `PATCH /admin/upstreams/{name}` | 200: changed; members named with null go back to their default |
//! | `DELETE /admin/upstreams/{name}` | 200: removed, and whether the transmitter deleted the stream |
//! | `GET /admin/upstreams/{name}/history` | what became of it, the newest first |
//!
//! One of the settings is never changed here: 409. Files are not named over HTTP: whoever may make an upstream shall not
//! have the service read its host's files to a transmitter of their choice.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::ApiError;
use crate::api::extract::{Asked, Body, NO_UPSTREAM, Name};
use crate::audit::Actor;
use crate::upstream::managed::Farewell;
use crate::upstream::store::Line;
use crate::upstream::{Managed, ManagedError, Overview};

/// The routes.
pub fn router(managed: Managed) -> Router {
    Router::new()
        .route("/admin/upstreams", get(list).post(add))
        .route("/admin/upstreams/{name}", get(show).patch(change).delete(remove))
        .route("/admin/upstreams/{name}/history", get(history))
        .with_state(managed)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    #[serde(default)]
    removed: bool,
}

#[derive(Debug, Serialize)]
struct Listed {
    upstreams: Vec<Overview>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Lines before the one with this id.
    before: Option<i64>,
    limit: Option<i64>,
}

#[derive(Debug, Serialize)]
struct History {
    history: Vec<Line>,
}

async fn list(State(managed): State<Managed>, Asked(which): Asked<Which>) -> Result<Json<Listed>, ApiError> {
    Ok(Json(Listed { upstreams: managed.overviews(which.removed).await? }))
}

async fn add(
    State(managed): State<Managed>,
    Body(mut said): Body<Map<String, Value>>,
) -> Result<(StatusCode, Json<Overview>), ApiError> {
    let Some(Value::String(name)) = said.remove("name") else {
        return Err(ApiError::InvalidRequest("name: must be there, and a text".to_owned()));
    };
    without_files(&said)?;
    managed.add(&name, said, &Actor::AdminApi).await?;
    Ok((StatusCode::CREATED, Json(found(&managed, &name).await?)))
}

async fn show(State(managed): State<Managed>, Name(name): Name) -> Result<Json<Overview>, ApiError> {
    Ok(Json(found(&managed, &name).await?))
}

async fn change(
    State(managed): State<Managed>,
    Name(name): Name,
    Body(change): Body<Map<String, Value>>,
) -> Result<Json<Overview>, ApiError> {
    without_files(&change)?;
    managed.change(&name, change, &Actor::AdminApi).await?;
    Ok(Json(found(&managed, &name).await?))
}

async fn remove(State(managed): State<Managed>, Name(name): Name) -> Result<Json<Value>, ApiError> {
    let stream: Farewell = managed.remove(&name, &Actor::AdminApi).await?;
    Ok(Json(json!({"removed": name, "stream": stream})))
}

async fn history(
    State(managed): State<Managed>,
    Name(name): Name,
    Asked(page): Asked<Page>,
) -> Result<Json<History>, ApiError> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(ApiError::InvalidRequest("limit: must be 1 to 1000".to_owned()));
    }
    let lines = managed.history(&name, page.before, limit).await?;
    Ok(Json(History { history: lines.ok_or(ApiError::NotFound(NO_UPSTREAM))? }))
}

async fn found(managed: &Managed, name: &str) -> Result<Overview, ApiError> {
    managed.overview(name).await?.ok_or(ApiError::NotFound(NO_UPSTREAM))
}

fn without_files(said: &Map<String, Value>) -> Result<(), ApiError> {
    match said.iter().find(|(name, value)| name.ends_with("_file") && !value.is_null()) {
        Some((name, _)) => Err(ApiError::InvalidRequest(format!(
            "{name}: files are named in the settings or with `ssf-receiver upstream` only; send the secret itself, it is sealed"
        ))),
        None => Ok(()),
    }
}

impl From<ManagedError> for ApiError {
    fn from(error: ManagedError) -> Self {
        match error {
            ManagedError::Document(_) => Self::InvalidRequest(error.to_string()),
            ManagedError::InSettings(_) | ManagedError::Taken(_) | ManagedError::Sealed(_) => {
                Self::Conflict(error.to_string())
            }
            ManagedError::Unknown(_) => Self::NotFound(NO_UPSTREAM),
            ManagedError::Store(error) => Self::Store(error),
        }
    }
}
