//! `/admin/v1/clients/{client_id}/…`: a client's credentials after it was added. What is secret is shown once, in the answer.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ssf_common::clock::Timestamp;
use utoipa::ToSchema;

use super::clients::{NO_CLIENT, named, scopes_of};
use super::method::MethodRequest;
use super::{Admin, ApiError, ApiState, done, reply};
use crate::admin::{self, CredentialError};
use crate::api::body::json_body;
use crate::api::error::Problem;
use crate::api::query::Named;
use crate::client::{AuthMethod, ClientId, StaticToken, TokenId};
use crate::issuer::Issuer;

/// How a client's secret changes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateSecretRequest {
    /// How many seconds the old secret stays good, at most 30 days. Without it the old one ends now, and every token issued
    /// for it.
    #[serde(default)]
    #[schema(maximum = 2_592_000)]
    overlap: u64,
}

/// A client's new secret, shown only now.
#[derive(Serialize, ToSchema)]
pub(super) struct NewSecret {
    /// Whose.
    client_id: ClientId,
    /// The secret; absent if its method has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

/// How a client is to show who it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetMethodRequest {
    /// `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `none` where that is allowed, or
    /// `authorization_server`.
    auth_method: String,
    /// `private_key_jwt`: its public keys, a JWK set.
    #[schema(value_type = Option<Object>)]
    jwks: Option<Value>,
    /// `private_key_jwt`: where it publishes them.
    jwks_uri: Option<String>,
    /// `authorization_server`: the issuer of the outside server it gets its tokens from.
    authorization_server: Option<String>,
}

/// A further static token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StaticTokenRequest {
    /// What it is for; unique among the client's.
    label: Option<String>,
    /// What it allows; all the client may if left out.
    scopes: Option<Vec<String>>,
}

/// A new static token, shown only now.
#[derive(Serialize, ToSchema)]
pub(super) struct NewStaticToken {
    /// What it is called by.
    id: TokenId,
    /// Whose.
    client_id: ClientId,
    /// The token.
    token: String,
}

/// A client's static tokens; the tokens themselves are nowhere.
#[derive(Serialize, ToSchema)]
pub(super) struct StaticTokenList {
    /// Oldest first.
    items: Vec<StaticTokenBody>,
}

/// A static token without the token.
#[derive(Serialize, ToSchema)]
pub(super) struct StaticTokenBody {
    /// What it is called by.
    id: TokenId,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// What it allows.
    scopes: Vec<String>,
    /// When it was made.
    created_at: Timestamp,
}

/// Gives a client a new secret and shows it for the only time
#[utoipa::path(post, path = "/clients/{client_id}/secret", tag = "admin: clients", operation_id = "rotateClientSecret",
    params(("client_id" = ClientId, Path, description = "Its name")), request_body = RotateSecretRequest,
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 200, description = "The new secret", body = NewSecret),
        (status = 403, description = "Only an operator may change an operator's", body = Problem),
        (status = 404, description = "There is no such client", body = Problem),
        (status = 409, description = "Its method has no secret", body = Problem)))]
pub(super) async fn rotate_secret(
    State(state): State<ApiState>,
    admin: Admin,
    Named(client_id): Named,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: RotateSecretRequest = json_body(if body.trim_ascii().is_empty() { b"{}" } else { &body })?;
    let client_id = in_reach(&state, &admin, client_id).await?;
    let overlap = Duration::from_secs(request.overlap);
    let secret =
        admin::rotate_secret(&state.pool, admin.issuer(), &client_id, overlap, &admin.actor, &state.env).await?;
    Ok(reply(StatusCode::OK, &NewSecret { client_id, client_secret: Some(shown(&secret)) }))
}

/// Changes how a client shows who it is; with a method that has one, a new secret is shown for the only time
#[utoipa::path(put, path = "/clients/{client_id}/method", tag = "admin: clients", operation_id = "setClientMethod",
    params(("client_id" = ClientId, Path, description = "Its name")), request_body = SetMethodRequest,
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 200, description = "It is changed", body = NewSecret),
        (status = 403, description = "Only an operator may change an operator's", body = Problem),
        (status = 404, description = "There is no such client", body = Problem)))]
pub(super) async fn set_method(
    State(state): State<ApiState>,
    admin: Admin,
    Named(client_id): Named,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: SetMethodRequest = json_body(&body)?;
    let method = MethodRequest {
        auth_method: Some(&request.auth_method),
        jwks: request.jwks.as_ref(),
        jwks_uri: request.jwks_uri.as_deref(),
        authorization_server: request.authorization_server.as_deref(),
    };
    let authentication = method.chosen(&state, admin.issuer())?;
    let client_id = in_reach(&state, &admin, client_id).await?;
    let (issuer, actor) = (admin.issuer(), &admin.actor);
    let secret = admin::set_authentication(&state.pool, issuer, &client_id, &authentication, actor, &state.env).await?;
    Ok(reply(StatusCode::OK, &NewSecret { client_id, client_secret: secret.as_ref().map(shown) }))
}

/// A client's static tokens
#[utoipa::path(get, path = "/clients/{client_id}/tokens", tag = "admin: clients", operation_id = "listClientTokens",
    params(("client_id" = ClientId, Path, description = "Its name")), security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 200, description = "All of them", body = StaticTokenList),
        (status = 404, description = "There is no such client", body = Problem)))]
