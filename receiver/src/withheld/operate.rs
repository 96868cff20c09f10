//! What an operator does: look, apply, discard.

use serde_json::json;
use sqlx::{Connection as _, PgPool};
use ssf_common::runtime::Env;

use super::{Held, store};
use crate::audit::{self, Actor, Deed};

/// What becomes of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It takes effect now, as if it had arrived with permission: the time it counts from is the issuer's.
    Applied,
    /// It never will.
    Discarded,
}

impl Settled {
    const fn action(self) -> &'static str {
        match self {
            Self::Applied => "withheld.apply",
            Self::Discarded => "withheld.discard",
        }
    }
}

/// Why it was not settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// There is none of this number, or somebody settled it before.
    #[error("id: nothing of this number is withheld")]
    Unknown,
    /// It tells a fact, which cuts nothing off.
    #[error(
        "id: it is a fact and would cut nothing off; widen the authority of the upstream, so that the next one is kept, and discard this one"
    )]
    Fact,
    /// The database did not do it.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

/// Up to `limit` decisions that are withheld, the oldest first, after the one with the number `after`; with those settled
/// if `all`.
pub async fn list(
    pool: &PgPool,
    upstream: Option<&str>,
    all: bool,
    after: i64,
    limit: i64,
) -> Result<Vec<Held>, sqlx::Error> {
    store::list(&mut *pool.acquire().await?, upstream, all, after, limit).await
}

/// Applies or discards one, with its entry in the audit log. What is applied is in force in every process as soon as that
/// looks, like every cut-off.
pub async fn settle(pool: &PgPool, env: &Env, id: i64, how: Settled, actor: &Actor) -> Result<(), SettleError> {
    let now = env.now();
    let mut db = pool.acquire().await?;
    let mut tx = db.begin().await?;
    let held = store::lock(&mut tx, id).await?.ok_or(SettleError::Unknown)?;
    match how {
        Settled::Applied if held.effect == "fact" => return Err(SettleError::Fact),
        Settled::Applied => store::apply(&mut tx, id, &actor.text(), now).await?,
        Settled::Discarded => store::discard(&mut tx, id, &actor.text(), now).await?,
    }
    let details = json!({"id": id, "jti": held.jti, "effect": held.effect, "reason": held.reason});
    let deed = Deed { action: how.action(), target: Some(&held.upstream), details };
    audit::record(&mut tx, actor, &deed, now).await?;
    tx.commit().await?;
    tracing::warn!(
        upstream.name = held.upstream,
        actor = actor.text(),
        action = how.action(),
        withheld.id = id,
        "an operator has settled a decision that was withheld"
    );
    Ok(())
}
