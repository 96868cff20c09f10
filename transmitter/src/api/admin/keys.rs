//! `/admin/v1/keys`: the issuer's signing keys. Private keys are brought in on the command line only.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use ssf_common::id::KeyId;
use ssf_common::jwks::Algorithm;
use utoipa::ToSchema;

use super::query::fit;
use super::{Admin, ApiError, ApiState, reply};
use crate::admin::{AlgorithmChange, EnteredKey, IssuerKeys, KeysError, ListedKey, Page, RetiredKey};
use crate::api::body::json_body;
use crate::api::error::Problem;
use crate::api::query::Named;
use crate::stream::StreamKey;

/// Which keys are to be followed by new ones.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateRequest {
    /// Those of this algorithm; if left out, of every algorithm in use.
    algorithm: Option<Algorithm>,
    /// Whether the new key signs at once: for a key in wrong hands. Receivers that cache the key set refuse its SETs until
    /// they read the set anew.
    #[serde(default)]
    now: bool,
}

/// What becomes of a key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetireRequest {
    /// Whether it also leaves the published set at once.
    #[serde(default)]
    remove: bool,
}

/// How a stream is to be signed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlgorithmRequest {
    /// RS256, PS256, ES256 or EdDSA.
    algorithm: Algorithm,
}

fn keys<'a>(state: &'a ApiState, admin: &'a Admin) -> IssuerKeys<'a> {
    IssuerKeys {
        pool: &state.pool,
        issuer: admin.issuer(),
        rules: state.key_rules,
        sealing: &state.sealing,
        actor: &admin.actor,
        env: &state.env,
    }
}

/// The issuer's published signing keys, oldest first
///
/// Their private halves are shown nowhere.
#[utoipa::path(get, path = "/keys", tag = "admin: keys", operation_id = "listKeys",
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "The keys", body = Page<ListedKey>)))]
pub(super) async fn list(State(state): State<ApiState>, admin: Admin) -> Result<Response, ApiError> {
    let items = keys(&state, &admin).list(false).await?;
    Ok(reply(StatusCode::OK, &Page { items, next: None }))
}

/// Makes the next keys
#[utoipa::path(post, path = "/keys/rotate", tag = "admin: keys", operation_id = "rotateKeys", request_body = RotateRequest,
    security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "What is published now, and when it signs", body = Page<EnteredKey>)))]
pub(super) async fn rotate(State(state): State<ApiState>, admin: Admin, body: Bytes) -> Result<Response, ApiError> {
    let request: RotateRequest = json_body(&body)?;
    let items = keys(&state, &admin).rotate(request.algorithm, request.now).await?;
    Ok(reply(StatusCode::OK, &Page { items, next: None }))
}

/// Ends the signing of a key that nobody needs, or takes back a next key
#[utoipa::path(post, path = "/keys/{kid}/retire", tag = "admin: keys", operation_id = "retireKey",
    params(("kid" = KeyId, Path, description = "Which key")), request_body = RetireRequest,
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 200, description = "Until when it is published", body = RetiredKey),
        (status = 404, description = "There is no such key", body = Problem),
        (status = 409, description = "It is in use, or retired already", body = Problem)))]
pub(super) async fn retire(
    State(state): State<ApiState>,
    admin: Admin,
    Named(kid): Named,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: RetireRequest = json_body(&body)?;
    let kid = fit("kid", &kid).map_err(|_| ApiError::NotFound(NO_KEY))?;
    let retired = keys(&state, &admin).retire(&kid.into(), request.remove).await?;
    Ok(reply(StatusCode::OK, &retired))
}

/// Signs a stream with another algorithm, as soon as a key of it has been published long enough
#[utoipa::path(put, path = "/streams/{stream_id}/algorithm", tag = "admin: streams", operation_id = "setStreamAlgorithm",
    params(("stream_id" = StreamKey, Path, description = "Which stream")), request_body = AlgorithmRequest,
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 200, description = "From when on", body = AlgorithmChange),
        (status = 404, description = "There is no such stream", body = Problem)))]
pub(super) async fn set_algorithm(
    State(state): State<ApiState>,
    admin: Admin,
    Named(stream_id): Named,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: AlgorithmRequest = json_body(&body)?;
    let key = stream_id.parse().map_err(|_| ApiError::NotFound("there is no such stream"))?;
    let changed = keys(&state, &admin).set_stream_algorithm(key, request.algorithm).await?;
    Ok(reply(StatusCode::OK, &changed))
}

impl From<KeysError> for ApiError {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Unknown => Self::NotFound(NO_KEY),
            KeysError::NoStream => Self::NotFound("there is no such stream"),
            KeysError::Import(error) => Self::Invalid(error.to_string()),
            KeysError::Keys(error) => error.into(),
            KeysError::Database(error) => error.into(),
            error => Self::Conflict(error.to_string()),
        }
    }
}

const NO_KEY: &str = "there is no such key";
