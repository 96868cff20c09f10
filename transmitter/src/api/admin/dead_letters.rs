//! `/admin/v1/dead-letters`: SETs that were given up: looked at, sent again, or discarded with a reason.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use ssf_common::clock::Timestamp;
use ssf_common::event::{EventType, StreamStatus, Vocabulary};
use ssf_common::subject::Subject;
use utoipa::{IntoParams, ToSchema};

use super::query::{PageQuery, event_type, fit, limit, optional, time, within_reach};
use super::{Admin, ApiError, ApiState, reply};
use crate::admin::{self, Batch, DeadLetter, InspectedDeadLetter, Page, Selection, Which};
use crate::api::body::json_body;
use crate::api::error::Problem;
use crate::api::query::{Named, Params};
use crate::delivery::DeliveryId;
use crate::stream::StreamKey;

/// Which dead letters.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadLetterQuery {
    /// Of this stream.
    #[param(value_type = Option<StreamKey>)]
    stream_id: Option<String>,
    /// Given up then or later (RFC 3339).
    since: Option<String>,
    /// Given up before (RFC 3339).
    until: Option<String>,
    /// With this code, such as `invalid_request` or `expired`.
    code: Option<String>,
    /// Of this type: a short name such as `session-revoked`, or a URI.
    r#type: Option<String>,
}

/// What is to be sent again. `jtis`, or any of the others; never all of an issuer by accident.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayRequest {
    /// These, at most 1000.
    jtis: Option<Vec<DeliveryId>>,
    /// Those of this stream.
    stream_id: Option<StreamKey>,
    /// Those about this subject (RFC 9493): the same JSON, its members in any order. A complex subject is not found by a
    /// part of it.
    #[schema(value_type = Option<Object>)]
    subject: Option<Value>,
    /// Given up then or later.
    since: Option<Timestamp>,
    /// Given up before.
    until: Option<Timestamp>,
    /// With this code; only together with another choice.
    code: Option<String>,
    /// Of this type, by short name or URI; only together with another choice.
    r#type: Option<String>,
    /// Where the batch before ended: its `next`.
    after: Option<String>,
    /// The most at once, 1 to 1000; 100 if left out.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// What is to be discarded, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DiscardRequest {
    /// Why, for the audit log.
    reason: String,
    /// These, at most 1000.
    jtis: Option<Vec<DeliveryId>>,
    /// Those of this stream.
    stream_id: Option<StreamKey>,
    /// Those about this subject, as for a replay.
    #[schema(value_type = Option<Object>)]
    subject: Option<Value>,
    /// Given up then or later.
    since: Option<Timestamp>,
    /// Given up before.
    until: Option<Timestamp>,
    /// With this code; only together with another choice.
    code: Option<String>,
    /// Of this type, by short name or URI; only together with another choice.
    r#type: Option<String>,
    /// Where the batch before ended: its `next`.
    after: Option<String>,
    /// The most at once, 1 to 1000; 100 if left out.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Why one is discarded.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    /// For the audit log.
    reason: String,
}

/// The issuer's dead letters, oldest first: the order in which a replay takes them
///
/// Whom they are about is told only when one is looked at.
#[utoipa::path(get, path = "/dead-letters", tag = "admin: dead letters", operation_id = "listDeadLetters", params(DeadLetterQuery, PageQuery),
    security(("bearer" = ["ssf.admin"])), responses((status = 200, description = "A page of dead letters", body = Page<DeadLetter>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    admin: Admin,
    Params(query): Params<DeadLetterQuery>,
    Params(page): Params<PageQuery>,
) -> Result<Response, ApiError> {
    let selection = Selection {
        stream: optional("stream_id", query.stream_id.as_deref(), "is not the id of a stream")?,
        subject: None,
        since: time("since", query.since.as_deref())?,
        until: time("until", query.until.as_deref())?,
        code: query.code.as_deref().map(|code| fit("code", code)).transpose()?.map(ToOwned::to_owned),
        event_type: event_type(query.r#type.as_deref(), &state.vocabulary)?,
    };
    let (after, limit) = (page.after()?, page.limit()?);
    let found = admin::list_dead_letters(&state.pool, admin.issuer(), &selection, after, limit, &state.env).await?;
    Ok(reply(StatusCode::OK, &found))
}

/// One dead letter: its claims as they would be sent, its failed attempts and the receiver's answers
#[utoipa::path(get, path = "/dead-letters/{jti}", tag = "admin: dead letters", operation_id = "inspectDeadLetter",
    params(("jti" = DeliveryId, Path, description = "jti of its SET")),
    security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "The dead letter", body = InspectedDeadLetter), (status = 404, description = "There is none of this jti, or not any more", body = Problem)))]
