//! `/admin/v1/clients`: receivers, producers and administrators of the issuer.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::Algorithm;
use utoipa::ToSchema;

use super::method::MethodRequest;
use super::query::{PageQuery, fit};
use super::{Admin, ApiError, ApiState, done, reply};
use crate::admin::{self, ListedClient, NewClient, Page};
use crate::api::body::json_body;
use crate::api::error::Problem;
use crate::api::query::{Named, Params};
use crate::client::{AuthMethod, ClientId, Profile, Scope, Scopes};
use crate::config::MAX_STREAMS;
use crate::issuer::Issuer;

/// A client without its credentials.
#[derive(Serialize, ToSchema)]
pub(super) struct ClientBody {
    /// The name it authenticates with.
    client_id: ClientId,
    /// The most it may be granted.
    scopes: Vec<String>,
    /// `aud` of its SETs.
    audience: Vec<String>,
    /// How many streams it may have.
    max_streams: u32,
    /// How many it has.
    streams: i64,
    /// The type URIs offered to it; absent means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    events_supported: Option<Vec<String>>,
    /// How its new streams are signed; absent means as the issuer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<Algorithm>,
    /// Whether it operates the whole service.
    operator: bool,
    /// How it shows who it is, besides static tokens.
    #[schema(value_type = String)]
    auth_method: &'static str,
    /// Whether it has a secret for the token endpoint.
    has_secret: bool,
    /// When it was added.
    created_at: Timestamp,
}

/// A client to be added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientRequest {
    /// The name it will authenticate with; unique at this issuer.
    client_id: String,
    /// The most it may be granted: `ssf.read`, `ssf.manage`, `ssf.emit`, `ssf.admin`. A receiver's if left out.
    scopes: Option<Vec<String>>,
    /// `aud` of its SETs; a receiver needs one.
    #[serde(default)]
    audience: Vec<String>,
    /// How many streams it may have, at most 10000; as the issuer says if left out.
    #[schema(maximum = 10_000)]
    max_streams: Option<u32>,
    /// The type URIs offered to it; all if left out.
    events_supported: Option<Vec<String>>,
    /// How its new streams are signed; as the issuer's if left out.
    algorithm: Option<Algorithm>,
    /// `strict` (if left out), or `legacy` for a receiver that speaks the words of old RISC.
    profile: Option<String>,
    /// Whether it operates the whole service; only an operator may add one.
    #[serde(default)]
    operator: bool,
    /// How it shows who it is at the token endpoint: `client_secret_basic` (if left out), `client_secret_post`,
    /// `private_key_jwt`, or `none` where that is allowed; or not there at all, but by an outside server's tokens:
    /// `authorization_server`.
    auth_method: Option<String>,
    /// `private_key_jwt`: its public keys, a JWK set.
    #[schema(value_type = Option<Object>)]
    jwks: Option<Value>,
    /// `private_key_jwt`: where it publishes them.
    jwks_uri: Option<String>,
    /// `authorization_server`: the issuer of the outside server whose tokens name this client.
    authorization_server: Option<String>,
    /// Whether it gets a secret for the token endpoint; if left out, unless it gets a token.
    secret: Option<bool>,
    /// Whether it gets a static token.
    #[serde(default)]
    token: bool,
}

/// A new client's credentials, shown only now.
#[derive(Serialize, ToSchema)]
pub(super) struct ClientCredentials {
    /// At which issuer.
    issuer: IssuerUrl,
    /// Its name.
    client_id: ClientId,
    /// Its secret for the token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    /// Its static token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// The issuer's clients by name
#[utoipa::path(get, path = "/clients", tag = "admin: clients", operation_id = "listClients", params(PageQuery),
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "A page of clients", body = Page<ClientBody>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    admin: Admin,
    Params(page): Params<PageQuery>,
) -> Result<Response, ApiError> {
    let after = page.after.as_deref().map(|after| fit("after", after)).transpose()?.unwrap_or_default();
    let clients = admin::list_clients(&state.pool, admin.issuer(), after, page.limit()?).await?;
    Ok(reply(StatusCode::OK, &clients.map(shown)))
}

