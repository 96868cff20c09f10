//! What an operator does to a stream: its status, and a verification nobody asked for.

use serde_json::json;
use sqlx::{PgConnection, PgPool};
use ssf_common::event::StreamStatus;
use ssf_common::runtime::Env;
use ssf_common::runtime::config::Level;

use crate::audit::{self, Actor, Deed};
use crate::control::{self, ChangedBy, StatusChange, Unsolicited};
use crate::issuer::Issuer;
use crate::stream::{StreamKey, store};

/// Sets a stream's status and tells its receiver by a stream-updated event, which goes out before everything else and
/// whatever the status is (SSF 1.0 §8.1.5). Disabling discards what waits. The present status may be set again, for
/// another reason; nobody is told then.
pub async fn set_stream_status(
    pool: &PgPool,
    issuer: &Issuer,
    stream: StreamKey,
    status: StreamStatus,
    reason: Option<&str>,
    actor: &Actor,
    env: &Env,
) -> Result<StatusChange, StreamError> {
    if reason.is_some_and(|reason| !control::is_fit_reason(reason)) {
        return Err(StreamError::Reason);
    }
    let mut tx = pool.begin().await?;
    must_live(&mut tx, issuer, stream).await?;
    let change = control::change(&mut tx, issuer.id, stream, status, reason, ChangedBy::Transmitter, env).await?;
    let change = change.ok_or(StreamError::NotFound)?;
    let details = json!({"from": change.from, "to": status, "reason": reason, "discarded": change.discarded});
    let deed = Deed { actor, action: "stream.status_set", target: stream.to_string(), details };
    audit::record(&mut tx, issuer.id, &deed, env.now()).await?;
    tx.commit().await?;
    Ok(change)
}

/// Sends a verification event nobody asked for (SSF 1.0 §8.1.4), unless the last one is not settled.
pub async fn verify_stream(
    pool: &PgPool,
    issuer: &Issuer,
    stream: StreamKey,
    actor: &Actor,
    env: &Env,
) -> Result<Unsolicited, StreamError> {
    let mut tx = pool.begin().await?;
    must_live(&mut tx, issuer, stream).await?;
    let done = control::verify_unsolicited(&mut tx, stream, env).await?.ok_or(StreamError::NotFound)?;
    if let Unsolicited::Recorded(event_id) = done {
        let details = json!({ "event_id": event_id });
        let deed = Deed { actor, action: "stream.verified", target: stream.to_string(), details };
        audit::record(&mut tx, issuer.id, &deed, env.now()).await?;
    }
    tx.commit().await?;
    Ok(done)
}

/// Sets whose windows hold on a stream; `None`: as the service is configured.
pub async fn set_stream_level(
    pool: &PgPool,
    issuer: &Issuer,
    stream: StreamKey,
    level: Option<Level>,
    actor: &Actor,
    env: &Env,
) -> Result<(), StreamError> {
    let mut tx = pool.begin().await?;
    must_live(&mut tx, issuer, stream).await?;
    store::set_level(&mut tx, stream, level, env.now()).await?;
    let details = json!({ "level": level });
    let deed = Deed { actor, action: "stream.level_set", target: stream.to_string(), details };
    audit::record(&mut tx, issuer.id, &deed, env.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// Why nothing was done to a stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// None of this id at this issuer, or its receiver was removed.
    #[error("there is no such stream, or its receiver was removed")]
    NotFound,
    /// The reason cannot be kept.
    #[error("the reason is longer than 1000 characters or has a NUL")]
    Reason,
    /// The database did not answer.
    #[error("the stream could not be changed")]
    Database(#[from] sqlx::Error),
}

async fn must_live(conn: &mut PgConnection, issuer: &Issuer, stream: StreamKey) -> Result<(), StreamError> {
    if store::is_living(conn, issuer.id, stream).await? { Ok(()) } else { Err(StreamError::NotFound) }
}
