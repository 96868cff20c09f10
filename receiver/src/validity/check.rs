//! Asking: a session by its name, or a session or token by its description. Called by the API and by applications that
//! hold a receiver in their own process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;

use super::touch::{Touch, is_due_after_a_gap};
use super::verdict::{Asserted, Reason, Verdict, evaluate};
use super::witness::{Point, Witness};
use crate::config::{BindingClass, Staleness};
use crate::replica::{Facts, Issuer, Known, Replica};
use crate::session::{Binding, Described, Sid, SubjectKey};
use crate::upstream::IssuerId;

/// Answers questions about validity from the memory of this process.
#[derive(Clone, Debug)]
pub struct Validity {
    replica: Replica,
    env: Env,
    staleness: Staleness,
    witness: Arc<Witness>,
    is_witnessed: bool,
    point: Point,
}

/// Whose validity is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A registered session, and by what it was shown *on this request* to be its sender's. Whatever it was registered
    /// with, the windows of what is bound to a key hold only for who has just shown the key.
    Named(Sid, Binding),
    /// A session or token that is described and not registered.
    Described(Described),
}

impl Question {
    /// About a registered session, whoever asks for it.
    pub const fn named(sid: Sid) -> Self {
        Self::Named(sid, Binding::Bearer)
    }
}

/// The answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// Everything committed until then was taken into account; by our clock.
    pub as_of: Timestamp,
    /// What it was asserted by; `None` when unknown.
    pub asserted: Option<Asserted>,
    /// Whose windows hold for it.
    pub class: BindingClass,
    /// How well this process was in touch with the issuer; `None` when unknown.
    pub touch: Option<Touch>,
    /// Whether what is known of the issuer is older than it should be.
    pub is_stale: bool,
}

/// No answer could be given. There is no verdict, and none may be assumed.
#[derive(Debug, thiserror::Error)]
pub enum ValidityError {
    /// The process has just begun and reads the cut-offs; come again in a second.
    #[error("the cut-offs are not in memory yet")]
    NotWhole,
    /// The session is not in memory, and the database did not give it.
    #[error("the session cannot be read now")]
    Store(#[from] sqlx::Error),
}

/// Why [`Validity::check_now`] gave no answer: it may be that [`Validity::check`] gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// As [`ValidityError::NotWhole`].
    #[error("the cut-offs are not in memory yet")]
    NotWhole,
    /// The session is not in memory; it may be registered all the same.
    #[error("the session is not in memory")]
    NotInMemory,
}

impl Validity {
    /// Answers from this memory, by this clock, and by the default settings of staleness.
    pub fn new(replica: Replica, env: Env) -> Self {
        let (witness, point) = (Arc::default(), Point::default());
        Self { replica, env, staleness: Staleness::default(), witness, is_witnessed: true, point }
    }

    /// The same by other bounds of staleness.
    #[must_use]
    pub fn within(self, staleness: Staleness) -> Self {
        Self { staleness, ..self }
    }

    /// The same, asked by another enforcement point.
    #[must_use]
    pub fn at(&self, point: Point) -> Self {
        Self { point, ..self.clone() }
    }

    /// The same, for looks of which nobody is told: they allow nothing.
    #[must_use]
    pub fn unwitnessed(self) -> Self {
        Self { is_witnessed: false, ..self }
    }

    /// Who remembers what was last allowed.
    pub const fn witness(&self) -> &Arc<Witness> {
        &self.witness
    }

    /// What began so long ago is over.
    pub const fn lineage_cap(&self) -> Duration {
        self.staleness.lineage_cap
    }

    /// What is in memory.
    pub const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The verdict on a session or token that is described, or on a session that is in memory because it was asked for
    /// lately: without waiting for anything, in about a microsecond. Two locks are held for moments.
    ///
    /// ```no_run
    /// # use ssf_receiver::validity::{NotNow, Question, State, Validity};
    /// # fn may_continue(validity: &Validity, question: &Question) -> bool {
    /// match validity.check_now(question) {
    ///     Ok(answer) => answer.verdict.state == State::Active,
    ///     // ask `check`, which may wait for the database
    ///     Err(NotNow::NotInMemory | NotNow::NotWhole) => false,
    /// }
    /// # }
    /// ```
    pub fn check_now(&self, question: &Question) -> Result<Answer, NotNow> {
        let memory = self.replica.memory();
        let (now, answer) = match question {
            Question::Described(described) => {
                let sessions = memory.sessions_as_of();
                let facts = memory.facts();
                if !facts.is_whole {
                    return Err(NotNow::NotWhole);
                }
                let now = self.env.now();
                (now, self.snapshot(&facts, sessions, now).of_description(described))
            }
            Question::Named(sid, shown) => {
                let (sessions, known) = memory.session(sid);
                let facts = memory.facts();
                if !facts.is_whole {
                    return Err(NotNow::NotWhole);
                }
                let known = known.ok_or(NotNow::NotInMemory)?;
                let now = self.env.now();
                (now, self.snapshot(&facts, sessions, now).of_session(&known, *shown))
            }
        };
        self.saw(question, &answer, now);
        Ok(answer)
    }

    fn saw(&self, question: &Question, answer: &Answer, now: Timestamp) {
        if self.is_witnessed {
            self.witness.saw(&self.point, question, answer, now);
        }
    }