pub(super) async fn list_tokens(
    State(state): State<ApiState>,
    admin: Admin,
    Named(client_id): Named,
) -> Result<Response, ApiError> {
    let tokens = admin::list_tokens(&state.pool, admin.issuer(), &named(client_id)?).await?;
    Ok(reply(StatusCode::OK, &StaticTokenList { items: tokens.into_iter().map(listed).collect() }))
}

/// Gives a client a further static token and shows it for the only time
#[utoipa::path(post, path = "/clients/{client_id}/tokens", tag = "admin: clients", operation_id = "addClientToken",
    params(("client_id" = ClientId, Path, description = "Its name")), request_body = StaticTokenRequest,
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 201, description = "The token", body = NewStaticToken),
        (status = 403, description = "Only an operator may give an operator one", body = Problem),
        (status = 404, description = "There is no such client", body = Problem),
        (status = 409, description = "It has a token of this label", body = Problem)))]
pub(super) async fn add_token(
    State(state): State<ApiState>,
    admin: Admin,
    Named(client_id): Named,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: StaticTokenRequest = json_body(&body)?;
    let scopes = request.scopes.as_deref().map(scopes_of).transpose()?;
    let client_id = in_reach(&state, &admin, client_id).await?;
    let (issuer, label, actor) = (admin.issuer(), request.label.as_deref(), &admin.actor);
    let added = admin::add_token(&state.pool, issuer, &client_id, label, scopes.as_ref(), actor, &state.env);
    let (id, token) = added.await?;
    Ok(reply(StatusCode::CREATED, &NewStaticToken { id, client_id, token: shown(&token) }))
}

/// Ends a static token at once
#[utoipa::path(delete, path = "/clients/{client_id}/tokens/{token}", tag = "admin: clients", operation_id = "revokeClientToken",
    params(("client_id" = ClientId, Path, description = "Its name"), ("token" = String, Path, description = "Its id or its label")),
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 204, description = "It has ended"),
        (status = 403, description = "Only an operator may end an operator's", body = Problem),
        (status = 404, description = "There is no such client, or it has no such token", body = Problem),
        (status = 409, description = "It is the last credential of the last operator", body = Problem)))]
pub(super) async fn revoke_token(
    State(state): State<ApiState>,
    admin: Admin,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
) -> Result<Response, ApiError> {
    let Path((client_id, token)) = path.map_err(|_| ApiError::NotFound(NO_TOKEN))?;
    let client_id = in_reach(&state, &admin, client_id).await?;
    let (issuer, actor) = (admin.issuer(), &admin.actor);
    if is_last_credential(&state, issuer, &client_id).await? {
        let text = "this is the last credential of the last operator; give it another first, or end it on the service's own host";
        return Err(ApiError::Conflict(text.to_owned()));
    }
    admin::revoke_token(&state.pool, issuer, &client_id, &token, actor, &state.env).await?;
    Ok(done())
}

/// The client of this name, if `admin` may change its credentials: whoever could give an operator another secret would be
/// one.
async fn in_reach(state: &ApiState, admin: &Admin, client_id: String) -> Result<ClientId, ApiError> {
    let client_id = named(client_id)?;
    let found = admin::find_client(&state.pool, admin.issuer(), &client_id).await?;
    let found = found.ok_or(ApiError::NotFound(NO_CLIENT))?;
    if found.client.is_operator && !admin.is_operator {
        return Err(ApiError::Forbidden(
            "only an operator of the service may change an operator's credentials".to_owned(),
        ));
    }
    Ok(client_id)
}

/// Whether the service would be without an operator if this client's only token ended.
async fn is_last_credential(state: &ApiState, issuer: &Issuer, client_id: &ClientId) -> Result<bool, ApiError> {
    let Some(found) = admin::find_client(&state.pool, issuer, client_id).await? else { return Ok(false) };
    let has_other = found.has_secret || matches!(found.auth_method, AuthMethod::PrivateKeyJwt | AuthMethod::None);
    if !found.client.is_operator || has_other || admin::count_operators(&state.pool).await? > 1 {
        return Ok(false);
    }
    Ok(admin::list_tokens(&state.pool, issuer, client_id).await?.len() < 2)
}

fn shown(secret: &SecretString) -> String {
    secret.expose_secret().to_owned()
}

fn listed(token: StaticToken) -> StaticTokenBody {
    StaticTokenBody { id: token.id, label: token.label, scopes: token.scopes.words(), created_at: token.created_at }
}

impl From<CredentialError> for ApiError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::NoClient(_) => Self::NotFound(NO_CLIENT),
            CredentialError::NoToken => Self::NotFound(NO_TOKEN),
            CredentialError::NoSecret(_) | CredentialError::Labelled => Self::Conflict(error.to_string()),
            CredentialError::Overlap
            | CredentialError::Scope(_)
            | CredentialError::Label
            | CredentialError::OutsideOperator => Self::Invalid(error.to_string()),
            CredentialError::Database(error) => error.into(),
        }
    }
}

const NO_TOKEN: &str = "the client has no such static token";
