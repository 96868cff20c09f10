//! `/ssf/streams`: a receiver's streams (SSF 1.0 §8.1.1). Every answer is `Cache-Control: no-store`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::id::StreamId;
use ssf_common::protocol::{CreateStream, StreamConfiguration, UpdateStream};
use url::Url;
use utoipa::{IntoParams, ToSchema};

use super::ApiState;
use super::auth::Caller;
use super::body::json_body;
use super::error::{ApiError, Problem};
use crate::audit::{self, Actor, Deed};
use crate::client::{Client, Scope};
use crate::control;
use crate::delivery::authorization_place;
use crate::stream::store::Added;
use crate::stream::subjects::store::list::set_default;
use crate::stream::{Offer, Stream, StreamKey, Wanted, algorithm, configure, store};
use crate::tenant::Tenant;

/// Which stream.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Its id.
    stream_id: Option<StreamId>,
}

impl Which {
    /// It must name one.
    pub(super) fn required(self) -> Result<StreamId, ApiError> {
        self.stream_id.ok_or_else(|| ApiError::invalid("the query must name a stream_id"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Which {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let query = Query::<Self>::try_from_uri(&parts.uri);
        query.map(|Query(which)| which).map_err(|_| ApiError::invalid("the query must name a stream_id at most once"))
    }
}

/// Creates a stream (SSF 1.0 §8.1.1.1)
#[utoipa::path(post, path = "/ssf/streams", tag = "streams", operation_id = "createStream", request_body = CreateStream,
    security(("bearer" = ["ssf.manage"])),
    responses(
        (status = 201, description = "The whole configuration", body = StreamConfiguration),
        (status = 409, description = "This receiver may have no further stream", body = Problem)))]
pub(super) async fn create(State(state): State<ApiState>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let tenant = Arc::clone(&caller.tenant);
    let client = caller.with(Scope::Manage)?.client;
    let offer = state.offer(&tenant);
    let request: CreateStream = json_body(&body)?;
    let wanted = Wanted::create(&request, &client, &offer)?;
    let key = StreamKey::unguessable(&*state.env.random);
    let sealed = seal(&state, key, request.delivery.and_then(|delivery| delivery.authorization_header))?;
    let mut tx = state.pool.begin().await?;
    let signed = algorithm::of_new_stream(&mut tx, &client, offer.algorithm).await?;
    let stream = Stream {
        key,
        issuer_id: client.issuer_id,
        client: client.key,
        audience: client.audience.clone(),
        status: StreamStatus::Enabled,
        status_reason: None,
        wanted,
        algorithm: signed.now,
        min_verification_interval_s: offer.min_verification_interval_s,
        inactivity_timeout_s: offer.inactivity_timeout_s,
        created_at: state.env.now(),
    };
    match store::insert(&mut tx, &stream, client.max_streams, sealed.as_deref()).await? {
        Added::Yes => {}
        Added::HasAll => {
            return Err(ApiError::Conflict(format!(
                "this receiver may have {} stream(s) and has them; read, change or delete one",
                client.max_streams
            )));
        }
        // its token ended while this request was on its way
        Added::Removed => return Err(ApiError::BadToken),
    }
    set_default(&mut tx, key, tenant.defaults.subjects).await?;
    algorithm::await_key(&mut tx, &stream, signed).await?;
    let details = json!({"method": stream.wanted.method.as_str(), "endpoint_host": endpoint_host(&stream.wanted)});
    note(&mut tx, &client, key, "stream.created", details, stream.created_at).await?;
    tx.commit().await?;
    tracing::info!(stream.id = %key, client.id = %client.client_id, "a stream was created");
    Ok(reply(StatusCode::CREATED, &configuration(&state, &tenant, &client, &stream)))
}

/// One stream by `stream_id`, or the array of all (SSF 1.0 §8.1.1.2)
#[utoipa::path(get, path = "/ssf/streams", tag = "streams", operation_id = "readStreams", params(Which),
    security(("bearer" = ["ssf.read"])),
    responses(
        (status = 200, description = "The configuration, or all of them", body = OneOrAll),
        (status = 404, description = "This receiver has no such stream", body = Problem)))]