    const fn snapshot<'a>(&'a self, facts: &'a Facts, sessions: Timestamp, now: Timestamp) -> Snapshot<'a> {
        Snapshot { facts, sessions, now, staleness: &self.staleness }
    }

    /// The verdict on one session or token. A session that is not in memory is read by its key.
    pub async fn check(&self, question: &Question) -> Result<Answer, ValidityError> {
        match self.check_now(question) {
            Ok(answer) => Ok(answer),
            Err(NotNow::NotWhole) => Err(ValidityError::NotWhole),
            Err(NotNow::NotInMemory) => {
                let answers = self.check_all(std::slice::from_ref(question)).await?;
                answers.first().copied().ok_or(ValidityError::NotWhole)
            }
        }
    }

    /// The verdicts on all of these, on one snapshot of the cut-offs, in their order. Sessions that are not in memory
    /// are read in one statement.
    pub async fn check_all(&self, questions: &[Question]) -> Result<Vec<Answer>, ValidityError> {
        if !self.replica.memory().facts().is_whole {
            return Err(ValidityError::NotWhole);
        }
        let named = questions.iter().filter_map(|question| match question {
            Question::Named(sid, _) => Some(sid),
            Question::Described(_) => None,
        });
        let (sessions, found) = self.replica.memory().sessions(named.clone());
        let mut known: HashMap<&Sid, Arc<Known>> = HashMap::with_capacity(found.len());
        let mut missing: Vec<&Sid> = Vec::new();
        for (sid, found) in named.zip(found) {
            match found {
                Some(found) => drop(known.insert(sid, found)),
                None => missing.push(sid),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        let read = if missing.is_empty() { Vec::new() } else { self.replica.read_sessions(&missing).await? };
        known.extend(read.iter().map(|(sid, row)| (sid, Arc::clone(row))));
        let (now, answers) = {
            let (facts, now) = (self.replica.memory().facts(), self.env.now());
            let snapshot = self.snapshot(&facts, sessions, now);
            let answer = |question: &Question| match question {
                Question::Described(described) => snapshot.of_description(described),
                Question::Named(sid, shown) => match known.get(sid) {
                    Some(known) => snapshot.of_session(known, *shown),
                    None => snapshot.unknown(Reason::NotRegistered),
                },
            };
            (now, questions.iter().map(answer).collect::<Vec<_>>())
        };
        questions.iter().zip(&answers).for_each(|(question, answer)| {
            self.saw(question, answer, now);
        });
        Ok(answers)
    }
}

/// One snapshot of the memory, at one moment.
struct Snapshot<'a> {
    facts: &'a Facts,
    /// Until when changes of sessions were heard of.
    sessions: Timestamp,
    now: Timestamp,
    staleness: &'a Staleness,
}

/// What is asked for, wherever it came from.
struct Subject<'a> {
    issuer: IssuerId,
    keys: &'a [SubjectKey],
    asserted: Asserted,
    class: BindingClass,
}

impl Snapshot<'_> {
    fn of_description(&self, described: &Described) -> Answer {
        let Some(issuer) = self.facts.issuer_ids.get(&described.issuer) else {
            return self.unknown(Reason::UnknownIssuer);
        };
        let (keys, class) = (described.keys.as_slice(), described.binding.class());
        self.of(&Subject { issuer: *issuer, keys, asserted: described.into(), class })
    }

    fn of_session(&self, known: &Known, shown: Binding) -> Answer {
        let asserted = Asserted { assertions: known.assertions, expires_at: known.expires_at };
        let class = known.binding.class().min(shown.class());
        self.of(&Subject { issuer: known.issuer, keys: &known.keys, asserted, class })
    }

    fn of(&self, asked: &Subject<'_>) -> Answer {
        let standing = self.facts.cutoffs.standing(asked.issuer, asked.keys);
        let verdict = evaluate(&asked.asserted, &standing, self.now, self.staleness.lineage_cap);
        let issuer = self.facts.issuers.get(&asked.issuer);
        // nobody listens to it any more: whatever level it had, its silence is endless
        let limits = self.staleness.limits(issuer.map(|issuer| issuer.level).unwrap_or_default(), asked.class);
        let touch = self.touch(issuer);
        let is_in_gap = issuer.is_some_and(|issuer| {
            let spread = self.staleness.spread.min(limits.hard);
            is_due_after_a_gap(&issuer.gaps, asked.asserted.assertions, asked.keys, spread, self.now)
        });
        Answer {
            verdict: touch.judge(verdict, limits, is_in_gap),
            as_of: self.facts.as_of(self.sessions),
            asserted: Some(asked.asserted),
            class: asked.class,
            touch: Some(touch),
            is_stale: touch.is_stale(limits),
        }
    }

    fn touch(&self, issuer: Option<&Issuer>) -> Touch {
        Touch {
            feed_age: self.now.since(self.facts.fresh_until(self.sessions)),
            issuer_age: issuer.map(|issuer| self.now.since(issuer.heard_at)),
            is_overridden: issuer.is_some_and(|issuer| issuer.is_overridden(self.now)),
        }
    }

    fn unknown(&self, reason: Reason) -> Answer {
        Answer {
            verdict: Verdict::unknown(reason),
            as_of: self.facts.as_of(self.sessions),
            asserted: None,
            class: BindingClass::Bearer,
            touch: None,
            is_stale: false,
        }
    }
}

impl From<&Described> for Asserted {
    fn from(described: &Described) -> Self {
        Self { assertions: described.assertions, expires_at: described.expires_at }
    }
}
