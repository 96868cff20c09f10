//! [`Managed`]: upstreams that are made, changed and removed while the service runs, by command or over HTTP. Whoever asks,
//! the same is done: the row, its audit entry, its line of history and the bell for every running process, in one
//! transaction. The processes do the rest ([`crate::app`]).

mod document;
mod sealing;

use std::sync::Arc;
use std::time::Duration;

pub use document::{Document, DocumentError, MASKED};
pub use sealing::{SealError, Sealing};
use serde_json::{Map, Value, json};
use sqlx::{Connection as _, PgConnection, PgPool};
use ssf_common::id::StreamId;
use ssf_common::runtime::Env;
use ssf_common::runtime::telemetry::chain;

use super::overview::{self, Overview};
use super::state::{Entry, What};
use super::store::{self, Line, ManagedRow, NewUpstream};
use super::{Digest, IssuerId, Method, ProcessId, Upstream, UpstreamId};
use crate::audit::{self, Actor, Deed};
use crate::config::{Settings, SettingsError, UpstreamSettings};

/// Makes, changes and removes them.
#[derive(Clone, Debug)]
pub struct Managed {
    pool: PgPool,
    env: Env,
    settings: Arc<Settings>,
    sealing: Sealing,
}

/// It was not done.
#[derive(Debug, thiserror::Error)]
pub enum ManagedError {
    /// What it should say does not fit.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The name belongs to the settings.
    #[error("upstreams.{0} stands in the settings: change it there and start the service again")]
    InSettings(String),
    /// The name is taken.
    #[error("there is an upstream {0} already; change it, or choose another name")]
    Taken(String),
    /// There is none.
    #[error("there is no upstream {0}")]
    Unknown(String),
    /// Its secrets.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// The database did not do it.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

/// What became of the stream of an upstream that was removed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Farewell {
    /// The stream, if there was one.
    pub stream_id: Option<StreamId>,
    /// Whether the transmitter has deleted it.
    pub is_deleted: bool,
    /// Why not.
    pub reason: Option<String>,
}

impl Managed {
    /// On this database; secrets are sealed with `sealing`.
    pub const fn new(pool: PgPool, env: Env, settings: Arc<Settings>, sealing: Sealing) -> Self {
        Self { pool, env, settings, sealing }
    }

    /// Makes one, as `[upstreams.<name>]` would say it.
    pub async fn add(&self, name: &str, said: Map<String, Value>, actor: &Actor) -> Result<(), ManagedError> {
        self.is_free(name)?;
        let document = Document::of(said)?;
        let settings = self.checked(&document, name)?;
        let now = self.env.now();
        let sealed = self.sealed(name, &document)?;
        let mut tx = self.pool.begin().await?;
        if !store::insert(&mut tx, name, &document.plain(), sealed.as_deref(), now).await? {
            return Err(ManagedError::Taken(name.to_owned()));
        }
        let id = write_down(&mut tx, name, &settings, &self.env).await?;
        let told = Entry::because(What::Added, actor.text(), now);
        self.tell(&mut tx, id, "upstream.add", name, &document.plain(), told, actor).await?;
        Ok(tx.commit().await?)
    }

    /// Changes one: members that are named are replaced, those named with null go back to their default.
    pub async fn change(&self, name: &str, change: Map<String, Value>, actor: &Actor) -> Result<(), ManagedError> {
        self.is_free(name)?;
        let named: Vec<String> = change.keys().cloned().collect();
        let now = self.env.now();
        let mut tx = self.pool.begin().await?;
        let row = store::find(&mut tx, name).await?.ok_or_else(|| ManagedError::Unknown(name.to_owned()))?;
        let document = self.document(&row)?.changed(change)?;
        let settings = self.checked(&document, name)?;
        let sealed = self.sealed(name, &document)?;
        store::replace(&mut tx, name, &document.plain(), sealed.as_deref(), now).await?;
        let id = write_down(&mut tx, name, &settings, &self.env).await?;
        let told = Entry::because(What::Changed, format!("{}: {}", actor.text(), named.join(", ")), now);
        self.tell(&mut tx, id, "upstream.change", name, &json!({"members": named}), told, actor).await?;
        Ok(tx.commit().await?)
    }