pub(super) async fn read(State(state): State<ApiState>, caller: Caller, which: Which) -> Result<Response, ApiError> {
    let tenant = Arc::clone(&caller.tenant);
    let client = caller.with(Scope::Read)?.client;
    let mut conn = state.pool.acquire().await?;
    if let Some(stream_id) = which.stream_id {
        let stream = own(&state, &mut conn, &stream_id, &client).await?;
        let one = configuration(&state, &tenant, &client, &stream);
        return Ok(reply(StatusCode::OK, &OneOrAll::One(Box::new(one))));
    }
    store::note_activity(&mut conn, client.key, state.env.now()).await?;
    let streams = store::all_of_client(&mut conn, client.key).await?;
    let all = streams.iter().map(|stream| configuration(&state, &tenant, &client, stream));
    Ok(reply(StatusCode::OK, &OneOrAll::All(all.collect())))
}

/// Changes a stream: what is missing stays (SSF 1.0 §8.1.1.3)
#[utoipa::path(patch, path = "/ssf/streams", tag = "streams", operation_id = "updateStream", request_body = UpdateStream,
    security(("bearer" = ["ssf.manage"])),
    responses(
        (status = 200, description = "The whole configuration", body = StreamConfiguration),
        (status = 404, description = "This receiver has no such stream", body = Problem)))]
pub(super) async fn patch(State(state): State<ApiState>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let tenant = Arc::clone(&caller.tenant);
    let client = caller.with(Scope::Manage)?.client;
    change(&state, &tenant, &client, &body, |request, present, offer| {
        let wanted = Wanted::patch(request, present, &client, offer)?;
        Ok((wanted, configure::kept_authorization(request)))
    })
    .await
}

/// Replaces a stream: what is missing goes (SSF 1.0 §8.1.1.4)
#[utoipa::path(put, path = "/ssf/streams", tag = "streams", operation_id = "replaceStream", request_body = UpdateStream,
    security(("bearer" = ["ssf.manage"])),
    responses(
        (status = 200, description = "The whole configuration", body = StreamConfiguration),
        (status = 404, description = "This receiver has no such stream", body = Problem)))]
pub(super) async fn put(State(state): State<ApiState>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let tenant = Arc::clone(&caller.tenant);
    let client = caller.with(Scope::Manage)?.client;
    change(&state, &tenant, &client, &body, |request, _, offer| {
        let header = request.delivery.as_ref().and_then(|delivery| delivery.authorization_header.clone());
        Ok((Wanted::replace(request, &client, offer)?, configure::KeptAuthorization::Replace(header)))
    })
    .await
}

/// Deletes a stream, in any status (SSF 1.0 §8.1.1.5)
#[utoipa::path(delete, path = "/ssf/streams", tag = "streams", operation_id = "deleteStream", params(Which),
    security(("bearer" = ["ssf.manage"])),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "This receiver has no such stream", body = Problem)))]
pub(super) async fn delete(State(state): State<ApiState>, caller: Caller, which: Which) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Manage)?.client;
    let mut tx = state.pool.begin().await?;
    let stream = own(&state, &mut tx, &which.required()?, &client).await?;
    let now = state.env.now();
    control::remove(&mut tx, stream.key, now).await?;
    note(&mut tx, &client, stream.key, "stream.deleted", json!({}), now).await?;
    tx.commit().await?;
    tracing::info!(stream.id = %stream.key, client.id = %client.client_id, "a stream was deleted by its receiver");
    Ok((StatusCode::NO_CONTENT, [(CACHE_CONTROL, "no-store")]).into_response())
}

/// What a receiver reads: one stream, or all of its own.
#[derive(serde::Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum OneOrAll {
    /// The one that was named.
    One(Box<StreamConfiguration>),
    /// All, if none was named.
    All(Vec<StreamConfiguration>),
}

