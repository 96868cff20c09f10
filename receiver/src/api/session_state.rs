//! `GET /v1/sessions/{sid}`: a session's state, with an entity tag, and a wait until it is another one.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use ssf_common::runtime::config::Span;

use super::check::Reply;
use super::extract::Asked;
use super::point::asked_by;
use super::{ApiError, ApiState};
use crate::session::{Binding, Sid};
use crate::validity::Question;

/// The query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// How long to wait for another state than the one of `If-None-Match`, such as `30s`; longer than
    /// `watch.longest_wait` is cut to that.
    wait: Option<String>,
    /// `dpop` or `mtls` if a proof of it was verified on the request that this is asked for; `bearer` if absent.
    #[serde(default)]
    binding: Binding,
}

/// Its state; 200 with the state `unknown` if there is no such session. With `If-None-Match` 304 while it is still the
/// same; with `wait` as well, only after that time, and 200 as soon as it is another. A wait that finds no room is
/// answered at once.
pub(super) async fn show(
    State(api): State<ApiState>,
    sid: Sid,
    Asked(asked): Asked<Wait>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wait = asked.wait.as_deref().map(span).transpose()?.unwrap_or_default().min(api.longest_wait);
    let known: Vec<&HeaderValue> = headers.get_all(header::IF_NONE_MATCH).iter().collect();
    let question = Question::Named(sid.clone(), asked.binding);
    // Before the look: what changes after it is heard of.
    let waiting = if wait.is_zero() || known.is_empty() { None } else { api.waits.join(&sid) };
    let validity = asked_by(&api, &headers, None)?;
    let quiet = validity.clone().unwitnessed();
    let shown = Shown::of(Reply::new(Some(sid.clone()), &validity.check(&question).await?));
    let Some(mut waiting) = waiting.filter(|_| shown.is_known(&known)) else { return Ok(shown.answer(&known)) };
    let changed = async {
        while waiting.next().await.is_some() {
            // as this one asks, which need not be as the others do
            match quiet.check(&question).await {
                Ok(answer) if !Shown::of(Reply::new(Some(sid.clone()), &answer)).is_known(&known) => return true,
                _ => {}
            }
        }
        false
    };
    match tokio::time::timeout(wait, changed).await {
        // The service stops.
        Ok(false) => Ok(shown.answer(&known)),
        // Whatever is answered now is what this enforcement point was told last.
        _ => Ok(Shown::of(Reply::new(Some(sid.clone()), &validity.check(&question).await?)).answer(&known)),
    }
}

/// An answer and its tag.
struct Shown {
    reply: Reply,
    tag: String,
}

impl Shown {
    /// Everything but the time of the answer makes the tag. It is a weak one (RFC 9110 §8.8.1): two answers of the same
    /// tag differ in `as_of` and the ages.
    fn of(reply: Reply) -> Self {
        let mut said = serde_json::to_value(&reply).unwrap_or_default();
        if let Value::Object(said) = &mut said {
            for member in ["as_of", "feed_age_ms", "issuer_age_ms"] {
                said.remove(member);
            }
        }
        let digest = Sha256::digest(said.to_string().as_bytes());
        Self { reply, tag: format!("W/\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..16])) }
    }

    /// By the weak comparison that `If-None-Match` asks for (RFC 9110 §13.1.2).
    fn is_known(&self, known: &[&HeaderValue]) -> bool {
        let bare = self.tag.trim_start_matches("W/");
        let tags = known.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        tags.map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == bare)
    }

    fn answer(self, known: &[&HeaderValue]) -> Response {
        let is_known = self.is_known(known);
        let headers = [(header::ETAG, self.tag), (header::CACHE_CONTROL, "no-cache".to_owned())];
        if is_known {
            (StatusCode::NOT_MODIFIED, headers).into_response()
        } else {
            (headers, Json(self.reply)).into_response()
        }
    }
}

fn span(text: &str) -> Result<Duration, ApiError> {
    let wrong = |_| ApiError::InvalidRequest("wait: must be a time such as 30s".to_owned());
    text.parse::<Span>().map(Span::duration).map_err(wrong)
}
