//! `/v1/check`: is this session or token still good?

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ssf_common::clock::Timestamp;

use super::extract::{Body, checked, within};
use super::point::asked_by;
use super::{ApiError, ApiState};
use crate::config::BindingClass;
use crate::session::{Binding, Description, Sid};
use crate::validity::{Answer, Question, Reason, State as SessionState};

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reply {
    /// The session asked for; absent if it was described.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<Sid>,
    /// `active`, `revalidate_required`, `revoked` or `unknown`.
    state: SessionState,
    /// Why; absent when active.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// Whose windows hold for it: `bearer` or `bound`.
    class: BindingClass,
    /// Everything committed here until then was taken into account.
    as_of: Timestamp,
    /// Whether what is known of the issuer is older than it should be.
    stale: bool,
    /// How old the newest look at what was committed here is.
    #[serde(skip_serializing_if = "Option::is_none")]
    feed_age_ms: Option<u64>,
    /// How long ago the issuer was last heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_age_ms: Option<u64>,
    /// An operator lets the sessions of this issuer go on, whatever its silence and its gaps are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    break_glass: bool,
    /// The assertion that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Timestamp>,
    /// Its newest assertion.
    #[serde(skip_serializing_if = "Option::is_none")]
    validated: Option<Timestamp>,
    /// Its own end.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

impl Reply {
    pub(super) fn new(sid: Option<Sid>, answer: &Answer) -> Self {
        let asserted = answer.asserted;
        Self {
            sid,
            state: answer.verdict.state,
            reason: answer.verdict.reason,
            class: answer.class,
            as_of: answer.as_of,
            stale: answer.is_stale,
            feed_age_ms: answer.touch.map(|touch| in_ms(touch.feed_age)),
            issuer_age_ms: answer.touch.and_then(|touch| touch.issuer_age).map(in_ms),
            break_glass: answer.touch.is_some_and(|touch| touch.is_overridden),
            origin: asserted.map(|a| a.assertions.origin),
            validated: asserted.map(|a| a.assertions.validated),
            expires_at: asserted.and_then(|a| a.expires_at),
        }
    }
}

/// `POST /v1/check`: `{"sid": …}`, with `binding` if a proof of it was verified on this request, or a [`Description`] of a
/// session or token that is not registered; with `enforcement_point` beside it, who asks.
pub(super) async fn one(
    State(api): State<ApiState>,
    headers: HeaderMap,
    Body(mut asked): Body<Value>,
) -> Result<Json<Reply>, ApiError> {
    let point = asked.as_object_mut().and_then(|members| members.remove("enforcement_point"));
    let validity = asked_by(&api, &headers, point.as_ref())?;
    let question = question(&api, &asked, api.env.now())?;
    let answer = validity.check(&question).await?;
    Ok(Json(reply(question, &answer)))
}

/// The body of `POST /v1/check/batch`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// Up to 1,000 questions, each as for `POST /v1/check`.
    checks: Vec<Value>,
    /// Who asks.
    enforcement_point: Option<Value>,
}

/// The answers to a batch.
#[derive(Debug, Serialize)]
pub(super) struct Replies {
    /// All of them were judged on what was committed here until then.
    as_of: Timestamp,
    /// In the order of the questions.
    results: Vec<Reply>,
}

/// `POST /v1/check/batch`: many questions, answered on one snapshot.
pub(super) async fn batch(
    State(api): State<ApiState>,
    headers: HeaderMap,
    Body(Batch { checks, enforcement_point }): Body<Batch>,
) -> Result<Json<Replies>, ApiError> {
    let validity = asked_by(&api, &headers, enforcement_point.as_ref())?;
    if checks.len() > MAX_CHECKS {
        return Err(ApiError::InvalidRequest(format!("checks: at most {MAX_CHECKS} are answered at once")));
    }
    let now = api.env.now();
    let read = (0_usize..).zip(checks).map(|(place, asked)| {
        if !asked.is_object() {
            return Err(ApiError::InvalidRequest(format!("checks[{place}]: must be a JSON object")));
        }
        question(&api, &asked, now).map_err(|error| ApiError::InvalidRequest(format!("checks[{place}].{error}")))
    });
    let questions: Vec<Question> = read.collect::<Result<_, _>>()?;
    let answers = validity.check_all(&questions).await?;
    let as_of = answers.first().map_or(now, |answer| answer.as_of);
    let results = questions.into_iter().zip(&answers).map(|(question, answer)| reply(question, answer)).collect();
    Ok(Json(Replies { as_of, results }))
}

fn question(api: &ApiState, asked: &Value, now: Timestamp) -> Result<Question, ApiError> {
    if asked.get("sid").is_some() {
        let Named { sid, binding } = within(asked)?;
        return Ok(Question::Named(checked(sid)?, binding));
    }
    let description: Description = within(asked)?;
    Ok(Question::Described(description.read(&api.keyring, now)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    sid: Sid,
    /// By what the request in question was shown to be its sender's.
    #[serde(default)]
    binding: Binding,
}

fn reply(question: Question, answer: &Answer) -> Reply {
    match question {
        Question::Named(sid, _) => Reply::new(Some(sid), answer),
        Question::Described(_) => Reply::new(None, answer),
    }
}

fn in_ms(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

const MAX_CHECKS: usize = 1_000;
