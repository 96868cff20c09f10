//! Issuers: the rows in whose name this service speaks.

use serde_json::json;
use sqlx::{PgConnection, PgPool};
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::Env;

use super::page::{Page, looked_for};
use crate::audit::{self, Actor, Deed};
use crate::config::check_issuer_url;
use crate::issuer::{Issuer, IssuerId, OwnDefaults, store};
use crate::keys::{KeyRingError, SealingKey, ensure_active};
use crate::tenant::Endpoints;

/// Makes sure the issuer has a row, so that clients can be added before the first start.
pub async fn ensure_issuer(pool: &PgPool, url: &IssuerUrl, actor: &Actor, env: &Env) -> sqlx::Result<Issuer> {
    let now = env.now();
    let mut tx = pool.begin().await?;
    let is_new = store::add(&mut tx, url, IssuerId::new(now, &*env.random), now).await?;
    let issuer = store::find(&mut tx, url).await?.ok_or(sqlx::Error::RowNotFound)?;
    if is_new {
        note_added(&mut tx, &issuer, actor, env).await?;
    }
    tx.commit().await?;
    Ok(issuer)
}

/// The issuer of this URL, if it is served.
pub async fn find_issuer(pool: &PgPool, url: &IssuerUrl) -> sqlx::Result<Option<Issuer>> {
    store::find(&mut *pool.acquire().await?, url).await
}

/// All issuers that are served.
pub async fn list_issuers(pool: &PgPool) -> sqlx::Result<Vec<Issuer>> {
    store::served(&mut *pool.acquire().await?).await
}

/// A page of the issuers that are served, by birth, behind `after`.
pub async fn page_issuers(pool: &PgPool, after: Option<IssuerId>, limit: u16) -> sqlx::Result<Page<Issuer>> {
    let from = after.unwrap_or(IssuerId(uuid::Uuid::nil()));
    let found = store::page(&mut *pool.acquire().await?, from, after, looked_for(limit)).await?;
    Ok(Page::of(found, limit, |issuer| issuer.id.to_string()))
}

/// The issuer of this row, if it is served.
pub async fn issuer_of_id(pool: &PgPool, id: IssuerId) -> sqlx::Result<Option<Issuer>> {
    let found = store::page(&mut *pool.acquire().await?, id, None, 1).await?;
    Ok(found.into_iter().find(|issuer| issuer.id == id))
}

/// Gives an issuer the defaults for its new streams that `change` makes of those it has, and a first key of the algorithm
/// if it has none. `None` if it is not served.
pub async fn update_issuer(
    pool: &PgPool,
    issuer: IssuerId,
    change: impl FnOnce(&OwnDefaults) -> OwnDefaults,
    sealing: &SealingKey,
    actor: &Actor,
    env: &Env,
) -> Result<Option<Issuer>, AddIssuerError> {
    let now = env.now();
    let mut tx = pool.begin().await?;
    // keys first, as whoever creates a stream does
    crate::keys::store::lock(&mut tx, issuer).await?;
    // held, so that of two changes none is lost
    let Some(mut issuer) = store::hold(&mut tx, issuer).await? else { return Ok(None) };
    let own = change(&issuer.own);
    store::set_own(&mut tx, issuer.id, &own).await?;
    issuer.own = own.clone();
    if let Some(algorithm) = own.algorithm {
        ensure_active(&mut tx, &issuer, &[algorithm], sealing, env).await?;
    }
    let details = json!({
        "algorithm": own.algorithm, "default_subjects": own.default_subjects, "max_streams": own.max_streams,
        "min_verification_interval": own.min_verification_interval_s, "inactivity_timeout": own.inactivity_timeout_s,
    });
    let deed = Deed { actor, action: "issuer.updated", target: issuer.id.to_string(), details };
    audit::record(&mut tx, issuer.id, &deed, now).await?;
    store::ring(&mut tx).await?;
    tx.commit().await?;
    Ok(Some(issuer))
}

