//! Asking for facts: of a session by its name, of a subject by description.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;

use super::store;
use crate::session::describe::{DescriptionError, Naming};
use crate::session::{Keyring, Sid};

/// Whose facts: named as in a registration, without its times.
///
/// ```json
/// {"issuer": "https://idp.example.com", "subject": {"format": "email", "email": "…"}, "device": "…"}
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Who told them.
    pub issuer: IssuerUrl,
    /// A simple subject, a list of simple subjects that all name the same one, or a complex subject.
    pub subject: Value,
    /// The IdP's session.
    pub session: Option<Value>,
    /// The device.
    pub device: Option<Value>,
    /// The tenant.
    pub tenant: Option<Value>,
}

/// A fact as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Known {
    /// As [`Fact::kind`](super::Fact::kind).
    pub kind: String,
    /// As [`Fact::name`](super::Fact::name).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How it stands.
    pub value: String,
    /// When it came to be so, by the issuer's clock.
    pub occurred_at: Timestamp,
    /// When the SET that told it had arrived, by our clock.
    pub received_at: Timestamp,
    /// The type of the event that told it.
    pub event_type: String,
}

/// Facts could not be given.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The subject.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// The database did not give them.
    #[error("the facts cannot be read now")]
    Store(#[from] sqlx::Error),
}

/// What is known of whom a session belongs to: everything told under any of the session's keys. `None`: there is no such
/// session.
pub async fn of_session(pool: &PgPool, sid: &Sid) -> Result<Option<Vec<Known>>, sqlx::Error> {
    let mut db = pool.acquire().await?;
    let Some((issuer, keys)) = store::session(&mut db, sid).await? else { return Ok(None) };
    store::facts(&mut db, issuer, &keys).await.map(Some)
}

/// What is known of a subject: everything told of it alone, or of any combination of the members that are named.
pub async fn of_subject(pool: &PgPool, keyring: &Keyring, asked: &Asked) -> Result<Vec<Known>, AskError> {
    let naming = Naming {
        subject: &asked.subject,
        session: asked.session.as_ref(),
        device: asked.device.as_ref(),
        tenant: asked.tenant.as_ref(),
    };
    let keys = naming.keys(&asked.issuer, keyring)?;
    let mut db = pool.acquire().await?;
    let Some(issuer) = store::issuer(&mut db, &asked.issuer).await? else { return Ok(Vec::new()) };
    Ok(store::facts(&mut db, issuer, &keys).await?)
}
