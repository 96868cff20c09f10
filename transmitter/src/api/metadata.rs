//! What anybody may read: SSF metadata (§7), the metadata of the resource (RFC 9728) and of the authorization server (RFC
//! 8414), the public keys.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CACHE_CONTROL;
use serde_json::json;
use ssf_common::jwks::Algorithm;
use ssf_common::protocol::{AuthorizationScheme, DeliveryMethod, Metadata};

use super::ApiState;
use super::error::ApiError;
use super::front::{At, NOTHING};
use crate::client::{AuthMethod, Scope};
use crate::keys::store;

/// `GET /.well-known/ssf-configuration{path}`.
pub(super) async fn ssf(At(tenant): At) -> impl IntoResponse {
    let at = |path| Some(tenant.endpoints.at(path));
    let metadata = Metadata {
        spec_version: Some("1_0".to_owned()),
        issuer: tenant.issuer.url.clone(),
        jwks_uri: at("/jwks.json"),
        delivery_methods_supported: vec![DeliveryMethod::Push.urn().to_owned(), DeliveryMethod::Poll.urn().to_owned()],
        configuration_endpoint: at("/ssf/streams"),
        status_endpoint: at("/ssf/status"),
        add_subject_endpoint: None,
        remove_subject_endpoint: None,
        verification_endpoint: at("/ssf/verify"),
        critical_subject_members: Vec::new(),
        authorization_schemes: vec![AuthorizationScheme { spec_urn: "urn:ietf:rfc:6749".to_owned() }],
        default_subjects: Some(tenant.defaults.subjects),
    };
    ([(CACHE_CONTROL, "max-age=300")], Json(metadata))
}

/// `GET /.well-known/oauth-authorization-server{path}` (RFC 8414 §2): the built-in server, if it is switched on.
pub(super) async fn oauth(State(state): State<ApiState>, At(tenant): At) -> Result<impl IntoResponse, ApiError> {
    if !state.token_endpoint {
        return Err(ApiError::NotFound(NOTHING));
    }
    let methods = AuthMethod::ALL.into_iter().filter(|method| *method != AuthMethod::None || state.public_clients);
    let metadata = json!({
        "issuer": tenant.issuer.url,
        "token_endpoint": tenant.endpoints.at("/oauth2/token"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": methods.map(AuthMethod::as_str).collect::<Vec<_>>(),
        "token_endpoint_auth_signing_alg_values_supported": Algorithm::ALL,
        "scopes_supported": Scope::ALL.map(Scope::as_str),
        "response_types_supported": [],
    });
    Ok(([(CACHE_CONTROL, "max-age=300")], Json(metadata)))
}

/// `GET /.well-known/oauth-protected-resource{path}` (RFC 9728 §2): whose tokens are good here, and how they are sent.
pub(super) async fn resource(State(state): State<ApiState>, At(tenant): At) -> impl IntoResponse {
    let own = state.token_endpoint.then_some(tenant.issuer.url.as_str());
    let mut servers: Vec<&str> = own.into_iter().chain(state.outside.issuers(&tenant.issuer.url)).collect();
    servers.dedup();
    let mut metadata = json!({
        "resource": tenant.issuer.url,
        "scopes_supported": Scope::ALL.map(Scope::as_str),
        "bearer_methods_supported": ["header"],
    });
    // a member that would be empty is left out (§3.2)
    if !servers.is_empty() {
        metadata["authorization_servers"] = json!(servers);
    }
    ([(CACHE_CONTROL, "max-age=300")], Json(metadata))
}

/// `GET /jwks.json` (RFC 7517 §5).
pub(super) async fn jwks(State(state): State<ApiState>, At(tenant): At) -> impl IntoResponse {
    // from the table, for another process may have made a key since; what we sign with ourselves can always be published
    let published = match state.pool.acquire().await {
        Ok(mut conn) => store::published(&mut conn, tenant.issuer.id).await.ok(),
        Err(_) => None,
    };
    let keys = published.map_or_else(|| tenant.ring.published(), |keys| json!({ "keys": keys }));
    ([(CACHE_CONTROL, "max-age=300")], Json(keys))
}