    /// Removes one. What it decided stays in force, and so does its history. Its stream is deleted at the transmitter if
    /// that can be reached; the answer says so.
    pub async fn remove(&self, name: &str, actor: &Actor) -> Result<Farewell, ManagedError> {
        self.is_free(name)?;
        let now = self.env.now();
        let mut tx = self.pool.begin().await?;
        let unknown = || ManagedError::Unknown(name.to_owned());
        let row = store::find(&mut tx, name).await?.ok_or_else(unknown)?;
        let before = self.at_hand(&mut tx, &row).await;
        store::delete(&mut tx, name).await?;
        let id = store::mark_removed(&mut tx, name, now).await?.ok_or_else(unknown)?;
        let told = Entry::because(What::Removed, actor.text(), now);
        self.tell(&mut tx, id, "upstream.remove", name, &json!({}), told, actor).await?;
        tx.commit().await?;
        Ok(match before {
            Ok(upstream) => farewell(&upstream).await,
            Err(error) => Farewell { stream_id: None, is_deleted: false, reason: Some(chain(&error)) },
        })
    }

    /// Follows the settings: who is named there no more, and was not made while running, is removed, so that nobody waits for
    /// a word of it; who is named there is not. Says how many that concerned.
    pub async fn follow_settings(&self) -> Result<usize, sqlx::Error> {
        let (now, mut db) = (self.env.now(), self.pool.acquire().await?);
        let configured: Vec<&str> = self.settings.upstreams.keys().map(String::as_str).collect();
        let abandoned = store::abandoned(&mut db, &configured, now).await?;
        for name in &abandoned {
            let mut tx = db.begin().await?;
            if let Some(id) = store::mark_removed(&mut tx, name, now).await? {
                let why = Entry::because(What::Removed, "the settings do not name it any more".to_owned(), now);
                store::record(&mut tx, id, &[why]).await?;
            }
            tx.commit().await?;
            tracing::warn!(
                upstream.name = name,
                "the settings do not name this upstream any more: it is removed, and what it decided stays in force"
            );
        }
        let returned = store::removed(&mut db, &configured).await?;
        for name in &returned {
            if let Some(settings) = self.settings.upstreams.get(name) {
                write_down(&mut db, name, settings, &self.env).await?;
            }
        }
        Ok(abandoned.len() + returned.len())
    }

    /// All upstreams that there are, by name; with those that were, if asked for.
    pub async fn overviews(&self, with_removed: bool) -> Result<Vec<Overview>, sqlx::Error> {
        overview::all(&self.pool, &self.settings, with_removed, self.env.now()).await
    }

    /// The one of this name, also if it was removed.
    pub async fn overview(&self, name: &str) -> Result<Option<Overview>, sqlx::Error> {
        overview::one(&self.pool, name, &self.settings, self.env.now()).await
    }

    /// Up to `limit` lines of its history before the one with this id, the newest first.
    pub async fn history(&self, name: &str, before: Option<i64>, limit: i64) -> Result<Option<Vec<Line>>, sqlx::Error> {
        store::history(&mut *self.pool.acquire().await?, name, before.unwrap_or(i64::MAX), limit).await
    }

    /// The settings of one as it is stored, secrets included.
    pub fn settings_of(&self, row: &ManagedRow) -> Result<UpstreamSettings, ManagedError> {
        Ok(self.document(row)?.settings(&row.name)?)
    }

    fn document(&self, row: &ManagedRow) -> Result<Document, ManagedError> {
        let secrets = match &row.sealed {
            Some(sealed) => self.sealing.open(sealed, &row.name)?,
            None => Map::new(),
        };
        Ok(Document::stored(row.settings.clone(), secrets))
    }

