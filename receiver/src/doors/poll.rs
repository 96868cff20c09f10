//! The poll loop of one upstream (RFC 8936): each [`tick`](Worker::tick) is one request.
//!
//! A request acknowledges what the last answers brought and was committed, reports what was refused, and waits for more.
//! Acknowledgements are repeated until an answer confirms the request that carried them. What could not be committed is
//! neither acknowledged nor reported: it comes again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ssf_common::clock::Timestamp;
use ssf_common::id::Jti;
use ssf_common::protocol::{PollRequest, PollResponse, SetError};
use ssf_common::runtime::telemetry::chain;
use ssf_common::runtime::{Env, Worker};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Admission, NotAdmitted};
use crate::config::Poll;
use crate::inbox::Context;
use crate::upstream::client::CallError;
use crate::upstream::{Method, store};

/// Polls one upstream.
#[derive(Debug)]
pub struct Poller {
    admission: Admission,
    settings: Poll,
    pool: sqlx::PgPool,
    env: Env,
    /// Ends a request that waits.
    stop: CancellationToken,
    settled: Mutex<Settled>,
    contact_noted_at: Mutex<Option<Timestamp>>,
}

/// What the transmitter does not know yet, or has not confirmed to know.
#[derive(Clone, Debug, Default)]
struct Settled {
    ack: Vec<Jti>,
    set_errs: BTreeMap<Jti, SetError>,
}

/// A poll did not do all of its work; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The transmitter was not reached or did not answer well.
    #[error("upstream {name}")]
    Call {
        /// Our name for the upstream.
        name: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// Some SETs could not be committed; they come again.
    #[error("upstream {name}: {count} SETs are not acknowledged")]
    NotNow {
        /// Our name for the upstream.
        name: String,
        /// How many.
        count: usize,
        /// Why the first was not.
        #[source]
        source: NotAdmitted,
    },
    /// Whether another process polls cannot be seen.
    #[error("the database did not answer")]
    Store(#[from] sqlx::Error),
}

impl Poller {
    /// Polls for this admission's upstream until `stop`.
    pub fn new(admission: Admission, settings: Poll, pool: sqlx::PgPool, env: Env, stop: CancellationToken) -> Self {
        let (settled, contact_noted_at) = (Mutex::default(), Mutex::default());
        Self { admission, settings, pool, env, stop, settled, contact_noted_at }
    }

    async fn exchange(
        &self,
        endpoint: &str,
        asked: &PollRequest,
        timeout: Duration,
    ) -> Result<PollResponse, PollError> {
        let upstream = &self.admission.upstream;
        let limit = upstream.policy().max_bytes.saturating_mul(self.settings.max_events as usize).min(MAX_ANSWER);
        let answer = upstream.client.poll(endpoint, asked, timeout, limit.max(MIN_ANSWER)).await;
        answer.map_err(|source| {
            if source.is_not_found() {
                upstream.doubt();
            }
            PollError::Call { name: upstream.name.clone(), source }
        })
    }

    /// Hands all SETs to the inbox at once, so that they share commits, and notes what became of each.
    async fn take(&self, sets: BTreeMap<Jti, String>) -> Result<usize, PollError> {
        let (upstream_id, level) = (self.admission.upstream.id, self.admission.upstream.settings.level);
        let context = Context { upstream_id, received_at: self.env.now(), method: Method::Poll, level };
        let mut admissions = JoinSet::new();
        for (jti, raw) in sets {
            let admission = self.admission.clone();
            admissions.spawn(async move { (jti, admission.admit(raw.as_bytes(), context).await) });
        }
        let (mut done, mut left) = (0, Vec::new());
        while let Some(admitted) = admissions.join_next().await {
            // A task that panicked settled nothing: its SET comes again.
            let Ok((jti, admitted)) = admitted else { continue };
            let answer = admitted.as_ref().err().map(NotAdmitted::answer);
            let mut settled = self.settled();
            match (answer, admitted) {
                (None, _) => settled.ack.push(jti),
                (Some(Some((err, description))), _) => {
                    settled.set_errs.insert(jti, SetError { err, description: Some(description) });
                }
                (Some(None), Err(error)) => {
                    left.push(error);
                    continue;
                }
                (Some(None), Ok(_)) => continue,
            }
            done += 1;
        }
        let count = left.len();
        match left.into_iter().next() {
            None => Ok(done),
            Some(source) => Err(PollError::NotNow { name: self.admission.upstream.name.clone(), count, source }),
        }
    }

    /// The answer to a request confirms what it carried.
    fn confirm(&self, carried: &Settled) {
        let mut settled = self.settled();
        settled.ack.retain(|jti| !carried.ack.contains(jti));
        settled.set_errs.retain(|jti, _| !carried.set_errs.contains_key(jti));
    }

    /// The stop has come while a request was waiting: what it carried is told once more, without waiting.
    async fn farewell(&self, endpoint: &str) {
        let Settled { ack, set_errs } = self.settled().clone();
        if ack.is_empty() && set_errs.is_empty() {
            return;
        }
        let asked = PollRequest { max_events: Some(0), return_immediately: Some(true), ack, set_errs };
        if let Err(error) = self.exchange(endpoint, &asked, FAREWELL).await {
            tracing::debug!(error = %chain(&error), "the last acknowledgements were not confirmed; the SETs come again");
        }
    }

    async fn note_contact(&self) {
        let now = self.env.now();
        {
            let mut noted_at = self.contact_noted_at.lock().unwrap_or_else(PoisonError::into_inner);
            if noted_at.is_some_and(|at| now < at.plus(BETWEEN_CONTACTS)) {
                return;
            }
            *noted_at = Some(now);
        }
        let id = self.admission.upstream.id;
        if let Err(error) = async { store::note_poll(&mut *self.pool.acquire().await?, id, now).await }.await {
            tracing::debug!(error = %chain(&error), "a contact could not be noted");
        }
    }

    fn settled(&self) -> std::sync::MutexGuard<'_, Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker for Poller {
    const NAME: &'static str = "poll loop";
    type Error = PollError;

    /// One request. Says 0, so that the loop pauses, if the transmitter answers at once with nothing, if there is no stream
    /// yet, and if another process looks after the upstream; an answer with nothing that was waited for counts as one.
    async fn tick(&self) -> Result<usize, PollError> {
        let upstream = &self.admission.upstream;
        let Some(endpoint) = upstream.held().poll_endpoint.clone() else { return Ok(0) };
        if !upstream.lease.hold().await? {
            return Ok(0);
        }
        let lost = upstream.lease.lost();
        let carried = self.settled().clone();
        let asked = PollRequest {
            max_events: Some(self.settings.max_events),
            return_immediately: Some(false),
            ack: carried.ack.clone(),
            set_errs: carried.set_errs.clone(),
        };
        let begin = Instant::now();
        let answer = tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                self.farewell(&endpoint).await;
                return Ok(0);
            }
            // What it brings comes again, to whoever polls now.
            () = lost => return Ok(0),
            answer = self.exchange(&endpoint, &asked, self.settings.timeout.duration()) => answer?,
        };
        self.confirm(&carried);
        self.note_contact().await;
        match self.take(answer.sets).await? {
            0 if begin.elapsed() >= WAITED => Ok(1),
            done => Ok(done),
        }
    }
}

/// Whoever takes longer with an empty answer has waited for something to say.
const WAITED: Duration = Duration::from_millis(500);
const FAREWELL: Duration = Duration::from_secs(2);
const BETWEEN_CONTACTS: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 64 * 1024 * 1024;
const MIN_ANSWER: usize = 1024 * 1024;
