//! Streams as an operator sees them: configuration, how delivery to them goes, and what waits.

use serde::Serialize;
use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::runtime::Env;
use utoipa::ToSchema;

use super::page::{Page, looked_for};
use super::store::streams::{self as store, Row, WaitingRow};
use crate::delivery::DeliveryId;
use crate::issuer::Issuer;
use crate::outbox::{EventId, Lane};
use crate::stream::StreamKey;

/// A stream: its configuration without its secret, and its health.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ListedStream {
    /// Its id on the wire.
    pub stream_id: StreamKey,
    /// Whose it is.
    pub client_id: String,
    /// Whether that client was removed.
    pub client_removed: bool,
    /// enabled transmits, paused holds, disabled does neither.
    pub status: StreamStatus,
    /// Why it has this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// push or poll.
    pub delivery_method: String,
    /// Push: where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// `aud` of its SETs.
    pub audience: Vec<String>,
    /// Type URIs the receiver asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_requested: Option<Vec<String>>,
    /// Type URIs that are sent.
    pub events_delivered: Vec<String>,
    /// The receiver's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its SETs are signed with.
    pub algorithm: String,
    /// How it will be signed, once there is an active key for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm_wanted: Option<String>,
    /// `ALL` but those removed, or `NONE` but those added.
    pub default_subjects: String,
    /// How many subjects were added or removed by name.
    pub subjects: i32,
    /// How many of them were removed from a stream that has all others.
    pub subjects_excluded: i32,
    /// Seconds between two verification requests.
    pub min_verification_interval: i32,
    /// Seconds without activity before it may be paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactivity_timeout: Option<i32>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its configuration or status last changed.
    pub updated_at: Timestamp,
    /// The receiver's last management call or poll.
    pub last_activity_at: Timestamp,
    /// How delivery goes.
    pub health: StreamHealth,
}

/// How delivery to a stream goes.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StreamHealth {
    /// What is not yet settled.
    pub waiting: Waiting,
    /// Push: whether it is sent to at all.
    pub breaker: Breaker,
    /// Push: the last acknowledgement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Timestamp>,
    /// Push: the last acknowledgement that came with another status than 202 (RFC 8935 §2.2): the receiver works, and should
    /// be mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_odd_success_at: Option<Timestamp>,
    /// Push: the last failure that was not one SET's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_at: Option<Timestamp>,
    /// Push: what the receiver answered last, while it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// SETs given up; 10000 means that many or more.
    pub dead_letters: i64,
}

/// What waits on a stream. 10000 in a lane means that many or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Waiting {
    /// In all lanes.
    pub total: i64,
    /// In the lane of what ends access.
    pub urgent: i64,
    /// In the lane of other changes.
    pub prompt: i64,
    /// In the lane of backfills.
    pub bulk: i64,
    /// The decision behind the first of a lane, the oldest of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_decision: Option<Timestamp>,
    /// How long ago that was, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_age_ms: Option<u64>,
}

/// The breaker of a push stream: open while its receiver fails, and then one SET probes at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Breaker {
    /// closed or open.
    pub state: BreakerState,
    /// Failures in a row.
    pub failures: i32,
    /// Open: when one SET may probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

/// Whether a breaker lets SETs through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BreakerState {
    /// It does.
    Closed,
    /// It does not, but for probes.
    Open,
}

/// A delivery that waits.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct WaitingDelivery {
    /// `jti` of its SET.
    pub jti: DeliveryId,
    /// The decision.
    pub event_id: EventId,
    /// Type URI.
    pub event_type: String,
    /// The lane it is in.
    pub lane: Lane,
    /// waiting, or leased by a process that sends it.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// waiting: the next attempt. leased: the end of the lease.
    pub due_at: Timestamp,
    /// The decision's time.
    pub occurred_at: Timestamp,
    /// When it was made.
    pub fanned_out_at: Timestamp,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it was sent again from the dead letters, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed_at: Option<Timestamp>,
}

