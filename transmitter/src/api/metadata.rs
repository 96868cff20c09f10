//! What anybody may read: SSF metadata (§7), the metadata of the resource (RFC 9728) and of the authorization server (RFC
//! 8414), the public keys.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use serde_json::{Value, json};
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::Algorithm;
use ssf_common::protocol::{AuthorizationScheme, DeliveryMethod, Metadata};
use utoipa::ToSchema;

use super::ApiState;
use super::error::{ApiError, Problem};
use super::front::{At, NOTHING};
use crate::client::{AuthMethod, Scope};
use crate::config::KEY_SET_MAX_AGE;
use crate::keys::store;
use crate::tenant::Tenant;

/// The transmitter configuration metadata (SSF 1.0 §7)
///
/// The path of the issuer, if it has one, stands behind: `/.well-known/ssf-configuration/tenant`.
#[utoipa::path(get, path = "/.well-known/ssf-configuration", tag = "metadata", operation_id = "ssfConfiguration",
    responses((status = 200, description = "Where everything is", body = Metadata)))]
pub(super) async fn ssf(State(state): State<ApiState>, At(tenant): At) -> impl IntoResponse {
    described(&state, &tenant)
}

/// The same, where older RISC receivers look for it
#[utoipa::path(get, path = "/.well-known/risc-configuration", tag = "metadata", operation_id = "riscConfiguration",
    responses((status = 200, description = "Where everything is", body = Metadata)))]
pub(super) async fn risc(State(state): State<ApiState>, At(tenant): At) -> impl IntoResponse {
    described(&state, &tenant)
}

fn described(state: &ApiState, tenant: &Tenant) -> impl IntoResponse + use<> {
    let at = |path| Some(tenant.endpoints.at(path));
    let metadata = Metadata {
        spec_version: Some("1_0".to_owned()),
        issuer: tenant.issuer.url.clone(),
        jwks_uri: at("/jwks.json"),
        delivery_methods_supported: vec![DeliveryMethod::Push.urn().to_owned(), DeliveryMethod::Poll.urn().to_owned()],
        configuration_endpoint: at("/ssf/streams"),
        status_endpoint: at("/ssf/status"),
        add_subject_endpoint: at("/ssf/subjects/add"),
        remove_subject_endpoint: at("/ssf/subjects/remove"),
        verification_endpoint: at("/ssf/verify"),
        critical_subject_members: state.critical_subject_members.to_vec(),
        authorization_schemes: vec![AuthorizationScheme { spec_urn: "urn:ietf:rfc:6749".to_owned() }],
        enforcement_receipts_endpoint: at("/receipts"),
        default_subjects: Some(tenant.defaults.subjects),
    };
    ([(CACHE_CONTROL, "max-age=300")], Json(metadata))
}

/// The metadata of the built-in authorization server (RFC 8414 §2), if it is switched on
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "metadata", operation_id = "authorizationServer",
    responses(
        (status = 200, description = "How tokens are got", body = AuthorizationServer),
        (status = 404, description = "It is switched off", body = Problem)))]
pub(super) async fn oauth(State(state): State<ApiState>, At(tenant): At) -> Result<impl IntoResponse, ApiError> {
    if !state.token_endpoint {
        return Err(ApiError::NotFound(NOTHING));
    }
    let methods =
        AuthMethod::AT_TOKEN_ENDPOINT.into_iter().filter(|method| *method != AuthMethod::None || state.public_clients);
    let metadata = AuthorizationServer {
        issuer: tenant.issuer.url.clone(),
        token_endpoint: tenant.endpoints.at("/oauth2/token"),
        grant_types_supported: ["client_credentials"],
        token_endpoint_auth_methods_supported: methods.map(AuthMethod::as_str).collect(),
        token_endpoint_auth_signing_alg_values_supported: Algorithm::ALL,
        scopes_supported: Scope::ALL.map(Scope::as_str),
        response_types_supported: [],
    };
    Ok(([(CACHE_CONTROL, "max-age=300")], Json(metadata)))
}

