//! What an operator sees of callbacks and does with them, whoever asks: the command line and the admin API.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, PgPool};
use ssf_common::clock::Timestamp;

use super::store::desk as store;
use super::{Change, Effect, EffectId};
use crate::audit::{self, Actor, Deed};
use crate::session::Sid;

/// How one target stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetState {
    /// Our name for it.
    pub name: String,
    /// Which changes it is told of; all if empty.
    pub changes: Vec<String>,
    /// Since when it is in no settings any more.
    pub removed_at: Option<Timestamp>,
    /// Callbacks it has not taken yet.
    pub waiting: i64,
    /// Since when the oldest of them waits.
    pub waiting_since: Option<Timestamp>,
    /// Callbacks given up.
    pub dead: i64,
    /// When it last took one.
    pub last_success_at: Option<Timestamp>,
    /// Failures in a row; above 0 it is probed by one callback at a time.
    pub failures: i32,
    /// When the next probe goes.
    pub retry_at: Option<Timestamp>,
    /// What was wrong last.
    pub trouble: Option<String>,
    /// When that was.
    pub trouble_at: Option<Timestamp>,
}

/// Where a callback stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Not taken yet.
    Waiting,
    /// Given up.
    #[default]
    Dead,
}

impl Standing {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Dead => "dead",
        }
    }
}

/// One callback that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Called {
    /// Who is to be told.
    pub target: String,
    /// Of what.
    pub position: i64,
    /// Of what, by its name.
    pub id: EffectId,
    /// Of which session.
    pub sid: Sid,
    /// The state it is in.
    pub change: Change,
    /// Where it stands.
    pub standing: Standing,
    /// How often it was sent.
    pub attempts: i32,
    /// Since when it waits, or waited.
    pub born_at: Timestamp,
    /// When it may be sent next.
    pub due_at: Option<Timestamp>,
    /// When it was given up.
    pub died_at: Option<Timestamp>,
    /// Why it was not taken.
    pub trouble: Option<String>,
}

/// One effect, and who has not taken it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// What was to be told.
    pub effect: Effect,
    /// Callbacks not taken; a target that is not here has it, or does not want it.
    pub callbacks: Vec<Called>,
}

/// What is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// Every dead letter of a target.
    Dead {
        /// Its name.
        target: String,
    },
    /// One effect, dead or taken.
    One {
        /// Its name.
        id: EffectId,
        /// To whom; to all present ones if absent.
        target: Option<String>,
    },
}

/// Nothing was sent again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such effect, or it is forgotten.
    #[error("id: no such effect is kept")]
    NoEffect,
    /// There is no such target in any settings.
    #[error("target: no such target is configured")]
    NoTarget,
    /// The database did not do it.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

/// How each target stands.
pub async fn targets(db: &mut PgConnection) -> Result<Vec<TargetState>, sqlx::Error> {
    store::targets(db).await
}

/// Up to `limit` callbacks not taken, after a position, in order.
pub async fn list(
    db: &mut PgConnection,
    target: Option<&str>,
    standing: Standing,
    after: i64,
    limit: i64,
) -> Result<Vec<Called>, sqlx::Error> {
    store::called(db, target, standing, after, limit).await
}

/// One effect; `None`: there is none of this name, or it is forgotten.
pub async fn show(db: &mut PgConnection, id: EffectId) -> Result<Option<Told>, sqlx::Error> {
    let Some(effect) = store::effect(db, id).await? else { return Ok(None) };
    let callbacks = store::of_effect(db, &effect).await?;
    Ok(Some(Told { effect, callbacks }))
}

/// Sends again, under the same ids; returns how many callbacks that are. In steps, each with its entry in the log: there
/// may be very many. What dies again meanwhile is not taken up a second time.
pub async fn replay(pool: &PgPool, again: &Again, actor: &Actor, now: Timestamp) -> Result<u64, ReplayError> {
    let mut db = pool.acquire().await?;
    let target = match again {
        Again::Dead { target } => Some(target.as_str()),
        Again::One { target, .. } => target.as_deref(),
    };
    if let Some(target) = target {
        let known = store::targets(&mut db).await?;
        if !known.iter().any(|known| known.name == target && known.removed_at.is_none()) {
            return Err(ReplayError::NoTarget);
        }
    }
    let mut all = 0;
    loop {
        let mut tx = db.begin().await?;
        let (count, details) = match again {
            Again::Dead { target } => {
                let count = store::revive(&mut tx, target, now, STEP).await?;
                (count, json!({"what": "dead letters", "count": count}))
            }
            Again::One { id, target } => {
                let effect = store::effect(&mut tx, *id).await?.ok_or(ReplayError::NoEffect)?;
                let count = store::tell_again(&mut tx, &effect, target.as_deref(), now).await?;
                (count, json!({"what": id, "count": count}))
            }
        };
        if count > 0 {
            store::ring(&mut tx).await?;
            audit::record(&mut tx, actor, &Deed { action: "effect.replay", target, details }, now).await?;
        }
        tx.commit().await?;
        all += count;
        if count < STEP.unsigned_abs() {
            return Ok(all);
        }
    }
}

const STEP: i64 = 500;
