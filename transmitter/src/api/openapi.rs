//! `/openapi.json`: the whole HTTP surface in OpenAPI 3.1, made from the routes and the types themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Components, ContactBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::ApiState;
use super::error::Problem;
use super::front::At;

/// The document without its servers. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Document(Arc<Value>);

impl Document {
    /// The document of the issuer whose endpoints are below `base`.
    pub(super) fn to_json(&self, base: &str) -> Value {
        let mut document = Value::clone(&self.0);
        document["servers"] = json!([{ "url": base }]);
        document
    }
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "metadata", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn serve(State(state): State<ApiState>, At(tenant): At) -> Response {
    ([(CACHE_CONTROL, "max-age=300")], Json(state.document.to_json(&tenant.endpoints.at("")))).into_response()
}

/// What there is before any route: who we are, and how callers show who they are.
pub(super) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Shared Signals transmitter")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .contact(Some(ContactBuilder::new().name(Some("The operator of this service")).build()));
    let mut components = Components::new();
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.add_security_scheme("client", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
    OpenApiBuilder::new().info(info.build()).components(Some(components)).build()
}

/// What all operations have in common: every other answer is a problem in the same shape.
pub(super) fn completed(mut document: OpenApi) -> Document {
    let components = document.components.get_or_insert_default();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    let problem = ResponseBuilder::new()
        .description("Not answered as asked: `error` for programs, `error_description` for people")
        .content("application/json", problem)
        .build();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            responses.entry("default".to_owned()).or_insert_with(|| RefOr::T(problem.clone()));
        }
    }
    Document(Arc::new(serde_json::to_value(document).unwrap_or_default()))
}

const DESCRIPTION: &str = "An OpenID Shared Signals Framework 1.0 transmitter: stream management (`ssf.read`, `ssf.manage`), poll delivery, \
the producer's door (`ssf.emit`) and the admin API (`ssf.admin`). Tokens are got at `/oauth2/token`. Paths are below the issuer's own.";