pub(super) async fn inspect(
    State(state): State<ApiState>,
    admin: Admin,
    Named(jti): Named,
) -> Result<Response, ApiError> {
    let id = jti.parse().map_err(|_| ApiError::NotFound(NO_DEAD_LETTER))?;
    let claim = state.timeline_claim.as_deref();
    let found = admin::inspect_dead_letter(&state.pool, admin.issuer(), id, &state.vocabulary, claim).await?;
    Ok(reply(StatusCode::OK, &found.ok_or(ApiError::NotFound(NO_DEAD_LETTER))?))
}

/// Sends one dead letter again: the same SET, with its jti, iat and txn
#[utoipa::path(post, path = "/dead-letters/{jti}/replay", tag = "admin: dead letters", operation_id = "replayDeadLetter",
    params(("jti" = DeliveryId, Path, description = "jti of its SET")),
    security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 200, description = "It waits to be sent", body = Batch),
        (status = 404, description = "There is none of this jti, or not any more", body = Problem),
        (status = 409, description = "Its stream is disabled, or it is old news of the stream itself", body = Problem)))]
pub(super) async fn replay(
    State(state): State<ApiState>,
    admin: Admin,
    Named(jti): Named,
) -> Result<Response, ApiError> {
    let id = jti.parse().map_err(|_| ApiError::NotFound(NO_DEAD_LETTER))?;
    let which = Which::Ids(vec![id]);
    let batch = admin::replay_dead_letters(&state.pool, admin.issuer(), which, &admin.actor, &state.env).await?;
    if batch.done == 0 {
        let claim = state.timeline_claim.as_deref();
        let there = admin::inspect_dead_letter(&state.pool, admin.issuer(), id, &state.vocabulary, claim).await?;
        return Err(match there {
            None => ApiError::NotFound(NO_DEAD_LETTER),
            Some(there) if is_of_stream(&there.dead_letter.event_type, &state.vocabulary) => ApiError::Conflict(
                "it told how the stream was, and would be old news; what is true now, a change of its status tells"
                    .to_owned(),
            ),
            Some(_) => disabled(),
        });
    }
    Ok(reply(StatusCode::OK, &batch))
}

/// Sends dead letters again, chosen by id, stream, time or subject, in batches
///
/// One call does one batch in one transaction, oldest first; `next` of the answer is `after` of the call that goes on.
/// What dies after the first call is not chosen, so going on comes to an end. Each SET keeps its jti, iat and txn, and
/// waits in its old place among what its subject has waiting. Those of disabled streams are left, and so are verification
/// and stream-updated events, which are old news.
#[utoipa::path(post, path = "/dead-letters/replay", tag = "admin: dead letters", operation_id = "replayDeadLetters",
    request_body = ReplayRequest, security(("bearer" = ["ssf.admin"])),
    responses(
        (status = 200, description = "How many wait to be sent, and whether there are more", body = Batch),
        (status = 404, description = "There is no such stream", body = Problem),
        (status = 409, description = "The stream is disabled", body = Problem)))]
pub(super) async fn replay_many(
    State(state): State<ApiState>,
    admin: Admin,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: ReplayRequest = json_body(&body)?;
    let stream = request.stream_id;
    let which = request.which(&state)?;
    if let Some(stream) = stream {
        let status = admin::stream_status(&state.pool, admin.issuer(), stream).await?;
        if status.ok_or(ApiError::NotFound(NO_STREAM))? == StreamStatus::Disabled {
            return Err(disabled());
        }
    }
    let batch = admin::replay_dead_letters(&state.pool, admin.issuer(), which, &admin.actor, &state.env).await?;
    Ok(reply(StatusCode::OK, &batch))
}

/// Discards one dead letter with a reason
#[utoipa::path(post, path = "/dead-letters/{jti}/discard", tag = "admin: dead letters", operation_id = "discardDeadLetter",
    params(("jti" = DeliveryId, Path, description = "jti of its SET")), request_body = Reason,
    security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "It is gone", body = Batch), (status = 404, description = "There is none of this jti, or not any more", body = Problem)))]
