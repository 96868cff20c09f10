//! `/admin/v1`: what operators see and do, below each issuer's path, with the scope `ssf.admin`. An administrator of one
//! issuer sees that issuer only; the issuers themselves are for operators of the whole service.
//!
//! Lists are pages `{"items", "next"}`; every change writes its entry of the audit log in the same transaction.

mod audit;
mod backlog;
mod clients;
mod credentials;
mod dead_letters;
mod events;
mod issuers;
mod keys;
mod method;
mod query;
mod stream_control;
mod streams;

use std::sync::Arc;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Caller;
use super::error::ApiError;
use crate::audit::Actor;
use crate::client::Scope;
use crate::issuer::Issuer;
use crate::tenant::Tenant;

/// Every route of the admin API.
pub(super) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(issuers::list, issuers::create))
        .routes(routes!(issuers::read, issuers::update, issuers::delete))
        .routes(routes!(clients::list, clients::create))
        .routes(routes!(clients::read, clients::delete))
        .routes(routes!(credentials::rotate_secret))
        .routes(routes!(credentials::set_method))
        .routes(routes!(credentials::list_tokens, credentials::add_token))
        .routes(routes!(credentials::revoke_token))
        .routes(routes!(streams::list))
        .routes(routes!(streams::read))
        .routes(routes!(streams::deliveries))
        .routes(routes!(events::list))
        .routes(routes!(events::read))
        .routes(routes!(events::latency))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::replay_many))
        .routes(routes!(dead_letters::discard_many))
        .routes(routes!(dead_letters::inspect))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(dead_letters::discard))
        .routes(routes!(keys::list))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::retire))
        .routes(routes!(keys::set_algorithm))
        .routes(routes!(stream_control::set_status))
        .routes(routes!(stream_control::verify))
        .routes(routes!(backlog::read))
        .routes(routes!(backlog::of_stream))
        .routes(routes!(backlog::set_level))
        .routes(routes!(backlog::breaches))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
}

/// Who administers an issuer. As the first extractor it decides before query, body and existence are looked at.
pub(super) struct Admin {
    /// The issuer that is administered.
    tenant: Arc<Tenant>,
    /// Who, for the audit log.
    actor: Actor,
    is_operator: bool,
}

impl Admin {
    fn issuer(&self) -> &Issuer {
        &self.tenant.issuer
    }

    /// Whether the whole service is theirs.
    pub(super) fn operator(self) -> Result<Self, ApiError> {
        if self.is_operator {
            Ok(self)
        } else {
            Err(ApiError::Forbidden("only an operator of the service may do this".to_owned()))
        }
    }
}

impl FromRequestParts<ApiState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let tenant = Arc::clone(&caller.tenant);
        let client = caller.with(Scope::Admin)?.client;
        let name = client.client_id.to_string();
        let actor = if client.is_operator { Actor::Operator(name) } else { Actor::Client(name) };
        Ok(Self { tenant, actor, is_operator: client.is_operator })
    }
}

/// An answer that is not to be kept by anybody on its way.
fn reply<T: Serialize>(status: StatusCode, body: &T) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Done, and nothing to say.
fn done() -> Response {
    (StatusCode::NO_CONTENT, [(CACHE_CONTROL, "no-store")]).into_response()
}
