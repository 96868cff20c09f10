//! What an operator does: open, close, look.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection as _, PgPool};
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::Env;
use ssf_common::runtime::config::Span;

use super::{Opening, store};
use crate::audit::{self, Actor, Deed};

/// It is not opened for longer than this at once.
pub const LONGEST: Duration = Duration::from_hours(4);

/// Why it was not opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum BreakGlassError {
    /// Nobody here knows the issuer.
    #[error("issuer: no upstream is configured for this issuer")]
    UnknownIssuer,
    /// For too long, or for no time at all.
    #[error("for: must be more than 0 and at most 4h; it can be opened again")]
    Duration,
    /// Nobody would know why.
    #[error("reason: must have 1 to 255 characters, none of them a control character")]
    Reason,
    /// The database did not do it.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

/// Lets the sessions of this issuer go on for a while, whatever its silence and its gaps are. Returns until when.
pub async fn open(
    pool: &PgPool,
    env: &Env,
    issuer: &IssuerUrl,
    lasting: Duration,
    reason: &str,
    actor: &Actor,
) -> Result<Timestamp, BreakGlassError> {
    if lasting.is_zero() || lasting > LONGEST {
        return Err(BreakGlassError::Duration);
    }
    if reason.trim().is_empty() || reason.chars().count() > LONGEST_REASON || reason.contains(char::is_control) {
        return Err(BreakGlassError::Reason);
    }
    if is_nobodys(issuer) {
        return Err(BreakGlassError::UnknownIssuer);
    }
    let now = env.now();
    let until = now.plus(lasting);
    let mut db = pool.acquire().await?;
    let mut tx = db.begin().await?;
    let opening = store::New { until, opened_by: &actor.text(), reason };
    if !store::open(&mut tx, issuer, &opening, now).await? {
        return Err(BreakGlassError::UnknownIssuer);
    }
    let details = json!({"until": until, "reason": reason});
    let deed = Deed { action: "breakglass.open", target: Some(target(issuer)), details };
    audit::record(&mut tx, actor, &deed, now).await?;
    tx.commit().await?;
    tracing::warn!(
        issuer.url = %issuer,
        break_glass.until = %until,
        actor = actor.text(),
        "BREAK-GLASS is opened for {}: the sessions of this issuer are not suspended by silence or gaps",
        Span::from(lasting),
    );
    Ok(until)
}

/// Ends it before its time. `false`: it was not open.
pub async fn close(pool: &PgPool, env: &Env, issuer: &IssuerUrl, actor: &Actor) -> Result<bool, BreakGlassError> {
    if is_nobodys(issuer) {
        return Ok(false);
    }
    let now = env.now();
    let mut db = pool.acquire().await?;
    let mut tx = db.begin().await?;
    if store::close(&mut tx, issuer, &actor.text(), now).await? == 0 {
        return Ok(false);
    }
    let deed = Deed { action: "breakglass.close", target: Some(target(issuer)), details: json!({}) };
    audit::record(&mut tx, actor, &deed, now).await?;
    tx.commit().await?;
    tracing::warn!(issuer.url = %issuer, actor = actor.text(), "break-glass is closed");
    Ok(true)
}

/// Up to `limit` of the times it was opened, the newest first.
pub async fn list(pool: &PgPool, now: Timestamp, limit: i64) -> Result<Vec<Opening>, sqlx::Error> {
    store::list(&mut *pool.acquire().await?, now, limit).await
}

/// PostgreSQL has no text with a NUL, so no issuer has one.
fn is_nobodys(issuer: &IssuerUrl) -> bool {
    issuer.as_str().contains('\0')
}

/// As much of a URL as the audit log takes.
fn target(issuer: &IssuerUrl) -> &str {
    let url = issuer.as_str();
    url.char_indices().nth(LONGEST_REASON).map_or(url, |(end, _)| &url[..end])
}

const LONGEST_REASON: usize = 255;
