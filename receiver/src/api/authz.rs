//! `/v1/authz`: the question as gateways ask it, nginx with `auth_request` and Envoy with `ext_authz`. The answer is in
//! the status: 200 lets the request through, 401 sends it back with a challenge, 503 says that nobody knows. The state
//! stands in headers, which a gateway can read, and in the body.
//!
//! Any method will do, and any path below: Envoy asks with those of the request itself.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use axum::{Json, Router};
use serde_json::json;

use crate::guard::{Challenge, Checked, Gateway, Local, Refusal, judge};

/// What the handler needs.
#[derive(Clone, Debug)]
pub struct Door(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    gateway: Gateway,
    ask: Local,
    challenge: Challenge,
}

impl Door {
    /// Reads requests as `gateway` does, asks `ask`, and answers with `challenge`.
    pub fn new(gateway: Gateway, ask: Local, challenge: Challenge) -> Self {
        Self(Arc::new(Parts { gateway, ask, challenge }))
    }
}

/// The routes.
pub fn router(door: Door) -> Router {
    let paths = ["/v1/authz", "/v1/authz/", "/v1/authz/{*path}"];
    paths.into_iter().fold(Router::new(), |routes, path| routes.route(path, any(authz))).with_state(door)
}

async fn authz(State(Door(door)): State<Door>, headers: HeaderMap) -> Response {
    match judged(&door, &headers).await {
        Ok(checked) => with_state(Json(&checked).into_response(), &checked),
        Err(refusal) => {
            let reply = door.challenge.reply(&refusal);
            let (Some(checked), Some((code, text))) = (refusal.checked(), refusal.words()) else { return reply };
            let (parts, _) = reply.into_parts();
            let mut body = json!(checked);
            (body["error"], body["error_description"]) = (json!(code), json!(text));
            with_state((parts.status, parts.headers, Json(body)).into_response(), checked)
        }
    }
}

/// The worst of all that the request presents; of those that are good the one whose answer is the oldest.
async fn judged(door: &Parts, headers: &HeaderMap) -> Result<Checked, Refusal> {
    let mut good: Option<Checked> = None;
    let mut worst: Option<Refusal> = None;
    for presented in door.gateway.presented(headers)? {
        match judge(&door.ask, &presented).await {
            Ok(checked) if good.as_ref().is_none_or(|known| checked.as_of < known.as_of) => good = Some(checked),
            Ok(_) => {}
            Err(refusal) => worst = Some(worst.map_or(refusal.clone(), |known| known.worse(refusal))),
        }
    }
    match (worst, good) {
        (Some(refusal), _) => Err(refusal),
        (None, Some(checked)) => Ok(checked),
        (None, None) => Err(Refusal::Nobody),
    }
}

fn with_state(mut reply: Response, checked: &Checked) -> Response {
    let headers = reply.headers_mut();
    let mut put = |name: &HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    put(&STATE, json!(checked.state).as_str().unwrap_or_default());
    put(&AS_OF, &checked.as_of.to_string());
    put(&STALE, if checked.stale { "true" } else { "false" });
    if let Some(reason) = &checked.reason {
        put(&REASON, reason);
    }
    put(&header::CACHE_CONTROL, "no-store");
    reply
}

const STATE: HeaderName = HeaderName::from_static("x-ssf-state");
const AS_OF: HeaderName = HeaderName::from_static("x-ssf-as-of");
const STALE: HeaderName = HeaderName::from_static("x-ssf-stale");
const REASON: HeaderName = HeaderName::from_static("x-ssf-reason");