/// Adds an issuer with a first key of its algorithm, which is `algorithm` if it says none. Every process serves it within
/// seconds.
pub async fn add_issuer(
    pool: &PgPool,
    url: &IssuerUrl,
    own: &OwnDefaults,
    algorithm: Algorithm,
    sealing: &SealingKey,
    actor: &Actor,
    env: &Env,
) -> Result<Issuer, AddIssuerError> {
    check_issuer_url(url.as_str()).map_err(AddIssuerError::Url)?;
    let (taken, now) = (Endpoints::of(url), env.now());
    let mut tx = pool.begin().await?;
    for other in store::served(&mut tx).await? {
        // the longest path wins, so one would take this path from the other's own endpoints
        let there = Endpoints::of(&other.url);
        if other.url != *url && (takes_own_path(&taken, &there) || takes_own_path(&there, &taken)) {
            return Err(AddIssuerError::Url(
                "and another issuer's lie so that one has its place where the other has its own endpoints",
            ));
        }
    }
    if !store::add(&mut tx, url, IssuerId::new(now, &*env.random), now).await? {
        return Err(AddIssuerError::Served);
    }
    let mut issuer = store::find(&mut tx, url).await?.ok_or(sqlx::Error::RowNotFound)?;
    store::set_own(&mut tx, issuer.id, own).await?;
    issuer.own = own.clone();
    ensure_active(&mut tx, &issuer, &[own.algorithm.unwrap_or(algorithm)], sealing, env).await?;
    note_added(&mut tx, &issuer, actor, env).await?;
    store::ring(&mut tx).await?;
    tx.commit().await?;
    Ok(issuer)
}

/// Stops serving an issuer: its clients are removed and their tokens end, its streams are disabled; what waited on them the
/// upkeep records as discarded. Its rows stay, and whoever adds it again gets none of that back.
pub async fn remove_issuer(pool: &PgPool, issuer: &Issuer, actor: &Actor, env: &Env) -> sqlx::Result<()> {
    let now = env.now();
    let mut tx = pool.begin().await?;
    // the clients first, as whoever creates a stream does
    crate::client::store::hold_all(&mut tx, issuer.id).await?;
    store::remove(&mut tx, issuer.id, now).await?;
    crate::client::store::remove_all(&mut tx, issuer.id, now).await?;
    crate::stream::store::disable_all(&mut tx, issuer.id, "the issuer was removed", now).await?;
    let deed =
        Deed { actor, action: "issuer.removed", target: issuer.id.to_string(), details: json!({"url": issuer.url}) };
    audit::record(&mut tx, issuer.id, &deed, now).await?;
    store::ring(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Writes down that `issuer` is served from now on.
pub(crate) async fn note_added(conn: &mut PgConnection, issuer: &Issuer, actor: &Actor, env: &Env) -> sqlx::Result<()> {
    let own = &issuer.own;
    let details = json!({
        "url": issuer.url, "algorithm": own.algorithm, "default_subjects": own.default_subjects, "max_streams": own.max_streams,
        "min_verification_interval": own.min_verification_interval_s, "inactivity_timeout": own.inactivity_timeout_s,
    });
    let deed = Deed { actor, action: "issuer.added", target: issuer.id.to_string(), details };
    audit::record(conn, issuer.id, &deed, env.now()).await
}

/// Whether `inner` lies at, or below, an endpoint that `outer` has itself. On any host: behind a proxy that hides it the
/// path alone decides.
fn takes_own_path(inner: &Endpoints, outer: &Endpoints) -> bool {
    let name = outer.below(inner.path()).and_then(|rest| rest.split('/').nth(1));
    name.is_some_and(|name| OWN_PATHS.contains(&name))
}

/// Why an issuer was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddIssuerError {
    /// The URL cannot be an issuer's.
    #[error("the issuer's URL {0}")]
    Url(&'static str),
    /// It is there.
    #[error("the issuer is served already")]
    Served,
    /// Its key could not be made.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// The database did not answer.
    #[error("the issuer could not be kept")]
    Database(#[from] sqlx::Error),
}

/// The first names below an issuer's path at which it has endpoints of its own.
const OWN_PATHS: [&str; 10] =
    [".well-known", "admin", "docs", "events", "health", "jwks.json", "latency", "oauth2", "openapi.json", "ssf"];
