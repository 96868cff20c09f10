//! The steps. Each [`tick`](Worker::tick) takes one step that `plan` chose, or none. Everything that must survive a restart is in
//! the database before it matters: the digest of a push authorization before the transmitter learns it, the state of a
//! verification before it is asked for, the stream as soon as it is confirmed. So a restart takes up what is there.

use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use ssf_common::event::StreamStatus;
use ssf_common::id::StreamId;
use ssf_common::protocol::{Metadata, StreamConfiguration, UpdateStream, VerifyRequest};
use ssf_common::runtime::Worker;

use super::KeeperError;
use crate::upstream::client::CallError;
use crate::upstream::plan::{self, Mismatch, Progress, Step};
use crate::upstream::state::{self, Entry, State, What};
use crate::upstream::{Digest, Held, Method, Upstream, store};

/// Keeps the stream of one upstream.
#[derive(Debug)]
pub struct Keeper {
    pub(super) upstream: Arc<Upstream>,
    progress: Mutex<Progress>,
    pub(super) trouble: Mutex<Option<String>>,
}

impl Keeper {
    /// The keeper of `upstream`.
    pub fn new(upstream: Arc<Upstream>) -> Self {
        Self { upstream, progress: Mutex::default(), trouble: Mutex::default() }
    }

    /// Whose.
    pub const fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Creates the stream, or adopts the one that is there and brings it to what is wanted; says what the transmitter
    /// answered.
    pub async fn create(&self) -> Result<StreamConfiguration, KeeperError> {
        let metadata = self.metadata().await?;
        let authorization = self.new_authorization().await?;
        let wanted = self.upstream.wanted(authorization.as_ref().map(|(header, _)| header.clone()));
        let confirmed = authorization.map(|(_, digest)| digest);
        let has_vanished = self.upstream.held().lost_cause.as_deref() == Some("stream_vanished");
        let mut what = if has_vanished { What::Recreated } else { What::Created };
        let answer = match self.upstream.client.create(&metadata, &wanted).await {
            Err(error) if error.status() == Some(StatusCode::CONFLICT) => {
                let theirs = self.upstream.client.list(&metadata).await.map_err(self.call())?;
                let of_others = store::streams_of_others(&mut *self.db().await?, self.upstream.id).await?;
                let name = &self.upstream.name;
                let found = plan::ours(&theirs, &wanted, &of_others)
                    .ok_or_else(|| KeeperError::NoneIsOurs { name: name.clone(), found: theirs.len() })?;
                what = What::Adopted;
                tracing::info!(upstream.name = name, stream.id = %found.stream_id, "adopting a stream that is there already");
                if let Some((theirs, ours)) = plan::elsewhere(found, &wanted) {
                    tracing::warn!(
                        upstream.name = name,
                        stream.id = %found.stream_id,
                        "the adopted stream was delivered by {theirs} and is by {ours} from now on: another receiver with \
                         the same credentials, if there is one, loses it"
                    );
                }
                self.changed(&metadata, UpdateStream::of(found.stream_id.clone(), wanted)).await?
            }
            answer => answer.map_err(self.call())?,
        };
        self.hold(&answer, confirmed.as_ref()).await?;
        self.tell(Entry::because(what, answer.stream_id.as_str(), self.upstream.env.now())).await?;
        tracing::info!(
            upstream.name = self.upstream.name,
            stream.id = %answer.stream_id,
            events.delivered = answer.events_delivered.len(),
            "the stream is there"
        );
        Ok(answer)
    }

    /// Asks for a verification event, unless somebody did after `not_since`. Says the state: a fresh one, or that of an event
    /// which was asked for and has not come, so that it answers whenever it does.
    pub async fn verify(
        &self,
        stream_id: &StreamId,
        not_since: ssf_common::clock::Timestamp,
    ) -> Result<Option<String>, KeeperError> {
        let metadata = self.metadata().await?;
        if !plan::can_verify(&metadata) {
            return Ok(None);
        }
        let env = &self.upstream.env;
        let fresh = env.random.secret();
        // The event may be here before the answer to the request is.
        let now = env.now();
        let begun = store::begin_verification(&mut *self.db().await?, self.upstream.id, &fresh, not_since, now).await?;
        let Some(state) = begun else { return Ok(None) };
        let wanted = VerifyRequest { stream_id: stream_id.clone(), state: Some(state.clone()) };
        self.upstream.client.verify(&metadata, &wanted).await.map_err(self.call())?;
        Ok(Some(state))
    }

