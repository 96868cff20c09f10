//! Windows that were missed, each with the leg of the road that took longest.

use serde::Serialize;
use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use utoipa::ToSchema;

use super::dead_letters::NotACursor;
use super::events::END_OF_TIME;
use super::page::{Page, looked_for};
use crate::backlog::breach::{SlowestLeg, Times};
use crate::backlog::store::breaches::{self as store, Row};
use crate::delivery::DeliveryId;
use crate::issuer::Issuer;
use crate::outbox::{EventId, Lane};
use crate::stream::StreamKey;

/// A delivery that missed its window. Durations in milliseconds since the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Breach {
    /// `jti` of its SET.
    pub jti: DeliveryId,
    /// To whom; the stream may be gone.
    pub stream_id: StreamKey,
    /// The decision.
    pub event_id: EventId,
    /// Type URI.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The lane it was in.
    pub lane: Lane,
    /// The decision's time.
    pub occurred_at: Timestamp,
    /// The window it missed.
    pub window_ms: u64,
    /// When it was settled; absent while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
    /// acknowledged, refused, expired or discarded; absent while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// How long it took, or has taken so far.
    pub took_ms: u64,
    /// Which leg took longest.
    pub leg: SlowestLeg,
    /// When it was found.
    pub found_at: Timestamp,
}

/// A place in the order of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreachCursor(Timestamp, DeliveryId);

impl std::fmt::Display for BreachCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0.unix_micros(), self.1)
    }
}

impl std::str::FromStr for BreachCursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (micros, id) = text.split_once('.').ok_or(NotACursor)?;
        let micros = micros.parse().ok().filter(|micros| (0..END_OF_TIME).contains(micros)).ok_or(NotACursor)?;
        Ok(Self(Timestamp::from_unix_micros(micros), id.parse().map_err(|_| NotACursor)?))
    }
}

/// The breaches of an issuer, of one stream if it is named, newest first, behind `after`.
pub async fn list_breaches(
    pool: &PgPool,
    issuer: &Issuer,
    stream: Option<StreamKey>,
    after: Option<BreachCursor>,
    limit: u16,
    env: &Env,
) -> sqlx::Result<Page<Breach>> {
    let before = after
        .map_or((Timestamp::from_unix_micros(END_OF_TIME), DeliveryId(uuid::Uuid::max())), |BreachCursor(at, id)| {
            (at, id)
        });
    let mut conn = pool.acquire().await?;
    let found = store::page(&mut conn, issuer.id, stream, before, looked_for(limit)).await?;
    let now = env.now();
    Ok(Page::of(found, limit, |row| BreachCursor(row.found_at, row.jti).to_string()).map(|row| breach(row, now)))
}

fn breach(row: Row, now: Timestamp) -> Breach {
    let until = row.settled_at.unwrap_or(now);
    let times = Times {
        occurred: row.occurred_at,
        recorded: row.recorded_at,
        fanned_out: row.fanned_out_at,
        taken: row.first_taken_at,
        sent: row.sent_at,
        until,
    };
    Breach {
        jti: row.jti,
        stream_id: row.stream,
        event_id: row.event_id,
        event_type: row.event_type,
        lane: Lane::from_number(row.lane),
        occurred_at: row.occurred_at,
        window_ms: u64::try_from(row.window_ms).unwrap_or(0),
        settled_at: row.settled_at,
        outcome: row.outcome,
        took_ms: u64::try_from(until.since(row.occurred_at).as_millis()).unwrap_or(u64::MAX),
        leg: times.slowest_leg(row.held),
        found_at: row.found_at,
    }
}
