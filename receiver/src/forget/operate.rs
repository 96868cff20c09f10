//! What an operator does: say who is to be forgotten.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgPool};
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::Env;
use ssf_common::subject::Subject;

use super::store;
use crate::audit::{self, Actor, Deed};
use crate::session::describe::CLOCKS_DIFFER_BY;
use crate::session::{Keyring, Sid};

/// Who is to be forgotten.
///
/// ```json
/// {"issuer": "https://idp.example.com", "subject": {"format": "email", "email": "…"}, "blocks": false}
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whom {
    /// The issuer that names it so.
    pub issuer: IssuerUrl,
    /// A simple subject: a user, a device or a session; with `aliases`, everything it is known by.
    pub subject: Value,
    /// Whether its cut-offs go, too, as far as they are older than the lineage cap: blocks above all, which no age ends.
    #[serde(default)]
    pub blocks: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Sessions that were removed.
    pub sessions: u64,
    /// Facts that were removed.
    pub facts: u64,
    /// Decisions that were withheld and were removed.
    pub withheld: u64,
    /// Lines of the reports on windows that stay without their link to the subject.
    pub unlinked: u64,
    /// Cut-offs and blocks that were removed.
    pub cutoffs: u64,
    /// Cut-offs and blocks that stay: digests and times, which go after the lineage cap (blocks: if asked for).
    pub cutoffs_kept: i64,
    /// The sessions, to be dropped from memory.
    #[serde(skip)]
    pub sids: Vec<Sid>,
}

/// Why nothing was forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// Nobody here knows the issuer.
    #[error("issuer: no upstream is configured for this issuer")]
    UnknownIssuer,
    /// It cannot be read, or names more than one.
    #[error(
        "subject: must be a simple subject identifier (RFC 9493), or aliases of one: who is forgotten is one user, device or session"
    )]
    Subject,
    /// The database did not do it.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

/// Forgets a subject, with an entry in the audit log that does not name it.
///
/// Removed are its sessions, the facts told of it (also together with others), and withheld decisions about it. Reports
/// on windows keep their figures and lose the key. `cap` is the lineage cap.
pub async fn forget(
    pool: &PgPool,
    env: &Env,
    keyring: &Keyring,
    whom: &Whom,
    cap: Duration,
    actor: &Actor,
) -> Result<Forgotten, ForgetError> {
    let Ok(Subject::Simple(simple)) = Subject::parse(&whom.subject) else { return Err(ForgetError::Subject) };
    let subject = Subject::Simple(simple);
    let everybody = keyring.of_everybody(&whom.issuer, &subject);
    let named = store::Named { alone: &everybody, as_member: &as_members(keyring, &whom.issuer, &subject)? };
    let now = env.now();
    let mut db = pool.acquire().await?;
    let mut tx = db.begin().await?;
    let issuer = store::issuer(&mut tx, &whom.issuer).await?.ok_or(ForgetError::UnknownIssuer)?;
    let sids = store::remove_sessions(&mut tx, issuer, &named).await?;
    let old = now.minus(cap).minus(CLOCKS_DIFFER_BY);
    let cutoffs = if whom.blocks { store::remove_cutoffs(&mut tx, issuer, &named, old).await? } else { 0 };
    let forgotten = Forgotten {
        sessions: sids.len() as u64,
        facts: store::remove_facts(&mut tx, issuer, &named).await?,
        withheld: store::remove_withheld(&mut tx, issuer, &named).await?,
        unlinked: store::unlink(&mut tx, issuer, &named).await?,
        cutoffs,
        cutoffs_kept: store::cutoffs(&mut tx, issuer, &named).await?,
        sids,
    };
    let details = json!({"issuer": whom.issuer, "blocks": whom.blocks, "done": forgotten});
    audit::record(&mut tx, actor, &Deed { action: "subject.forget", target: None, details }, now).await?;
    tx.commit().await?;
    tracing::info!(
        actor = actor.text(),
        sessions = forgotten.sessions,
        facts = forgotten.facts,
        "a subject is forgotten; its cut-offs stay"
    );
    Ok(forgotten)
}

/// The same identifiers as members of complex subjects name them.
fn as_members(
    keyring: &Keyring,
    issuer: &IssuerUrl,
    subject: &Subject,
) -> Result<Vec<crate::session::SubjectKey>, ForgetError> {
    let mut keys = Vec::new();
    for member in ["user", "device", "session"] {
        let value = json!({"format": "complex", member: subject.to_value()});
        let complex = Subject::parse(&value).map_err(|_| ForgetError::Subject)?;
        keys.extend(keyring.of_event(issuer, &complex).map_err(|_| ForgetError::Subject)?);
    }
    Ok(keys)
}