/// Whose tokens are good here, and how they are sent (RFC 9728 §2)
#[utoipa::path(get, path = "/.well-known/oauth-protected-resource", tag = "metadata", operation_id = "protectedResource",
    responses((status = 200, description = "Where to get tokens", body = ProtectedResource)))]
pub(super) async fn resource(State(state): State<ApiState>, At(tenant): At) -> impl IntoResponse {
    let own = state.token_endpoint.then_some(tenant.issuer.url.as_str());
    let outside = state.outside.issuers(&tenant.issuer.url);
    let mut servers: Vec<String> = own.into_iter().chain(outside).map(ToOwned::to_owned).collect();
    servers.dedup();
    let metadata = ProtectedResource {
        resource: tenant.issuer.url.clone(),
        // a member that would be empty is left out (§3.2)
        authorization_servers: (!servers.is_empty()).then_some(servers),
        scopes_supported: Scope::ALL.map(Scope::as_str),
        bearer_methods_supported: ["header"],
    };
    ([(CACHE_CONTROL, "max-age=300")], Json(metadata))
}

/// Authorization server metadata (RFC 8414 §2).
#[derive(Serialize, ToSchema)]
pub(super) struct AuthorizationServer {
    /// The issuer.
    issuer: IssuerUrl,
    /// Where tokens are got.
    token_endpoint: String,
    /// By which grants.
    #[schema(value_type = Vec<String>)]
    grant_types_supported: [&'static str; 1],
    /// How a client shows who it is.
    #[schema(value_type = Vec<String>)]
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// How an assertion may be signed.
    #[schema(value_type = Vec<Algorithm>)]
    token_endpoint_auth_signing_alg_values_supported: [Algorithm; 4],
    /// What may be asked for.
    #[schema(value_type = Vec<String>)]
    scopes_supported: [&'static str; 4],
    /// None: there is no authorization endpoint.
    #[schema(value_type = Vec<String>)]
    response_types_supported: [&'static str; 0],
}

/// Protected resource metadata (RFC 9728 §2).
#[derive(Serialize, ToSchema)]
pub(super) struct ProtectedResource {
    /// The issuer.
    resource: IssuerUrl,
    /// Whose tokens are good here.
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_servers: Option<Vec<String>>,
    /// What may be asked for.
    #[schema(value_type = Vec<String>)]
    scopes_supported: [&'static str; 4],
    /// `header` only.
    #[schema(value_type = Vec<String>)]
    bearer_methods_supported: [&'static str; 1],
}

/// A JWK set (RFC 7517 §5).
#[derive(Serialize, ToSchema)]
pub(super) struct JwkSet {
    /// Public keys.
    #[schema(value_type = Vec<Object>)]
    keys: Value,
}

/// The issuer's public keys (RFC 7517 §5)
#[utoipa::path(get, path = "/jwks.json", tag = "metadata", operation_id = "jwks",
    responses((status = 200, description = "A JWK set", body = JwkSet)))]
pub(super) async fn jwks(State(state): State<ApiState>, At(tenant): At) -> Result<impl IntoResponse, ApiError> {
    // from the table: what another process made a moment ago is published by all
    let published = match state.pool.acquire().await {
        Ok(mut conn) => store::published(&mut conn, tenant.issuer.id).await,
        Err(error) => Err(error),
    };
    let keys = match published {
        Ok(keys) => json!({ "keys": keys }),
        // for a moment without the database, what was read last; later another process may have let another key sign
        Err(_) if tenant.ring.is_fresh(state.env.now()) => tenant.ring.published(),
        Err(error) => return Err(error.into()),
    };
    Ok(([(CACHE_CONTROL, format!("public, max-age={}", KEY_SET_MAX_AGE.as_secs()))], Json(keys)))
}
