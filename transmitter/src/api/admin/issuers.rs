//! `/admin/v1/issuers`: in whose names the service speaks. For operators of the whole service only.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::Algorithm;
use ssf_common::protocol::DefaultSubjects;
use ssf_common::runtime::telemetry::chain;
use utoipa::ToSchema;

use super::query::{PageQuery, fit};
use super::{Admin, ApiError, ApiState, done, reply};
use crate::admin::{self, AddIssuerError, Page};
use crate::api::body::json_body;
use crate::api::error::Problem;
use crate::api::query::{Named, Params};
use crate::config::{MAX_SECONDS, MAX_STREAMS};
use crate::issuer::{Issuer, IssuerId, OwnDefaults};

/// An issuer. What it does not say is as the service is configured.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuerBody {
    /// Its id here.
    id: IssuerId,
    /// Its URL, byte for byte as in SETs.
    url: IssuerUrl,
    /// Whether it is the issuer of the configuration, which is always served.
    primary: bool,
    /// What new streams are like.
    #[serde(flatten)]
    defaults: IssuerDefaults,
}

/// What an issuer says of its new streams.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuerDefaults {
    /// How they are signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<Algorithm>,
    /// Whether they have all subjects or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_subjects: Option<DefaultSubjects>,
    /// Seconds between two verification requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_verification_interval: Option<u32>,
    /// Seconds without activity before they may be paused; 0 for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    inactivity_timeout: Option<u32>,
    /// How many a new receiver may have, at most 10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 10_000)]
    max_streams: Option<u32>,
}

/// An issuer to be added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewIssuer {
    /// Its URL: https, without query and fragment.
    url: IssuerUrl,
    /// How new streams are signed; as the configuration says if left out, and so is the rest.
    algorithm: Option<Algorithm>,
    /// Whether they have all subjects or none.
    default_subjects: Option<DefaultSubjects>,
    /// Seconds between two verification requests.
    #[schema(maximum = 2_147_483_647)]
    min_verification_interval: Option<u32>,
    /// Seconds without activity before they may be paused; 0 for never.
    #[schema(maximum = 2_147_483_647)]
    inactivity_timeout: Option<u32>,
    /// How many a new receiver may have, at most 10000.
    #[schema(maximum = 10_000)]
    max_streams: Option<u32>,
}

/// A change: what is missing stays, null goes back to the configuration.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerPatch {
    /// How new streams are signed.
    #[serde(default)]
    #[schema(value_type = Option<Algorithm>)]
    algorithm: Change<Algorithm>,
    /// Whether new streams have all subjects or none.
    #[serde(default)]
    #[schema(value_type = Option<DefaultSubjects>)]
    default_subjects: Change<DefaultSubjects>,
    /// Seconds between two verification requests.
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    min_verification_interval: Change<u32>,
    /// Seconds without activity before new streams may be paused; 0 for never.
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    inactivity_timeout: Change<u32>,
    /// How many streams a new receiver may have, at most 10000.
    #[serde(default)]
    #[schema(value_type = Option<u32>, maximum = 10_000)]
    max_streams: Change<u32>,
}

/// The issuers that are served, oldest first
#[utoipa::path(get, path = "/issuers", tag = "admin: issuers", operation_id = "listIssuers", params(PageQuery),
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "A page of issuers", body = Page<IssuerBody>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    admin: Admin,
    Params(page): Params<PageQuery>,
) -> Result<Response, ApiError> {
    admin.operator()?;
    let issuers = admin::page_issuers(&state.pool, page.after()?, page.limit()?).await?;
    Ok(reply(StatusCode::OK, &issuers.map(|issuer| shown(&state, issuer))))
}

/// Adds an issuer with a first signing key; every process serves it within seconds
#[utoipa::path(post, path = "/issuers", tag = "admin: issuers", operation_id = "addIssuer", request_body = NewIssuer,
    security(("bearer" = ["ssf.admin"])),
    responses((status = 201, description = "It is served", body = IssuerBody), (status = 409, description = "It is served already", body = Problem)))]
pub(super) async fn create(State(state): State<ApiState>, admin: Admin, body: Bytes) -> Result<Response, ApiError> {
    let admin = admin.operator()?;
    let new: NewIssuer = json_body(&body)?;
    let url = new.url.clone();
    fit("url", url.as_str())?;
    let own = checked(new.into())?;
    let algorithm = state.tenants.configured().algorithm;
    let added = admin::add_issuer(&state.pool, &url, &own, algorithm, &state.sealing, &admin.actor, &state.env).await?;
    serve_anew(&state).await;
    Ok(reply(StatusCode::CREATED, &shown(&state, added)))
}

/// One issuer
#[utoipa::path(get, path = "/issuers/{issuer_id}", tag = "admin: issuers", operation_id = "readIssuer",
    params(("issuer_id" = IssuerId, Path, description = "Which issuer")),
    security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "The issuer", body = IssuerBody), (status = 404, description = "There is no such issuer", body = Problem)))]
pub(super) async fn read(
    State(state): State<ApiState>,
    admin: Admin,
    Named(issuer_id): Named,
) -> Result<Response, ApiError> {
    admin.operator()?;
    let issuer = find(&state, &issuer_id).await?;
    Ok(reply(StatusCode::OK, &shown(&state, issuer)))
}

/// Changes what an issuer says of its new streams
#[utoipa::path(patch, path = "/issuers/{issuer_id}", tag = "admin: issuers", operation_id = "updateIssuer",
    params(("issuer_id" = IssuerId, Path, description = "Which issuer")), request_body = IssuerPatch,
    security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "The issuer as it is now", body = IssuerBody), (status = 404, description = "There is no such issuer", body = Problem)))]