/// Adds a client and shows its credentials for the only time
#[utoipa::path(post, path = "/clients", tag = "admin: clients", operation_id = "addClient", request_body = ClientRequest,
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 201, description = "Its credentials", body = ClientCredentials),
        (status = 403, description = "Only an operator may add an operator", body = Problem),
        (status = 409, description = "There is a client of this name", body = Problem)))]
pub(super) async fn create(State(state): State<ApiState>, admin: Admin, body: Bytes) -> Result<Response, ApiError> {
    let request: ClientRequest = json_body(&body)?;
    if request.operator && !admin.is_operator {
        return Err(ApiError::Forbidden("only an operator of the service may add another".to_owned()));
    }
    let new = request.checked(&state, admin.issuer(), admin.tenant.defaults.max_streams)?;
    let added = admin::add_client(&state.pool, admin.issuer(), &new, &admin.actor, &state.env).await?;
    let added = added.ok_or_else(|| ApiError::Conflict("there is a client of this name".to_owned()))?;
    let text = |secret: Option<secrecy::SecretString>| secret.map(|secret| secret.expose_secret().to_owned());
    let body = ClientCredentials {
        issuer: admin.issuer().url.clone(),
        client_id: new.client_id,
        client_secret: text(added.secret),
        token: text(added.token),
    };
    Ok(reply(StatusCode::CREATED, &body))
}

/// One client
#[utoipa::path(get, path = "/clients/{client_id}", tag = "admin: clients", operation_id = "readClient",
    params(("client_id" = ClientId, Path, description = "Its name")),
    security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "The client", body = ClientBody), (status = 404, description = "There is no such client", body = Problem)))]
pub(super) async fn read(
    State(state): State<ApiState>,
    admin: Admin,
    Named(client_id): Named,
) -> Result<Response, ApiError> {
    let client_id = named(client_id)?;
    let client = admin::find_client(&state.pool, admin.issuer(), &client_id).await?;
    Ok(reply(StatusCode::OK, &shown(client.ok_or(ApiError::NotFound(NO_CLIENT))?)))
}

/// Removes a client: its tokens end and its streams are disabled at once
#[utoipa::path(delete, path = "/clients/{client_id}", tag = "admin: clients", operation_id = "removeClient",
    params(("client_id" = ClientId, Path, description = "Its name")),
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 204, description = "It is gone"),
        (status = 403, description = "Only an operator may remove an operator", body = Problem),
        (status = 404, description = "There is no such client", body = Problem),
        (status = 409, description = "It is the last operator", body = Problem)))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    admin: Admin,
    Named(client_id): Named,
) -> Result<Response, ApiError> {
    let client_id = named(client_id)?;
    let found = admin::find_client(&state.pool, admin.issuer(), &client_id).await?;
    let found = found.ok_or(ApiError::NotFound(NO_CLIENT))?;
    if found.client.is_operator && !admin.is_operator {
        return Err(ApiError::Forbidden("only an operator of the service may remove another".to_owned()));
    }
    if found.client.is_operator && admin::count_operators(&state.pool).await? < 2 {
        let text = "this is the last operator; add another first, or remove it on the service's own host";
        return Err(ApiError::Conflict(text.to_owned()));
    }
    if !admin::remove_client(&state.pool, admin.issuer(), &client_id, &admin.actor, &state.env).await? {
        return Err(ApiError::NotFound(NO_CLIENT));
    }
    Ok(done())
}

