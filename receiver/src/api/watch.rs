//! `GET /v1/watch`: what happens to sessions, as server-sent events (WHATWG HTML §9.2).
//!
//! | event | id | data |
//! |---|---|---|
//! | `session` | its position | the effect, as in a callback's `data` |
//! | `as_of` | the position reached | `{"as_of", "position"}`: everything committed before that was told; first, and after a silence |
//! | `reset` | the position to go on from | `{"reason", "position"}`: what was asked for is `forgotten` or `unknown`: read your sessions anew |

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body::Frame;
use serde::Deserialize;
use serde_json::{Value, json};
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::http::error_reply;
use tokio::sync::mpsc;

use super::extract::{Asked, checked};
use super::{ApiError, ApiState};
use crate::effects::{Heard, NoWatch, ResetReason, Wanted};
use crate::session::Sid;

/// The query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watch {
    /// What comes after this position; from now on if absent. `Last-Event-ID` goes before it.
    after: Option<i64>,
    /// Only of this session.
    sid: Option<String>,
    /// Only decisions of this issuer.
    issuer: Option<String>,
}

/// An answer that lasts until one of the two ends it.
pub(super) async fn watch(
    State(api): State<ApiState>,
    Asked(asked): Asked<Watch>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = resumed(&headers)?.or(asked.after);
    if after.is_some_and(|after| after < 0) {
        return Err(ApiError::InvalidRequest("after: must not be negative".to_owned()));
    }
    let sid = asked.sid.map(|sid| checked(Sid(sid))).transpose()?;
    let wanted = Wanted { sid, issuer: asked.issuer.map(IssuerUrl) };
    match api.watching.watch(after, wanted).await {
        Ok(heard) => Ok(stream(heard)),
        Err(NoWatch::Store(error)) => Err(error.into()),
        Err(no @ (NoWatch::Full | NoWatch::Stopping)) => {
            let mut reply = error_reply(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", &no.to_string());
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            Ok(reply)
        }
    }
}

/// What a browser or a library sends when it connects again.
fn resumed(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let wrong = || ApiError::InvalidRequest("Last-Event-ID: must be the id of an event of this stream".to_owned());
    match headers.get("last-event-id") {
        None => Ok(None),
        Some(id) if id.is_empty() => Ok(None),
        Some(id) => id.to_str().ok().and_then(|id| id.parse().ok()).map(Some).ok_or_else(wrong),
    }
}

fn stream(heard: mpsc::Receiver<Heard>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would hold events back until its buffer is full
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::new(Events(heard))).into_response()
}

/// The body: read from the watcher only when the connection takes more.
struct Events(mpsc::Receiver<Heard>);

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|heard| heard.map(|heard| Ok(Frame::data(written(&heard).into()))))
    }
}

/// One event. JSON holds no line end, so its data are one line.
fn written(heard: &Heard) -> String {
    let (name, id, data): (_, _, Value) = match heard {
        Heard::Effect(effect) => ("session", effect.position, json!(effect)),
        Heard::AsOf { as_of, position } => ("as_of", *position, json!({"as_of": as_of, "position": position})),
        Heard::Reset { reason, position } => {
            let reason = match reason {
                ResetReason::Forgotten => "forgotten",
                ResetReason::Unknown => "unknown",
            };
            ("reset", *position, json!({"reason": reason, "position": position}))
        }
    };
    let sign_of_life = if name == "as_of" { ": alive\n" } else { "" };
    format!("{sign_of_life}id: {id}\nevent: {name}\ndata: {data}\n\n")
}
