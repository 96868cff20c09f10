//! Changing a stream's list: adding and removing a subject (SSF 1.0 §8.1.3.2, §8.1.3.3).

use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::protocol::DefaultSubjects;
use ssf_common::runtime::Env;
use ssf_common::subject::Subject;

use super::keys::{Digester, Entry, TooManyKeys};
use super::secret::{SecretError, Secrets};
use super::store::list as store;
use crate::audit::{self, Actor, Deed};
use crate::issuer::IssuerId;
use crate::keys::SealingKey;
use crate::stream::{Stream, StreamKey};

/// The lists of all streams. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Subjects {
    pub(super) secrets: Secrets,
    limit: u32,
    removal_grace: Duration,
}

/// What makes one issuer's subjects comparable; had before the transaction that changes a list.
#[derive(Clone, Debug)]
pub struct Prepared(Digester);

impl Subjects {
    /// A stream may list `max_subjects`; what is removed is sent for another `removal_grace`.
    pub fn new(sealing: SealingKey, max_subjects: u32, removal_grace: Duration) -> Self {
        Self { secrets: Secrets::new(sealing), limit: max_subjects, removal_grace }
    }

    /// Gets ready to change lists of this issuer. `conn` must not be in a transaction.
    pub async fn prepare(&self, conn: &mut PgConnection, issuer: IssuerId, env: &Env) -> Result<Prepared, SecretError> {
        self.secrets.ensure(conn, issuer, env).await.map(Prepared)
    }

    /// Adds a subject, at once: a removal of it is cancelled. Adding it again changes nothing but `verified`. The caller
    /// holds the stream's row.
    pub async fn add(
        &self,
        conn: &mut PgConnection,
        prepared: &Prepared,
        stream: StreamKey,
        subject: &Subject,
        verified: bool,
        now: Timestamp,
    ) -> Result<(), ListError> {
        if *subject == Subject::stream(&stream.stream_id()) {
            // always included (§8.1.4.1)
            return Ok(());
        }
        let entry = prepared.0.entry(subject)?;
        match store::listed(&mut *conn, stream, entry.digest).await? {
            Some(listed) if listed.stays && listed.verified == verified => {}
            Some(listed) => {
                store::include(&mut *conn, stream, entry.digest, verified, now).await?;
                if listed.excluded {
                    store::count(conn, stream, store::Change { excluded: -1, ..store::Change::default() }).await?;
                }
            }
            None => {
                self.insert(&mut *conn, stream, &entry, store::Word::Added { verified }, now).await?;
            }
        }
        Ok(())
    }

    /// Removes a subject, after the grace. Removing it again changes nothing, nor does removing what a stream without
    /// default subjects does not list. What changes something is written into the audit log. The caller holds the
    /// stream's row.
    pub async fn remove(
        &self,
        conn: &mut PgConnection,
        prepared: &Prepared,
        stream: &Stream,
        subject: &Subject,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), ListError> {
        if *subject == Subject::stream(&stream.key.stream_id()) {
            return Err(ListError::OwnSubject);
        }
        let entry = prepared.0.entry(subject)?;
        let ends_at = now.plus(self.removal_grace);
        let default = store::standing(&mut *conn, stream.key).await?.default;
        let listed = store::listed(&mut *conn, stream.key, entry.digest).await?;
        let excludes = default == DefaultSubjects::All;
        match listed {
            Some(listed) if listed.stays || (excludes && !listed.excluded) => {
                store::end(&mut *conn, stream.key, entry.digest, ends_at, excludes, now).await?;
                if excludes {
                    store::count(&mut *conn, stream.key, store::Change { excluded: 1, ..store::Change::default() })
                        .await?;
                }
            }
            None if excludes => {
                self.insert(&mut *conn, stream.key, &entry, store::Word::Removed { from: ends_at }, now).await?;
            }
            Some(_) | None => return Ok(()),
        }
        // The digest tells nobody who it is, but shows whether it was somebody who is asked about.
        let details = json!({"subject_digest": entry.digest.hex(), "effective_at": ends_at});
        let deed = Deed { actor, action: "subject.removed", target: stream.key.to_string(), details };
        audit::record(conn, stream.issuer_id, &deed, now).await?;
        Ok(())
    }

    async fn insert(
        &self,
        conn: &mut PgConnection,
        stream: StreamKey,
        entry: &Entry,
        word: store::Word,
        now: Timestamp,
    ) -> Result<(), ListError> {
        let standing = store::standing(&mut *conn, stream).await?;
        let keys = u32::try_from(entry.keys.len()).unwrap_or(u32::MAX);
        if standing.subject_keys.saturating_add(keys) > self.limit {
            return Err(ListError::Full(self.limit));
        }
        if let Some(shape) = &entry.shape
            && !store::count_shape(&mut *conn, stream, shape, MAX_SHAPES).await?
        {
            return Err(ListError::TooManyShapes);
        }
        store::insert(&mut *conn, stream, entry, word, now).await?;
        let change = store::Change {
            subjects: 1,
            keys: i32::try_from(keys).unwrap_or(i32::MAX),
            excluded: i32::from(matches!(word, store::Word::Removed { .. })),
        };
        store::count(conn, stream, change).await?;
        Ok(())
    }
}

/// Why a list was not changed. The texts go to the receiver.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It could be found by too many keys.
    #[error(transparent)]
    TooManyKeys(#[from] TooManyKeys),
    /// The list is as long as it may be. Waiting does not help, so this is no "too many requests".
    #[error(
        "the stream lists as many subjects as it may ({0}; one with several members or aliases counts for each combination of them); remove some, or ask for a higher limit"
    )]
    Full(u32),
    /// Every further set of member names makes every event dearer.
    #[error("the complex subjects of the stream have {MAX_SHAPES} different sets of members already; use one of those")]
    TooManyShapes,
    /// SSF 1.0 §8.1.4.1.
    #[error("the subject of the stream itself cannot be removed")]
    OwnSubject,
    /// The database did not answer.
    #[error("the list could not be changed")]
    Database(#[from] sqlx::Error),
}

/// How many different sets of member names the complex subjects of a stream may have.
const MAX_SHAPES: u32 = 32;
