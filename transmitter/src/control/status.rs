//! A stream's status changes (SSF 1.0 §8.1.2): by its receiver, or by the transmitter and those who operate it.

use sqlx::PgConnection;
use ssf_common::event::StreamStatus;
use ssf_common::runtime::Env;

use super::{events, store};
use crate::delivery::DeliveryId;
use crate::delivery::store::{fan_out, upkeep};
use crate::issuer::IssuerId;
use crate::stream::StreamKey;

/// Who changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangedBy {
    /// Its receiver, who knows.
    Receiver,
    /// The transmitter, or who operates it: the receiver is told (§8.1.5).
    Transmitter,
}

/// A change that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// The status before.
    pub from: StreamStatus,
    /// The status now.
    pub to: StreamStatus,
    /// Whether the receiver is told by a stream-updated event.
    pub is_announced: bool,
    /// How many SETs were discarded with it.
    pub discarded: u64,
}

/// Changes the status in the caller's transaction; at its commit every process looks for what may go out now. `None` if the
/// stream is gone.
///
/// *paused* holds what waits and what comes; *enabled* lets it go; *disabled* discards it, also what a fan-out is adding
/// just now. What is on the wire finishes. An announcement is a delivery of its own that no status holds back and that goes
/// before everything else, so the change is in force with the commit and the receiver still hears of it first. While
/// one waits, a change by the receiver is announced as well: the last word it gets is then the true one.
pub(crate) async fn change(
    conn: &mut PgConnection,
    issuer: IssuerId,
    stream: StreamKey,
    to: StreamStatus,
    reason: Option<&str>,
    by: ChangedBy,
    env: &Env,
) -> sqlx::Result<Option<StatusChange>> {
    let now = env.now();
    let mut discarded = 0;
    if to == StreamStatus::Disabled {
        // the bulk of it, before anybody has to wait for us
        discarded += upkeep::discard_waiting(&mut *conn, stream, now).await?;
    }
    let Some(from) = store::set_status(&mut *conn, stream, to, reason, now).await? else { return Ok(None) };
    if to == StreamStatus::Disabled && from != to {
        // a fan-out that took this stream for a living one is waited for; those that follow see what we did
        fan_out::lock(&mut *conn).await?;
        discarded += upkeep::discard_waiting(&mut *conn, stream, now).await?;
    }
    if from == StreamStatus::Disabled && from != to {
        // what was on the wire when it was disabled, and came back, was not held
        discarded += upkeep::discard_waiting(&mut *conn, stream, now).await?;
    }
    let is_announced =
        from != to && (by == ChangedBy::Transmitter || store::has_announcement(&mut *conn, stream).await?);
    if is_announced {
        let event = events::stream_updated(issuer, stream, to, reason, env);
        store::announce(&mut *conn, &event, stream, DeliveryId::new(now, &*env.random)).await?;
    }
    store::ring(conn).await?;
    Ok(Some(StatusChange { from, to, is_announced, discarded }))
}