pub(super) async fn update(
    State(state): State<ApiState>,
    admin: Admin,
    Named(issuer_id): Named,
    body: Bytes,
) -> Result<Response, ApiError> {
    let admin = admin.operator()?;
    let patch: IssuerPatch = json_body(&body)?;
    checked(patch.clone().applied_to(&OwnDefaults::default()))?;
    let id = issuer_id.parse().map_err(|_| ApiError::NotFound(NO_ISSUER))?;
    let change = |own: &OwnDefaults| patch.applied_to(own);
    let changed = admin::update_issuer(&state.pool, id, change, &state.sealing, &admin.actor, &state.env).await?;
    let issuer = changed.ok_or(ApiError::NotFound(NO_ISSUER))?;
    serve_anew(&state).await;
    Ok(reply(StatusCode::OK, &shown(&state, issuer)))
}

/// Stops serving an issuer: its streams are disabled and its clients removed at once, its history is kept
#[utoipa::path(delete, path = "/issuers/{issuer_id}", tag = "admin: issuers", operation_id = "removeIssuer",
    params(("issuer_id" = IssuerId, Path, description = "Which issuer")),
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 204, description = "It is not served any more"),
        (status = 404, description = "There is no such issuer", body = Problem),
        (status = 409, description = "It is the issuer of the configuration", body = Problem)))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    admin: Admin,
    Named(issuer_id): Named,
) -> Result<Response, ApiError> {
    let admin = admin.operator()?;
    let issuer = find(&state, &issuer_id).await?;
    if issuer.url == *state.tenants.primary() {
        return Err(ApiError::Conflict("this is the issuer of the configuration, which is always served".to_owned()));
    }
    admin::remove_issuer(&state.pool, &issuer, &admin.actor, &state.env).await?;
    serve_anew(&state).await;
    Ok(done())
}

/// What a patch says of one member: nothing, or what it becomes; null is the configuration's.
#[derive(Clone, Default)]
enum Change<T> {
    #[default]
    Stays,
    Becomes(Option<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Becomes)
    }
}

impl<T> Change<T> {
    fn of(self, present: Option<T>) -> Option<T> {
        match self {
            Self::Stays => present,
            Self::Becomes(new) => new,
        }
    }
}

impl IssuerPatch {
    fn applied_to(self, own: &OwnDefaults) -> OwnDefaults {
        OwnDefaults {
            algorithm: self.algorithm.of(own.algorithm),
            default_subjects: self.default_subjects.of(own.default_subjects),
            min_verification_interval_s: self.min_verification_interval.of(own.min_verification_interval_s),
            inactivity_timeout_s: self.inactivity_timeout.of(own.inactivity_timeout_s),
            max_streams: self.max_streams.of(own.max_streams),
        }
    }
}

impl From<NewIssuer> for OwnDefaults {
    fn from(new: NewIssuer) -> Self {
        Self {
            algorithm: new.algorithm,
            default_subjects: new.default_subjects,
            min_verification_interval_s: new.min_verification_interval,
            inactivity_timeout_s: new.inactivity_timeout,
            max_streams: new.max_streams,
        }
    }
}

impl From<OwnDefaults> for IssuerDefaults {
    fn from(own: OwnDefaults) -> Self {
        Self {
            algorithm: own.algorithm,
            default_subjects: own.default_subjects,
            min_verification_interval: own.min_verification_interval_s,
            inactivity_timeout: own.inactivity_timeout_s,
            max_streams: own.max_streams,
        }
    }
}

impl From<AddIssuerError> for ApiError {
    fn from(error: AddIssuerError) -> Self {
        match error {
            AddIssuerError::Url(fault) => Self::Invalid(format!("url {fault}")),
            AddIssuerError::Served => Self::Conflict("this issuer is served already".to_owned()),
            AddIssuerError::Keys(error) => error.into(),
            AddIssuerError::Database(error) => error.into(),
        }
    }
}

/// Within what the table holds.
fn checked(own: OwnDefaults) -> Result<OwnDefaults, ApiError> {
    if own.max_streams.is_some_and(|streams| streams > MAX_STREAMS) {
        return Err(ApiError::Invalid(format!("max_streams must be at most {MAX_STREAMS}")));
    }
    for (name, seconds) in [
        ("min_verification_interval", own.min_verification_interval_s),
        ("inactivity_timeout", own.inactivity_timeout_s),
    ] {
        if seconds.is_some_and(|seconds| seconds > MAX_SECONDS) {
            return Err(ApiError::Invalid(format!("{name} must be at most {MAX_SECONDS}")));
        }
    }
    Ok(own)
}

/// What was committed is served at once, if it can be: whatever stands in the way, such as another issuer's keys, is not
/// this caller's, and every process looks again within seconds.
async fn serve_anew(state: &ApiState) {
    if let Err(error) = state.tenants.refresh().await {
        tracing::warn!(error = %chain(&error), "the issuers could not all be read anew");
    }
}

async fn find(state: &ApiState, issuer_id: &str) -> Result<Issuer, ApiError> {
    let id = issuer_id.parse().map_err(|_| ApiError::NotFound(NO_ISSUER))?;
    admin::issuer_of_id(&state.pool, id).await?.ok_or(ApiError::NotFound(NO_ISSUER))
}

fn shown(state: &ApiState, issuer: Issuer) -> IssuerBody {
    let primary = issuer.url == *state.tenants.primary();
    IssuerBody { id: issuer.id, url: issuer.url, primary, defaults: issuer.own.into() }
}

const NO_ISSUER: &str = "there is no such issuer";
