//! `/events`: the producer's door. One decision, an array of them, or NDJSON; 202 only after the commit.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ssf_common::clock::Timestamp;
use ssf_common::id::Txn;
use utoipa::ToSchema;

use super::ApiState;
use super::auth::Caller;
use super::body::{json, json_body};
use super::error::{ApiError, Problem};
use super::query::Named;
use crate::client::{ClientKey, Scope};
use crate::delivery::store::progress::{DeliveryProgress, of_event};
use crate::issuer::IssuerId;
use crate::outbox::{BatchId, Draft, EventId, NewBatch, NewEvent, store};
use crate::timeline;

/// Hands in decisions: one object, an array, or NDJSON
///
/// 202 comes after the commit. All of a batch are recorded, or none. With `Idempotency-Key` the same request gives the
/// same answer for a day. Members beside those named here belong to the event.
#[utoipa::path(post, path = "/events", tag = "events", operation_id = "recordEvents",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    request_body(description = "One decision, an array, or one per line (application/x-ndjson)", content((HandedIn = "application/json"), (Draft = "application/x-ndjson"))),
    security(("bearer" = ["ssf.emit"])),
    responses(
        (status = 202, description = "Recorded", body = Recorded),
        (status = 409, description = "The Idempotency-Key was used for another request", body = Problem)))]
pub(super) async fn record(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Emit)?.client;
    let is_ndjson = headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/x-ndjson"));
    let handed_in = HandedIn::read(&body, is_ndjson)?;
    let (is_batch, mut events) = handed_in.check(&state, client.issuer_id)?;
    let batch = is_batch.then(|| {
        let id = BatchId::new(state.env.now(), &*state.env.random);
        for event in &mut events {
            event.batch = Some(id);
        }
        NewBatch { id, issuer: client.issuer_id, portion: 0, announced: None }
    });
    let answer = answer(&events, batch.map(|batch| batch.id));
    match headers.get("idempotency-key") {
        None => state.recorder.record(events, batch).await?,
        Some(key) => {
            let key = key.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
            let key =
                key.ok_or_else(|| ApiError::invalid("Idempotency-Key must be 1 to 255 visible ASCII characters"))?;
            if let Some(earlier) = record_once(&state, client.key, key, &body, &answer, &events, batch).await? {
                return Ok((StatusCode::ACCEPTED, Json(earlier)).into_response());
            }
        }
    }
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Where a decision stands, in how many streams, and which was slowest
#[utoipa::path(get, path = "/events/{event_id}", tag = "events", operation_id = "readProgress",
    params(("event_id" = EventId, Path, description = "Which decision")),
    security(("bearer" = ["ssf.emit"])),
    responses((status = 200, description = "Its progress", body = Progress), (status = 404, description = "There is no such event", body = Problem)))]
pub(super) async fn progress(
    State(state): State<ApiState>,
    caller: Caller,
    Named(event_id): Named,
) -> Result<Response, ApiError> {
    let client = caller.with(Scope::Emit)?.client;
    let event_id: EventId = event_id.parse().map_err(|_| ApiError::NotFound(NO_EVENT))?;
    let mut conn = state.pool.acquire().await?;
    let event = store::progress(&mut conn, client.issuer_id, event_id).await?.ok_or(ApiError::NotFound(NO_EVENT))?;
    let deliveries = of_event(&mut conn, event_id).await?;
    Ok(Json(Progress::of(event_id, event, &deliveries, state.env.now())).into_response())
}

/// The body of `GET /events/{event_id}`. Times in RFC 3339, durations in milliseconds since the decision.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Progress {
    /// Its id.
    event_id: EventId,
    /// The cause.
    txn: Txn,
    /// Type URI.
    #[serde(rename = "type")]
    event_type: String,
    /// recorded, fanned_out, rejected.
    state: String,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection: Option<String>,
    /// The decision's time.
    occurred_at: Timestamp,
    /// When it was durable.
    recorded_at: Timestamp,
    /// When its deliveries were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    fanned_out_at: Option<Timestamp>,
    /// How many streams wanted it.
    streams: i32,
    /// How many have it.
    delivered: usize,
    /// How many wait for it.
    pending: usize,
    /// How many will not get it by themselves: refused, expired, discarded.
    refused: usize,
    /// Who took longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    slowest: Option<Slowest>,
    /// How many receivers told that they have enforced it.
    enforced: usize,
    /// How many of them say that their window was not kept.
    breached: usize,
    /// What they told, the slowest first, at most 100.
    receipts: Vec<Told>,
}

/// One receiver's word on a decision.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Told {
    /// Whose.
    stream_id: String,
    /// From the decision to its acknowledgement, on our clock alone.
    acknowledged_ms: f64,
    /// From the decision to its enforcement: the receiver's clock minus the decision's, off by as much as they are apart.
    enforced_ms: f64,
    /// kept or breached: its own judgement.
    outcome: String,
}

