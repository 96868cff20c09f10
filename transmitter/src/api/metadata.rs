//! What anybody may read: SSF metadata (§7), authorization server metadata (RFC 8414), the public keys.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use serde_json::{Value, json};
use ssf_common::id::IssuerUrl;
use ssf_common::protocol::{AuthorizationScheme, DeliveryMethod, Metadata};
use utoipa::ToSchema;

use super::ApiState;
use super::error::ApiError;
use super::front::At;
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
        default_subjects: Some(tenant.defaults.subjects),
    };
    ([(CACHE_CONTROL, "max-age=300")], Json(metadata))
}

/// The metadata of the built-in authorization server (RFC 8414 §2)
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "metadata", operation_id = "authorizationServer",
    responses((status = 200, description = "How tokens are got", body = AuthorizationServer)))]
pub(super) async fn oauth(At(tenant): At) -> Json<AuthorizationServer> {
    Json(AuthorizationServer {
        issuer: tenant.issuer.url.clone(),
        token_endpoint: tenant.endpoints.at("/oauth2/token"),
        grant_types_supported: ["client_credentials"],
        token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
        scopes_supported: ["ssf.read", "ssf.manage", "ssf.emit", "ssf.admin"],
        response_types_supported: [],
    })
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
    token_endpoint_auth_methods_supported: [&'static str; 2],
    /// What may be asked for.
    #[schema(value_type = Vec<String>)]
    scopes_supported: [&'static str; 4],
    /// None: there is no authorization endpoint.
    #[schema(value_type = Vec<String>)]
    response_types_supported: [&'static str; 0],
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