    /// The metadata as known, read now if it is not.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, KeeperError> {
        match self.upstream.metadata() {
            Some((metadata, _)) => Ok(metadata),
            None => self
                .upstream
                .discover()
                .await
                .map_err(|source| KeeperError::Discovery { name: self.upstream.name.clone(), source }),
        }
    }

    async fn step(&self) -> Result<usize, KeeperError> {
        let upstream = &self.upstream;
        if !upstream.lease.hold().await? {
            return Ok(0);
        }
        let held = self.turned(upstream.read_held().await?).await?;
        if upstream.take_doubt() {
            self.note(|progress| progress.inspected_at = None);
        }
        let now = upstream.env.now();
        let progress = Progress {
            discovered_at: upstream.metadata().map(|(_, at)| at),
            keys_at: upstream.keys.read_at().await,
            is_refused: upstream.is_refused(),
            ..self.progress().clone()
        };
        match progress.next(&held, &upstream.settings, upstream.refresh, now) {
            Step::Rest => return Ok(0),
            Step::Discover => {
                let name = || upstream.name.clone();
                upstream.discover().await.map_err(|source| KeeperError::Discovery { name: name(), source })?;
            }
            Step::ReadKeys => {
                let metadata = self.metadata().await?;
                let name = || upstream.name.clone();
                upstream.read_keys(&metadata).await.map_err(|source| KeeperError::Keys { name: name(), source })?;
            }
            Step::Create => {
                self.create().await?;
            }
            Step::Inspect(stream_id) => self.inspect(&stream_id).await?,
            Step::Reauthorize(stream_id, mismatch) => {
                tracing::warn!(
                    upstream.name = upstream.name,
                    stream.id = %stream_id,
                    "the transmitter is given a fresh authorization to push with: {}",
                    mismatch.as_str()
                );
                self.tell(Entry::because(What::Reauthorized, mismatch.as_str(), now)).await?;
                match self.bring(&stream_id).await {
                    Err(KeeperError::Call { source, .. }) if source.is_not_found() => upstream.doubt(),
                    brought => {
                        if brought.is_err() && mismatch == Mismatch::Refused {
                            upstream.note_refused();
                        }
                        brought?;
                    }
                }
            }
            Step::Verify(stream_id, not_since) => match self.verify(&stream_id, not_since).await {
                Ok(Some(_)) => {
                    self.note(|progress| progress.asked_at = Some(upstream.env.now()));
                    store::note_granted(&mut *self.db().await?, upstream.id, now, upstream.env.now()).await?;
                }
                Ok(None) => return Ok(0),
                Err(KeeperError::Call { source, .. }) if source.is_not_found() => upstream.doubt(),
                Err(error) => return Err(error),
            },
        }
        Ok(1)
    }

    /// Tells what has turned since the last look. A stream that has become silent is looked after at once.
    async fn turned(&self, held: Arc<Held>) -> Result<Arc<Held>, KeeperError> {
        let (upstream, now) = (&self.upstream, self.upstream.env.now());
        let state = State::of(&held, upstream.settings.verify_patience.duration(), now);
        let told = state::told_of_a_turn(&held, state, now);
        let is_flowing = held.stream_id.is_some() && held.status != Some(StreamStatus::Disabled);
        let has_lost = is_flowing && held.lost_since.is_some();
        if state == held.told && told.is_empty() && !has_lost {
            return Ok(held);
        }
        if state == State::Silent && held.told != State::Silent {
            tracing::warn!(
                upstream.name = upstream.name,
                "the stream is silent: a verification event that was asked for has not come in time; looking after it"
            );
            self.note(|progress| progress.inspected_at = None);
        }
        let since = told.last().map_or(now, |entry| entry.at);
        let since = if state == held.told && told.is_empty() { held.told_since.unwrap_or(since) } else { since };
        store::turn(&mut *self.db().await?, upstream.id, &held, state, &told, since, now).await?;
        Ok(upstream.read_held().await?)
    }

    /// Writes down what became of the upstream.
    async fn tell(&self, entry: Entry) -> Result<(), KeeperError> {
        Ok(store::record(&mut *self.db().await?, self.upstream.id, &[entry]).await?)
    }

    /// Reads the stream; brings it to what is wanted if it is not; lets it go if it is not there.
    async fn inspect(&self, stream_id: &StreamId) -> Result<(), KeeperError> {
        let (upstream, metadata) = (&self.upstream, self.metadata().await?);
        let answer = match upstream.client.read(&metadata, stream_id).await {
            Err(error) if error.is_not_found() => {
                tracing::warn!(
                    upstream.name = upstream.name,
                    stream.id = %stream_id,
                    "the transmitter no longer knows the stream: events may have been lost since the last contact; creating it anew"
                );
                let now = upstream.env.now();
                if store::forget_stream(&mut *self.db().await?, upstream.id, stream_id, now).await? {
                    self.tell(Entry::because(What::Vanished, stream_id.as_str(), now)).await?;
                }
                upstream.read_held().await?;
                return Ok(());
            }
            answer => answer.map_err(self.call())?,
        };
        if plan::is_as_wanted(&answer, &upstream.wanted(None)) {
            self.hold(&answer, None).await?;
        } else {
            if let Some((theirs, ours)) = plan::elsewhere(&answer, &upstream.wanted(None)) {
                tracing::warn!(
                    upstream.name = upstream.name,
                    stream.id = %stream_id,
                    "the stream is delivered by {theirs} and not by {ours}: our settings have changed, or another receiver \
                     with the same credentials took it; taking it back"
                );
            }
            self.bring(stream_id).await?;
        }
        if metadata.status_endpoint.is_some() {
            let asked_at = upstream.env.now();
            let said = upstream.client.status(&metadata, stream_id).await.map_err(self.call())?;
            let reason = said.reason.as_deref().map(|reason| reason.replace('\0', ""));
            store::note_status(&mut *self.db().await?, upstream.id, said.status, reason.as_deref(), asked_at).await?;
        }
        Ok(())
    }

    /// Brings the stream to what is wanted; pushes come with a fresh authorization from then on.
    async fn bring(&self, stream_id: &StreamId) -> Result<(), KeeperError> {
        let metadata = self.metadata().await?;
        let authorization = self.new_authorization().await?;
        let wanted = self.upstream.wanted(authorization.as_ref().map(|(header, _)| header.clone()));
        let changed = self.changed(&metadata, UpdateStream::of(stream_id.clone(), wanted)).await?;
        self.hold(&changed, authorization.map(|(_, digest)| digest).as_ref()).await
    }

    /// Changes the stream and says what became of it, reading it if the transmitter does not say so itself.
    async fn changed(&self, metadata: &Metadata, change: UpdateStream) -> Result<StreamConfiguration, KeeperError> {
        let client = &self.upstream.client;
        match client.update(metadata, &change).await.map_err(self.call())? {
            Some(answer) => Ok(answer),
            None => client.read(metadata, &change.stream_id).await.map_err(self.call()),
        }
    }

    async fn hold(&self, answer: &StreamConfiguration, confirmed: Option<&Digest>) -> Result<(), KeeperError> {
        let upstream = &self.upstream;
        let stream = plan::accepted(answer, &upstream.settings, upstream.method())
            .map_err(|source| KeeperError::Stream { name: upstream.name.clone(), source })?;
        let now = upstream.env.now();
        let mut db = self.db().await?;
        let mut tx = self.fenced(&mut db).await?;
        store::hold_stream(&mut tx, upstream.id, &stream, confirmed, now).await?;
        tx.commit().await?;
        self.note(|progress| {
            progress.inspected_at = Some(now);
            let seconds = answer.min_verification_interval.unwrap_or(0).min(MAX_INTERVAL);
            progress.min_interval = std::time::Duration::from_secs(seconds);
        });
        upstream.read_held().await?;
        Ok(())
    }

    /// A fresh authorization for push, accepted from now on; the transmitter is told next.
    async fn new_authorization(&self) -> Result<Option<(SecretString, Digest)>, KeeperError> {
        let upstream = &self.upstream;
        if upstream.method() == Method::Poll {
            return Ok(None);
        }
        let header = format!("Bearer {}", upstream.env.random.secret());
        let digest = Digest::of(header.as_bytes());
        let now = upstream.env.now();
        self.note(|progress| progress.authorized_at = Some(now));
        let mut db = self.db().await?;
        let mut tx = self.fenced(&mut db).await?;
        store::propose_authorization(&mut tx, upstream.id, &digest, now).await?;
        tx.commit().await?;
        upstream.read_held().await?;
        Ok(Some((header.into(), digest)))
    }

    /// A transaction in which no other process looks after the upstream. One that stood still while it waited for the
    /// transmitter must not write over what its successor agreed with it meanwhile.
    async fn fenced<'a>(&self, db: &'a mut PgConnection) -> Result<Transaction<'a, Postgres>, KeeperError> {
        let upstream = &self.upstream;
        let mut tx = db.begin().await?;
        if store::is_anothers(&mut tx, upstream.id, upstream.lease.holder(), upstream.env.now()).await? {
            return Err(KeeperError::Superseded { name: upstream.name.clone() });
        }
        Ok(tx)
    }

    fn call(&self) -> impl Fn(CallError) -> KeeperError + use<> {
        let name = self.upstream.name.clone();
        move |source| KeeperError::Call { name: name.clone(), source }
    }

    pub(super) async fn db(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, sqlx::Error> {
        self.upstream.pool.acquire().await
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress());
    }
}

impl Worker for Keeper {
    const NAME: &'static str = "stream keeper";
    type Error = KeeperError;

    /// One step. To be run every second or so, and when the upstream has news.
    async fn tick(&self) -> Result<usize, KeeperError> {
        let stepped = self.step().await;
        match &stepped {
            Ok(0) => {}
            Ok(_) => self.recovered().await,
            Err(error) => self.remember(error).await,
        }
        stepped
    }
}

/// No transmitter means a longer one; a day.
const MAX_INTERVAL: u64 = 86_400;