/// The slowest delivery of a decision.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Slowest {
    /// To whom.
    stream_id: String,
    /// So far, if it is still pending.
    ms: f64,
    /// Whether it still is.
    pending: bool,
    /// How often it was tried.
    attempts: i32,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Progress {
    fn of(event_id: EventId, event: store::Progress, deliveries: &[DeliveryProgress], now: Timestamp) -> Self {
        let with = |outcome: Option<&str>| deliveries.iter().filter(|d| d.outcome.as_deref() == outcome).count();
        let delivered = with(Some("acknowledged"));
        let pending = with(None);
        let slowest =
            deliveries.iter().max_by_key(|delivery| delivery.settled_at.unwrap_or(now)).map(|delivery| Slowest {
                stream_id: delivery.stream.to_string(),
                ms: delivery.settled_at.unwrap_or(now).since(event.occurred_at).as_secs_f64() * 1_000.0,
                pending: delivery.outcome.is_none(),
                attempts: delivery.attempts,
                error: delivery.error.clone(),
            });
        Self {
            event_id,
            txn: event.txn.into(),
            event_type: event.event_type,
            state: event.state,
            rejection: event.rejection,
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
            fanned_out_at: event.fanned_out_at,
            streams: event.streams,
            delivered,
            pending,
            refused: deliveries.len() - delivered - pending,
            slowest,
            enforced: deliveries.iter().filter(|delivery| delivery.enforcement.is_some()).count(),
            breached: deliveries.iter().filter(|d| d.enforcement.as_deref() == Some("breached")).count(),
            receipts: Told::slowest_of(deliveries, event.occurred_at),
        }
    }
}

impl Told {
    fn slowest_of(deliveries: &[DeliveryProgress], decided: Timestamp) -> Vec<Self> {
        let ms = |at: Timestamp| timeline::between_ms(decided, at);
        let told = deliveries.iter().filter_map(|delivery| {
            Some(Self {
                stream_id: delivery.stream.to_string(),
                acknowledged_ms: ms(delivery.settled_at?),
                enforced_ms: ms(delivery.enforced_at?),
                outcome: delivery.enforcement.clone()?,
            })
        });
        let mut told: Vec<Self> = told.collect();
        told.sort_by(|a, b| b.enforced_ms.total_cmp(&a.enforced_ms));
        told.truncate(MOST_TOLD);
        told
    }
}

/// What a producer gets back.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Recorded {
    /// One decision.
    One(RecordedEvent),
    /// A batch, in its order.
    Many {
        /// The batch they make up: `GET /batches/{batch_id}` says how it stands.
        batch_id: BatchId,
        /// One each.
        events: Vec<RecordedEvent>,
    },
}

/// A decision that was recorded.
#[derive(Serialize, ToSchema)]
pub(super) struct RecordedEvent {
    /// Its id.
    event_id: EventId,
    /// The cause, the same in every SET of it.
    txn: Txn,
}

/// One decision, or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum HandedIn {
    /// An array, or one per line.
    Many(Vec<Draft>),
    /// One object.
    One(Box<Draft>),
}

impl HandedIn {
    fn read(body: &[u8], is_ndjson: bool) -> Result<Self, ApiError> {
        if is_ndjson {
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
            let drafts = lines.enumerate().map(|(at, line)| {
                serde_json::from_slice(line).map_err(|_| {
                    ApiError::Invalid(format!("line {} is not an event: a JSON object with type and subject", at + 1))
                })
            });
            return drafts.collect::<Result<_, _>>().map(Self::Many);
        }
        // an array is read as one, so that its error names the place
        let is_array = body.trim_ascii_start().first() == Some(&b'[');
        if is_array { json(body).map(Self::Many) } else { json_body(body).map(|draft| Self::One(Box::new(draft))) }
    }

    fn check(self, state: &ApiState, issuer: IssuerId) -> Result<(bool, Vec<NewEvent>), ApiError> {
        match self {
            Self::One(draft) => Ok((false, vec![draft.check(issuer, &state.vocabulary, &state.env)?])),
            Self::Many(drafts) if drafts.is_empty() => Err(ApiError::invalid("the batch is empty")),
            Self::Many(drafts) if drafts.len() > state.max_batch => {
                Err(ApiError::Invalid(format!("the batch has more than {} events", state.max_batch)))
            }
            Self::Many(drafts) => {
                let events = drafts.into_iter().enumerate().map(|(at, draft)| {
                    let checked = draft.check(issuer, &state.vocabulary, &state.env);
                    checked.map_err(|error| ApiError::Invalid(format!("event {} of the batch: {error}", at + 1)))
                });
                Ok((true, events.collect::<Result<_, _>>()?))
            }
        }
    }
}

fn answer(events: &[NewEvent], batch: Option<BatchId>) -> Value {
    let one = |event: &NewEvent| RecordedEvent { event_id: event.event_id, txn: event.txn.clone() };
    json!(match (events, batch) {
        (events, Some(batch_id)) => Recorded::Many { batch_id, events: events.iter().map(one).collect() },
        ([event, ..], None) => Recorded::One(one(event)),
        ([], None) => return Value::Null,
    })
}

/// Records under an idempotency key, in one transaction with it. `Some` is the answer of the earlier request.
async fn record_once(
    state: &ApiState,
    client: ClientKey,
    key: &str,
    body: &[u8],
    answer: &Value,
    events: &[NewEvent],
    batch: Option<NewBatch>,
) -> Result<Option<Value>, ApiError> {
    let digest = Sha256::digest(body);
    let now = state.env.now();
    let mut tx = state.pool.begin().await?;
    if let Some((earlier_digest, earlier_answer)) = store::claim_key(&mut tx, client, key, &digest, answer, now).await?
    {
        return if earlier_digest[..] == digest[..] {
            Ok(Some(earlier_answer))
        } else {
            Err(ApiError::Conflict("this Idempotency-Key was used for another request".to_owned()))
        };
    }
    if let Some(batch) = &batch {
        store::begin_portion(&mut tx, batch, events.len(), now).await?;
    }
    store::insert(&mut tx, events, now).await?;
    tx.commit().await?;
    state.fan_out.wake();
    Ok(None)
}

const MAX_KEY: usize = 255;
const MOST_TOLD: usize = 100;
const NO_EVENT: &str = "there is no such event";
