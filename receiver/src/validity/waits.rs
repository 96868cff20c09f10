//! [`Waits`]: those who wait until a session's state changes. Called by `GET /v1/sessions/{sid}?wait=…`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ssf_common::runtime::{Wake, Worker};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Answer, Question, Validity, ValidityError};
use crate::session::Sid;

/// Everybody who waits in this process. All sessions that are waited for are asked about together, whenever a cut-off
/// or a session changed and twice a second, so a thousand waiters cost one question. Clones share it.
#[derive(Clone, Debug)]
pub struct Waits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    validity: Validity,
    waiting: Mutex<BTreeMap<Sid, Asked>>,
    most: usize,
    changed: Wake,
    stop: CancellationToken,
}

/// A session that is waited for.
#[derive(Debug)]
struct Asked {
    waiters: usize,
    answers: watch::Sender<Option<Answer>>,
}

/// One who waits. Dropping it is leaving.
#[derive(Debug)]
pub struct Waiting {
    of: Waits,
    sid: Sid,
    answers: watch::Receiver<Option<Answer>>,
}

impl Waits {
    /// At most `most` wait at once; `stop` sends all of them home.
    pub fn new(validity: Validity, most: usize, changed: Wake, stop: CancellationToken) -> Self {
        Self(Arc::new(Shared { validity, waiting: Mutex::default(), most, changed, stop }))
    }

    /// Joins those who wait for this session; `None`: there are too many, or the service stops. Join *before* asking for
    /// the state there is: a change in between is then not missed.
    pub fn join(&self, sid: &Sid) -> Option<Waiting> {
        let mut waiting = self.waiting();
        let is_full = waiting.values().map(|asked| asked.waiters).sum::<usize>() >= self.0.most;
        if is_full || self.0.stop.is_cancelled() {
            return None;
        }
        let asked = waiting.entry(sid.clone()).or_insert_with(|| Asked { waiters: 0, answers: watch::channel(None).0 });
        asked.waiters += 1;
        let answers = asked.answers.subscribe();
        Some(Waiting { of: self.clone(), sid: sid.clone(), answers })
    }

    /// A session was registered, proved again or ended here: who waits for it shall hear at once.
    pub fn ring(&self) {
        self.0.changed.wake();
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Sid, Asked>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The next answer about the session, whether it is another one or not; `None` when the service stops.
    pub async fn next(&mut self) -> Option<Answer> {
        let stop = self.of.0.stop.clone();
        tokio::select! {
            () = stop.cancelled() => None,
            changed = self.answers.changed() => {
                changed.ok()?;
                *self.answers.borrow_and_update()
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.of.waiting();
        if let Some(asked) = waiting.get_mut(&self.sid) {
            asked.waiters -= 1;
            if asked.waiters == 0 {
                waiting.remove(&self.sid);
            }
        }
    }
}

impl Worker for Waits {
    const NAME: &'static str = "waits";
    type Error = ValidityError;

    /// Asks about everything that is waited for. To be run when `changed` rings and twice a second: a session's own end
    /// comes by time alone.
    async fn tick(&self) -> Result<usize, ValidityError> {
        let questions: Vec<Question> = self.waiting().keys().cloned().map(Question::named).collect();
        if questions.is_empty() {
            return Ok(0);
        }
        // The bell rings for the follower of the feed, too; it need not have been there yet.
        // The database that is away is news, too: what is in memory becomes stale.
        if let Err(error) = self.0.validity.replica().catch_up().await {
            tracing::debug!(%error, "those who wait are answered from memory");
        }
        for some in questions.chunks(AT_ONCE) {
            let answers = match self.0.validity.check_all(some).await {
                // Who waits was answered nothing yet, either.
                Err(ValidityError::NotWhole) => return Ok(0),
                answers => answers?,
            };
            let waiting = self.waiting();
            for (question, answer) in some.iter().zip(answers) {
                if let Question::Named(sid, _) = question
                    && let Some(asked) = waiting.get(sid)
                {
                    asked.answers.send_replace(Some(answer));
                }
            }
        }
        Ok(0)
    }
}

const AT_ONCE: usize = 1_000;
