//! Following a stream by polling it (RFC 8936).

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use ssf_common::backoff::Backoff;
use ssf_common::id::Jti;
use ssf_common::protocol::{PollRequest, PollResponse, SetError};
use ssf_common::runtime::telemetry::chain;

use super::check;
use super::judge::{Judge, Seen};
use super::tail::Watch;
use super::{Fault, Findings};
use crate::upstream::Answer;
use crate::upstream::client::CallError;
use crate::upstream::token::TokenError;

/// How a stream is polled.
#[derive(Clone, Debug)]
pub struct PollManner {
    /// Tell the transmitter what was accepted and refused. Without it everything stays with the transmitter.
    pub ack: bool,
    /// The most SETs asked for at once.
    pub max_events: u32,
    /// How long a long poll may take.
    pub timeout: Duration,
    /// The pause after an answer that came at once and brought nothing new.
    pub interval: Duration,
}

/// What goes on while one polls.
#[derive(Debug, Default)]
struct Progress {
    seen: HashSet<Jti>,
    ack: Vec<Jti>,
    set_errs: BTreeMap<Jti, SetError>,
    noticed: Findings,
    failures: u32,
}

impl PollManner {
    /// Polls until the stop. A transmitter that cannot be reached, or is busy, is waited for.
    pub(super) async fn follow(&self, watch: &Watch, judge: &Judge, endpoint: &str) -> Result<(), Fault> {
        let (stop, env) = (watch.shutdown.soft(), &watch.peer.env);
        let mut progress = Progress::default();
        while !stop.is_cancelled() {
            let asked = progress.request(self.max_events, false);
            let begin = env.now();
            let answer = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                answer = self.polled(watch, endpoint, &asked) => answer?,
            };
            let pause = match answer {
                Polled::Answer(answer) => {
                    progress.confirm(&asked);
                    progress.failures = 0;
                    progress.notice(watch, &check::polled(&answer, &asked));
                    let fresh = self.take(watch, judge, &answer, &mut progress).await;
                    let was_at_once = env.now().since(begin) < AT_ONCE;
                    if fresh == 0 && was_at_once { self.interval } else { Duration::ZERO }
                }
                Polled::Trouble { text, wait } => {
                    progress.failures += 1;
                    watch.screen.note(&text);
                    wait.unwrap_or_else(|| RETRY.delay(progress.failures, &*env.random))
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.farewell(watch, endpoint, &progress).await
    }

    async fn polled(&self, watch: &Watch, endpoint: &str, asked: &PollRequest) -> Result<Polled, Fault> {
        let peer = &watch.peer;
        let call = peer.poll(endpoint, asked, self.timeout)?;
        let answer = match peer.client.answered(&call).await {
            Ok(answer) => answer,
            Err(error) if is_passing(&error) => {
                return Ok(Polled::Trouble { text: format!("{}; trying again", chain(&error)), wait: None });
            }
            Err(error) => return Err(error.into()),
        };
        let (is_busy, wait) = (answer.status.is_server_error() || answer.status.as_u16() == 429, answer.retry_after());
        match peer.unless_refused(&call, answer) {
            Ok(answer) => Ok(Polled::Answer(answer)),
            Err(refused) if is_busy => Ok(Polled::Trouble { text: format!("{refused}; trying again"), wait }),
            Err(refused) => Err(refused),
        }
    }

    /// Shows what is new; how many that were.
    async fn take(&self, watch: &Watch, judge: &Judge, answer: &Answer, progress: &mut Progress) -> usize {
        // What is no answer of this kind was noticed already.
        let Ok(PollResponse { sets, .. }) = answer.json() else { return 0 };
        let mut fresh = 0;
        for (jti, raw) in sets {
            let is_known = progress.seen.contains(&jti);
            if is_known && !self.ack {
                continue;
            }
            let seen = match judge.judged(raw.as_bytes(), Some(jti.as_str())).await {
                Ok(seen) => seen,
                Err(error) => {
                    watch.screen.note(&format!("a SET cannot be judged now: {}", chain(&error)));
                    continue;
                }
            };
            if !is_known {
                if !watch.show(&seen) {
                    break;
                }
                fresh += 1;
            }
            if self.ack {
                progress.settle(&jti, &seen);
            }
            progress.seen.insert(jti);
        }
        fresh
    }

    /// What was accepted and refused last is told once more.
    async fn farewell(&self, watch: &Watch, endpoint: &str, progress: &Progress) -> Result<(), Fault> {
        if progress.ack.is_empty() && progress.set_errs.is_empty() {
            return Ok(());
        }
        match self.polled(watch, endpoint, &progress.request(0, true)).await? {
            Polled::Answer(answer) => watch.find(&check::polled(&answer, &progress.request(0, true))),
            Polled::Trouble { text, .. } => watch.screen.note(&format!("the last SETs are not acknowledged: {text}")),
        }
        Ok(())
    }
}

/// Whether it may go better in a while: nobody answered, or the token endpoint is not itself.
fn is_passing(error: &CallError) -> bool {
    match error {
        CallError::Fetch { .. } | CallError::Token { source: TokenError::Fetch(_), .. } => true,
        CallError::Token { source: TokenError::Refused { status, .. }, .. } => status.is_server_error(),
        _ => false,
    }
}

enum Polled {
    Answer(Answer),
    Trouble { text: String, wait: Option<Duration> },
}

impl Progress {
    fn request(&self, max_events: u32, return_immediately: bool) -> PollRequest {
        PollRequest {
            max_events: Some(max_events),
            return_immediately: Some(return_immediately),
            ack: self.ack.clone(),
            set_errs: self.set_errs.clone(),
        }
    }

    fn settle(&mut self, jti: &Jti, seen: &Seen) {
        match seen {
            Seen::Verified { .. } if !self.ack.contains(jti) => self.ack.push(jti.clone()),
            Seen::Verified { .. } => {}
            Seen::Refused { refusal, .. } => {
                let error = SetError { err: refusal.code(), description: Some(refusal.description()) };
                self.set_errs.insert(jti.clone(), error);
            }
        }
    }

    fn confirm(&mut self, asked: &PollRequest) {
        self.ack.retain(|jti| !asked.ack.contains(jti));
        self.set_errs.retain(|jti, _| !asked.set_errs.contains_key(jti));
    }

    /// Each fault once, not once per poll.
    fn notice(&mut self, watch: &Watch, findings: &Findings) {
        let mut fresh = Findings::default();
        for finding in findings.iter().filter(|finding| !self.noticed.iter().any(|known| known == *finding)) {
            fresh.note(finding.weight, finding.section, finding.text.clone());
        }
        watch.find(&fresh);
        self.noticed.extend(fresh);
    }
}

/// Whoever takes longer has waited for something to say.
const AT_ONCE: Duration = Duration::from_millis(500);
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), ceiling: Duration::from_secs(30) };