impl ClientRequest {
    fn checked(self, state: &ApiState, issuer: &Issuer, default_streams: u32) -> Result<NewClient, ApiError> {
        fit("client_id", &self.client_id)?;
        if self.audience.len() > MAX_AUDIENCE {
            return Err(ApiError::Invalid(format!("audience must have at most {MAX_AUDIENCE} entries")));
        }
        for audience in &self.audience {
            fit("each entry of audience", audience)?;
        }
        let scopes: Scopes = match &self.scopes {
            Some(words) => scopes_of(words)?,
            None if self.operator => [Scope::Admin].into_iter().collect(),
            None => [Scope::Read, Scope::Manage].into_iter().collect(),
        };
        if scopes.is_empty() {
            return Err(ApiError::invalid("scopes must name at least one"));
        }
        if scopes.allow(Scope::Read) && self.audience.is_empty() {
            return Err(ApiError::invalid("a receiver needs an audience: the aud of its SETs"));
        }
        if self.audience.iter().any(String::is_empty) {
            return Err(ApiError::invalid("no audience may be empty"));
        }
        if self.operator && !scopes.allow(Scope::Admin) {
            return Err(ApiError::invalid("an operator needs the scope ssf.admin"));
        }
        let max_streams = self.max_streams.unwrap_or(if scopes.allow(Scope::Manage) { default_streams } else { 0 });
        if max_streams > MAX_STREAMS {
            return Err(ApiError::Invalid(format!("max_streams must be at most {MAX_STREAMS}")));
        }
        if self.events_supported.iter().flatten().any(|event| !state.events.contains(event)) {
            return Err(ApiError::invalid("each of events_supported must be the URI of a type that can be sent"));
        }
        let method = MethodRequest {
            auth_method: self.auth_method.as_deref(),
            jwks: self.jwks.as_ref(),
            jwks_uri: self.jwks_uri.as_deref(),
            authorization_server: self.authorization_server.as_deref(),
        };
        let authentication = method.chosen(state, issuer)?;
        if self.operator && authentication.method() == AuthMethod::Outside {
            return Err(ApiError::invalid("an operator needs a credential of ours, not an outside server's"));
        }
        let profile = self.profile()?;
        let with_secret = authentication.has_secret() && self.secret.unwrap_or(!self.token);
        if authentication.has_secret() && !with_secret && !self.token {
            return Err(ApiError::invalid("a client needs a secret or a token"));
        }
        Ok(NewClient {
            client_id: self.client_id.into(),
            scopes,
            audience: self.audience,
            max_streams,
            events_supported: self.events_supported,
            algorithm: self.algorithm,
            is_operator: self.operator,
            profile,
            authentication,
            with_secret,
            with_token: self.token,
        })
    }
}

impl ClientRequest {
    /// In whose words it speaks.
    fn profile(&self) -> Result<Profile, ApiError> {
        let profile = self.profile.as_deref().map(str::parse).transpose();
        Ok(profile.map_err(|_| ApiError::invalid("profile must be strict or legacy"))?.unwrap_or_default())
    }
}

/// Scopes by their words.
pub(super) fn scopes_of(words: impl AsRef<[String]>) -> Result<Scopes, ApiError> {
    let scopes: Result<Scopes, _> = words.as_ref().iter().map(|word| word.parse::<Scope>()).collect();
    scopes.map_err(|_| ApiError::invalid("each of scopes must be ssf.read, ssf.manage, ssf.emit or ssf.admin"))
}

/// A name that can be a client's.
pub(super) fn named(client_id: String) -> Result<ClientId, ApiError> {
    fit("client_id", &client_id).map_err(|_| ApiError::NotFound(NO_CLIENT))?;
    Ok(ClientId(client_id))
}

fn shown(listed: ListedClient) -> ClientBody {
    ClientBody {
        client_id: listed.client.client_id,
        scopes: listed.client.scopes.words(),
        audience: listed.client.audience,
        max_streams: listed.client.max_streams,
        streams: listed.streams,
        events_supported: listed.client.events_supported,
        algorithm: listed.algorithm,
        operator: listed.client.is_operator,
        auth_method: listed.auth_method.as_str(),
        has_secret: listed.has_secret,
        created_at: listed.created_at,
    }
}

const MAX_AUDIENCE: usize = 20;
pub(super) const NO_CLIENT: &str = "there is no such client";