async fn change(
    state: &ApiState,
    tenant: &Tenant,
    client: &Client,
    body: &[u8],
    decide: impl Fn(&UpdateStream, &Stream, &Offer) -> Result<(Wanted, configure::KeptAuthorization), ApiError>,
) -> Result<Response, ApiError> {
    let request: UpdateStream = json_body(body)?;
    let mut tx = state.pool.begin().await?;
    let mut stream = own(state, &mut tx, &request.stream_id, client).await?;
    let poll_endpoint = tenant.endpoints.poll(&stream.key.stream_id());
    configure::check_transmitter_members(&request, &configuration(state, tenant, client, &stream), &poll_endpoint)?;
    let (wanted, kept) = decide(&request, &stream, &state.offer(tenant))?;
    let sealed = match kept {
        configure::KeptAuthorization::Keep => None,
        configure::KeptAuthorization::Replace(header) => Some(seal(state, stream.key, header)?),
    };
    let authorization = match &sealed {
        None => store::StoredAuthorization::Keep,
        Some(sealed) => store::StoredAuthorization::Replace(sealed.as_deref()),
    };
    let now = state.env.now();
    store::configure(&mut tx, stream.key, &wanted, authorization, now).await?;
    let is_delivered_anew = sealed.is_some();
    if is_delivered_anew {
        store::forget_trouble(&mut tx, stream.key).await?;
    }
    let present = &stream.wanted;
    let details = json!({
        "events": wanted.events_delivered != present.events_delivered, "description": wanted.description != present.description,
        "authorization": is_delivered_anew, "endpoint": wanted.endpoint_url != present.endpoint_url,
        "method": wanted.method.as_str(), "endpoint_host": endpoint_host(&wanted),
    });
    note(&mut tx, client, stream.key, "stream.changed", details, now).await?;
    tx.commit().await?;
    if is_delivered_anew {
        // what waited for the old way may go the new one
        state.push.wake();
        state.polling.ring(stream.key);
    }
    stream.wanted = wanted;
    Ok(reply(StatusCode::OK, &configuration(state, tenant, client, &stream)))
}

/// Writes down what a receiver did to its stream: last in its transaction, for the log is locked from then on.
pub(super) async fn note(
    conn: &mut PgConnection,
    client: &Client,
    stream: StreamKey,
    action: &'static str,
    details: Value,
    now: Timestamp,
) -> sqlx::Result<()> {
    let actor = Actor::Client(client.client_id.to_string());
    audit::record(conn, client.issuer_id, &Deed { actor: &actor, action, target: stream.to_string(), details }, now)
        .await
}

/// Where SETs go; the rest of the URL may hold what only its receiver shall know.
fn endpoint_host(wanted: &Wanted) -> Option<String> {
    wanted.endpoint_url.as_deref()?.parse::<Url>().ok()?.host_str().map(ToOwned::to_owned)
}

/// The caller's stream; another receiver's is not found, exactly like none (§8.1.1.2).
pub(super) async fn own(
    state: &ApiState,
    conn: &mut PgConnection,
    stream_id: &StreamId,
    client: &Client,
) -> Result<Stream, ApiError> {
    let Some(key) = StreamKey::of(stream_id) else { return Err(ApiError::NotFound(NO_STREAM)) };
    store::of_client(conn, key, client.key, state.env.now()).await?.ok_or(ApiError::NotFound(NO_STREAM))
}

fn configuration(state: &ApiState, tenant: &Tenant, client: &Client, stream: &Stream) -> StreamConfiguration {
    let poll_endpoint = tenant.endpoints.poll(&stream.key.stream_id());
    stream.configuration(&tenant.issuer.url, state.offer(tenant).events_for(client), poll_endpoint)
}

fn seal(state: &ApiState, stream: StreamKey, header: Option<SecretString>) -> Result<Option<Vec<u8>>, ApiError> {
    let seal = |header: SecretString| {
        state.sealing.seal(header.expose_secret().as_bytes(), &authorization_place(stream), &*state.env.random)
    };
    Ok(header.map(seal).transpose()?)
}

fn reply<T: serde::Serialize>(status: StatusCode, body: &T) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

pub(super) const NO_STREAM: &str = "there is no such stream";