    /// As it stands before it goes.
    async fn at_hand(&self, db: &mut PgConnection, row: &ManagedRow) -> Result<Upstream, AtHandError> {
        let id = write_down(db, &row.name, &self.settings_of(row)?, &self.env).await?;
        let process = ProcessId::new(self.env.now(), &*self.env.random);
        let settings = self.settings_of(row)?;
        let (pool, env) = (self.pool.clone(), self.env.clone());
        let upstream = Upstream::new(&row.name, id, settings, process, &self.settings, pool, env)?;
        upstream.keep(store::held(db, id).await?);
        Ok(upstream)
    }

    fn is_free(&self, name: &str) -> Result<(), ManagedError> {
        if self.settings.upstreams.contains_key(name) {
            return Err(ManagedError::InSettings(name.to_owned()));
        }
        Ok(())
    }

    fn checked(&self, document: &Document, name: &str) -> Result<UpstreamSettings, ManagedError> {
        let settings = document.settings(name)?;
        self.settings.fits(&settings).map_err(DocumentError::Settings)?;
        Ok(settings)
    }

    fn sealed(&self, name: &str, document: &Document) -> Result<Option<Vec<u8>>, SealError> {
        let secrets = document.secrets();
        if secrets.is_empty() { Ok(None) } else { self.sealing.seal(secrets, name, &*self.env.random).map(Some) }
    }

    #[expect(clippy::too_many_arguments, reason = "what an entry of the audit log and a line of history need")]
    async fn tell(
        &self,
        db: &mut PgConnection,
        id: UpstreamId,
        action: &'static str,
        name: &str,
        details: &Value,
        told: Entry,
        actor: &Actor,
    ) -> Result<(), sqlx::Error> {
        let deed = Deed { action, target: Some(name), details: details.clone() };
        audit::record(db, actor, &deed, self.env.now()).await?;
        store::record(db, id, &[told]).await
    }
}

/// The row of the upstream of this name, brought to these settings. A new one on push has an authorization that nobody
/// knows, until a stream is made.
pub async fn write_down(
    db: &mut PgConnection,
    name: &str,
    settings: &UpstreamSettings,
    env: &Env,
) -> Result<UpstreamId, sqlx::Error> {
    let (now, random) = (env.now(), &*env.random);
    let issuer_id = store::ensure_issuer(db, &settings.issuer, IssuerId::new(now, random), now).await?;
    let unknown = Digest::of(random.secret().as_bytes());
    let method = Method::from(settings.delivery);
    let new = NewUpstream {
        id: UpstreamId::new(now, random),
        name,
        issuer_id,
        method,
        level: settings.level,
        push_authorization_hash: (method == Method::Push).then_some(unknown.as_bytes()),
    };
    store::ensure(db, &new, now).await
}

#[derive(Debug, thiserror::Error)]
enum AtHandError {
    #[error(transparent)]
    Managed(#[from] ManagedError),
    #[error(transparent)]
    SetUp(#[from] super::link::SetUpError),
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

/// Deletes the stream at the transmitter, if it can be reached.
async fn farewell(upstream: &Upstream) -> Farewell {
    let Some(stream_id) = upstream.held().stream_id.clone() else {
        return Farewell { stream_id: None, is_deleted: false, reason: Some("there was no stream".to_owned()) };
    };
    let deleted = async {
        let metadata = upstream.discover().await.map_err(|error| chain(&error))?;
        upstream.client.delete(&metadata, &stream_id).await.map_err(|error| chain(&error))
    };
    let reason = match tokio::time::timeout(PATIENCE, deleted).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some("the transmitter did not answer in time".to_owned()),
    };
    Farewell { stream_id: Some(stream_id), is_deleted: reason.is_none(), reason }
}

impl From<SettingsError> for ManagedError {
    fn from(error: SettingsError) -> Self {
        Self::Document(DocumentError::Settings(error))
    }
}

/// Whoever removes an upstream does not wait longer for its transmitter.
const PATIENCE: Duration = Duration::from_secs(5);
