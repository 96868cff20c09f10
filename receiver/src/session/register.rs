//! Registering, revalidating and ending a session: the decision is made in `record`, the rows are written in `store`.

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::moment::Moment;

use super::{Described, OriginMovedBack, Sid, store};

/// What a registration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The name was free, or the session of that name had ended.
    New,
    /// The session of that name was brought up to date.
    Again,
}

/// Why a session was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Nobody here listens to the issuer: a session that no event could ever end is refused.
    #[error("issuer: no upstream is configured for this issuer")]
    UnknownIssuer,
    /// See [`OriginMovedBack`].
    #[error(transparent)]
    OriginMovedBack(#[from] OriginMovedBack),
    /// The database did not do it.
    #[error("the session could not be stored")]
    Store(#[from] sqlx::Error),
}

/// Registers a session under a name. A name that is free costs one statement; a taken one is decided under its lock by
/// [`Session::registered_again`](super::Session::registered_again).
pub async fn register(
    pool: &PgPool,
    sid: &Sid,
    described: Described,
    now: Timestamp,
) -> Result<Registered, RegisterError> {
    let mut db = pool.acquire().await?;
    if store::insert(&mut db, sid, &described, now).await?.ok_or(RegisterError::UnknownIssuer)? {
        return Ok(Registered::New);
    }
    let mut tx = sqlx::Connection::begin(&mut *db).await?;
    let known = store::lock(&mut tx, sid).await?.ok_or(sqlx::Error::RowNotFound)?;
    let registered = if known.ended_at.is_some() { Registered::New } else { Registered::Again };
    let described = known.registered_again(described)?;
    if !store::replace(&mut tx, sid, &described, now).await? {
        return Err(RegisterError::UnknownIssuer);
    }
    tx.commit().await?;
    Ok(registered)
}

/// Notes a newer assertion, and a new end if one is given. `false`: there is no such session, or it has ended.
pub async fn revalidated(
    pool: &PgPool,
    sid: &Sid,
    validated: Moment,
    expires_at: Option<Moment>,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let mut db = pool.acquire().await?;
    store::validated(&mut db, sid, validated.first(), expires_at.map(Moment::first), now).await
}

/// The application has ended the session itself.
pub async fn end(pool: &PgPool, sid: &Sid, now: Timestamp) -> Result<bool, sqlx::Error> {
    let mut db = pool.acquire().await?;
    store::end(&mut db, sid, now).await
}