/// The streams of an issuer by id, behind `after`.
pub async fn list_streams(
    pool: &PgPool,
    issuer: &Issuer,
    after: Option<StreamKey>,
    limit: u16,
    env: &Env,
) -> sqlx::Result<Page<ListedStream>> {
    let from = after.unwrap_or(StreamKey(uuid::Uuid::nil()));
    let found = store::page(&mut *pool.acquire().await?, issuer.id, from, after, looked_for(limit)).await?;
    let now = env.now();
    Ok(Page::of(found, limit, |row| row.key.to_string()).map(|row| listed(row, now)))
}

/// One stream.
pub async fn find_stream(
    pool: &PgPool,
    issuer: &Issuer,
    stream: StreamKey,
    env: &Env,
) -> sqlx::Result<Option<ListedStream>> {
    let found = store::page(&mut *pool.acquire().await?, issuer.id, stream, None, 1).await?;
    let now = env.now();
    Ok(found.into_iter().find(|row| row.key == stream).map(|row| listed(row, now)))
}

/// The status of one stream, if it is the issuer's.
pub async fn stream_status(pool: &PgPool, issuer: &Issuer, stream: StreamKey) -> sqlx::Result<Option<StreamStatus>> {
    crate::stream::store::status_of(&mut *pool.acquire().await?, stream, issuer.id).await
}

/// What waits on a stream in the order in which it is taken, behind the place `after`, as a page named it. `None` if the
/// issuer has no such stream.
pub async fn waiting_deliveries(
    pool: &PgPool,
    issuer: &Issuer,
    stream: StreamKey,
    after: Option<(Lane, i64)>,
    limit: u16,
) -> sqlx::Result<Option<Page<WaitingDelivery>>> {
    let mut conn = pool.acquire().await?;
    if crate::stream::store::status_of(&mut conn, stream, issuer.id).await?.is_none() {
        return Ok(None);
    }
    let after = after.map_or((0, 0), |(lane, seq)| (lane.number(), seq));
    let found = store::waiting(&mut conn, stream, after, looked_for(limit)).await?;
    Ok(Some(Page::of(found, limit, |row| format!("{}.{}", row.lane, row.seq)).map(waiting)))
}

fn listed(row: Row, now: Timestamp) -> ListedStream {
    let state = if row.failures == 0 { BreakerState::Closed } else { BreakerState::Open };
    ListedStream {
        stream_id: row.key,
        client_id: row.client_id,
        client_removed: row.client_removed,
        status: row.status.parse().expect("a CHECK allows only the three statuses"),
        reason: row.status_reason,
        delivery_method: row.delivery_method,
        endpoint_url: row.endpoint_url,
        audience: row.audience,
        events_requested: row.events_requested,
        events_delivered: row.events_delivered,
        description: row.description,
        algorithm: row.algorithm,
        algorithm_wanted: row.algorithm_wanted,
        default_subjects: row.default_subjects,
        subjects: row.subjects,
        subjects_excluded: row.subjects_excluded,
        min_verification_interval: row.min_verification_interval_s,
        inactivity_timeout: row.inactivity_timeout_s,
        created_at: row.created_at,
        updated_at: row.updated_at,
        last_activity_at: row.last_activity_at,
        health: StreamHealth {
            waiting: Waiting {
                total: row.urgent + row.prompt + row.bulk,
                urgent: row.urgent,
                prompt: row.prompt,
                bulk: row.bulk,
                oldest_decision: row.oldest_decision,
                oldest_age_ms: row.oldest_decision.map(|at| now.since(at).as_millis().try_into().unwrap_or(u64::MAX)),
            },
            breaker: Breaker { state, failures: row.failures, retry_at: row.retry_at },
            last_success_at: row.last_success_at,
            last_odd_success_at: row.odd_success_at,
            last_failure_at: row.last_failure_at,
            last_error: row.trouble,
            dead_letters: row.dead_letters,
        },
    }
}

fn waiting(row: WaitingRow) -> WaitingDelivery {
    WaitingDelivery {
        jti: row.id,
        event_id: row.event_id,
        event_type: row.event_type,
        lane: Lane::from_number(row.lane),
        state: row.state,
        attempts: row.attempts,
        due_at: row.due_at,
        occurred_at: row.occurred_at,
        fanned_out_at: row.fanned_out_at,
        last_error: row.last_error,
        replayed_at: row.retained_since,
    }
}