pub(super) async fn discard(
    State(state): State<ApiState>,
    admin: Admin,
    Named(jti): Named,
    body: Bytes,
) -> Result<Response, ApiError> {
    let Reason { reason } = json_body(&body)?;
    let (reason, which) = (fit("reason", &reason)?, jti.parse().map(|id| Which::Ids(vec![id])));
    let which = which.map_err(|_| ApiError::NotFound(NO_DEAD_LETTER))?;
    let done =
        admin::discard_dead_letters(&state.pool, admin.issuer(), which, reason, &admin.actor, &state.env).await?;
    if done.done == 0 {
        return Err(ApiError::NotFound(NO_DEAD_LETTER));
    }
    Ok(reply(StatusCode::OK, &done))
}

/// Discards dead letters with a reason, chosen as for a replay, in batches
///
/// The history keeps how they ended, the audit log who discarded them and why.
#[utoipa::path(post, path = "/dead-letters/discard", tag = "admin: dead letters", operation_id = "discardDeadLetters",
    request_body = DiscardRequest, security(("bearer" = ["ssf.admin"])),
    responses((status = 200, description = "How many are gone, and whether there are more", body = Batch)))]
pub(super) async fn discard_many(
    State(state): State<ApiState>,
    admin: Admin,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: DiscardRequest = json_body(&body)?;
    let reason = fit("reason", &request.reason)?.to_owned();
    let which = request.chosen().which(&state)?;
    let done =
        admin::discard_dead_letters(&state.pool, admin.issuer(), which, &reason, &admin.actor, &state.env).await?;
    Ok(reply(StatusCode::OK, &done))
}

impl ReplayRequest {
    fn which(self, state: &ApiState) -> Result<Which, ApiError> {
        let others = [self.stream_id.is_some(), self.subject.is_some(), self.since.is_some(), self.until.is_some()];
        let narrows = self.code.is_some() || self.r#type.is_some() || self.after.is_some() || self.limit.is_some();
        match self.jtis {
            Some(_) if others.contains(&true) || narrows => {
                return Err(ApiError::invalid("jtis stands alone; leave the other members out"));
            }
            Some(jtis) if (1..=usize::from(admin::MAX_PAGE)).contains(&jtis.len()) => return Ok(Which::Ids(jtis)),
            Some(_) => return Err(ApiError::Invalid(format!("jtis must have 1 to {} entries", admin::MAX_PAGE))),
            None if !others.contains(&true) => {
                return Err(ApiError::invalid("say which: jtis, or stream_id, subject, since, until"));
            }
            None => {}
        }
        if self.subject.as_ref().is_some_and(|subject| !is_subject(subject)) {
            return Err(ApiError::invalid("subject is not a subject identifier (RFC 9493)"));
        }
        let selection = Selection {
            stream: self.stream_id,
            subject: self.subject,
            since: within_reach("since", self.since)?,
            until: within_reach("until", self.until)?,
            code: self.code.as_deref().map(|code| fit("code", code)).transpose()?.map(ToOwned::to_owned),
            event_type: event_type(self.r#type.as_deref(), &state.vocabulary)?,
        };
        let after = optional("after", self.after.as_deref(), "is not what a batch gave as next")?;
        Ok(Which::Matching(selection, after, limit(self.limit)?))
    }
}

impl DiscardRequest {
    fn chosen(self) -> ReplayRequest {
        let Self { reason: _, jtis, stream_id, subject, since, until, code, r#type, after, limit } = self;
        ReplayRequest { jtis, stream_id, subject, since, until, code, r#type, after, limit }
    }
}

/// Whether a delivery can be about it; PostgreSQL could not even look for a NUL.
fn is_subject(subject: &Value) -> bool {
    Subject::parse(subject).is_ok() && !subject.to_string().contains("\\u0000")
}

/// Whether it told its receiver how the stream was (SSF 1.0 §8.1.4, §8.1.5): that is not sent again.
fn is_of_stream(uri: &str, vocabulary: &Vocabulary) -> bool {
    [EventType::Verification, EventType::StreamUpdated].iter().any(|known| uri == known.uri(vocabulary))
}

fn disabled() -> ApiError {
    ApiError::Conflict("the stream is disabled: it neither sends nor holds; enable it first".to_owned())
}

const NO_DEAD_LETTER: &str = "there is no such dead letter; it may have been sent again or discarded";
const NO_STREAM: &str = "there is no such stream";
