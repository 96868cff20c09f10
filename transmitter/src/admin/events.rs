//! Decisions as an operator sees them: when, of what type, and what became of each at every stream. Whom a decision is
//! about is not told here.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use utoipa::ToSchema;

use super::dead_letters::NotACursor;
use super::page::{Page, looked_for};
use super::store::events::{self as store, DeliveryRow, Row};
use crate::delivery::DeliveryId;
use crate::issuer::Issuer;
use crate::outbox::{EventId, Lane};
use crate::stream::StreamKey;

/// Which decisions are meant; nothing set means all of the issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSelection {
    /// Recorded then or later.
    pub since: Option<Timestamp>,
    /// Recorded before.
    pub until: Option<Timestamp>,
    /// Of this type URI.
    pub event_type: Option<String>,
    /// Of this cause.
    pub txn: Option<String>,
}

/// A place in the order of recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCursor(Timestamp, EventId);

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.unix_micros(), self.1)
    }
}

impl FromStr for EventCursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (micros, id) = text.split_once('.').ok_or(NotACursor)?;
        let micros = micros.parse().ok().filter(|micros| (0..END_OF_TIME).contains(micros)).ok_or(NotACursor)?;
        Ok(Self(Timestamp::from_unix_micros(micros), id.parse().map_err(|_| NotACursor)?))
    }
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedEvent {
    /// Its id.
    pub event_id: EventId,
    /// Type URI.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The cause it shares with others.
    pub txn: String,
    /// What it may overtake.
    pub lane: Lane,
    /// recorded (not yet fanned out), fanned_out, or rejected: emitted by SQL and not a valid event.
    pub state: String,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejection: Option<String>,
    /// A control event's one stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<StreamKey>,
    /// The decision's time.
    pub occurred_at: Timestamp,
    /// When it was durable.
    pub recorded_at: Timestamp,
    /// When its deliveries were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fanned_out_at: Option<Timestamp>,
    /// How many deliveries were made.
    pub streams: i32,
}

/// A decision with its deliveries.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FollowedEvent {
    /// The decision.
    #[serde(flatten)]
    pub event: ListedEvent,
    /// What became of it at each stream.
    pub deliveries: Page<EventDelivery>,
}

/// One delivery of a decision. Durations count from the decision.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EventDelivery {
    /// `jti` of its SET.
    pub jti: DeliveryId,
    /// To whom.
    pub stream_id: StreamKey,
    /// waiting, leased, acknowledged, refused, expired or discarded.
    pub state: String,
    /// The lane it is in, or left in.
    pub lane: Lane,
    /// How often it was tried.
    pub attempts: i32,
    /// What went wrong last; of a settled one the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The next attempt, or the end of the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// When it was made.
    pub fanned_out_at: Timestamp,
    /// When it was first taken for sending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_taken_at: Option<Timestamp>,
    /// When sending began, in the attempt that settled it; over poll, when it was handed out last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// When it was acknowledged or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
    /// From the decision to the acknowledgement, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
}

/// A page of decisions that were fanned out or rejected, newest first. What is still in the outbox is found by its id.
pub async fn list_events(
    pool: &PgPool,
    issuer: &Issuer,
    selection: &EventSelection,
    after: Option<EventCursor>,
    limit: u16,
) -> sqlx::Result<Page<ListedEvent>> {
    let until = selection.until.unwrap_or(Timestamp::from_unix_micros(END_OF_TIME));
    // nothing that was recorded at `until` counts, so the smallest id is the place
    let before = (until, EventId(uuid::Uuid::nil()));
    let page = store::Page {
        issuer: issuer.id,
        since: selection.since.unwrap_or(Timestamp::EPOCH),
        before: after.map_or(before, |EventCursor(at, id)| (at, id).min(before)),
        event_type: selection.event_type.as_deref(),
        limit: looked_for(limit),
    };
    let mut conn = pool.acquire().await?;
    let found = match &selection.txn {
        Some(txn) => store::of_txn(&mut conn, &page, txn).await?,
        None => store::by_time(&mut conn, &page).await?,
    };
    Ok(Page::of(found, limit, |row| EventCursor(row.recorded_at, row.event_id).to_string()).map(listed))
}

/// One decision and a page of its deliveries. `None` if the issuer has none of this id.
pub async fn follow_event(
    pool: &PgPool,
    issuer: &Issuer,
    event: EventId,
    after: Option<DeliveryId>,
    limit: u16,
) -> sqlx::Result<Option<FollowedEvent>> {
    let mut conn = pool.acquire().await?;
    let Some(row) = store::one(&mut conn, issuer.id, event).await? else { return Ok(None) };
    let after = after.unwrap_or(DeliveryId(uuid::Uuid::nil()));
    let found = store::deliveries(&mut conn, event, after, looked_for(limit)).await?;
    let occurred_at = row.occurred_at;
    let deliveries = Page::of(found, limit, |row| row.id.to_string()).map(|row| delivery(row, occurred_at));
    Ok(Some(FollowedEvent { event: listed(row), deliveries }))
}

fn listed(row: Row) -> ListedEvent {
    ListedEvent {
        event_id: row.event_id,
        event_type: row.event_type,
        txn: row.txn,
        lane: Lane::from_number(row.lane),
        state: row.state,
        rejection: row.rejection,
        stream_id: row.stream,
        occurred_at: row.occurred_at,
        recorded_at: row.recorded_at,
        fanned_out_at: row.fanned_out_at,
        streams: row.streams,
    }
}

fn delivery(row: DeliveryRow, occurred_at: Timestamp) -> EventDelivery {
    let took = row.settled_at.filter(|_| row.state == "acknowledged").map(|at| at.since(occurred_at));
    EventDelivery {
        jti: row.id,
        stream_id: row.stream,
        lane: Lane::from_number(row.lane),
        attempts: row.attempts,
        error: row.error,
        due_at: row.due_at,
        fanned_out_at: row.fanned_out_at,
        first_taken_at: row.first_taken_at,
        sent_at: row.sent_at,
        settled_at: row.settled_at,
        took_ms: took.map(|took| took.as_secs_f64() * 1_000.0),
        state: row.state,
    }
}

/// The last second that RFC 3339 can tell, in microseconds.
pub(super) const END_OF_TIME: i64 = 253_402_300_799_000_000;
