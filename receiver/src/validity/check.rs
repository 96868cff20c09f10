//! Asking: a session by its name, or a session or token by its description. Called by the API and by applications that
//! hold a receiver in their own process.

use std::collections::HashMap;
use std::sync::Arc;

use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;

use super::verdict::{Asserted, Reason, Verdict, evaluate};
use super::witness::{Point, Witness};
use crate::replica::{Facts, Known, Replica};
use crate::session::{Described, Sid};

/// Answers questions about validity from the memory of this process.
#[derive(Clone, Debug)]
pub struct Validity {
    replica: Replica,
    env: Env,
    witness: Arc<Witness>,
    point: Point,
}

/// Whose validity is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A registered session.
    Named(Sid),
    /// A session or token that is described and not registered.
    Described(Described),
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
    /// Answers from this memory, by this clock.
    pub fn new(replica: Replica, env: Env) -> Self {
        Self { replica, env, witness: Arc::default(), point: Point::default() }
    }

    /// The same, asked by another enforcement point.
    #[must_use]
    pub fn at(&self, point: Point) -> Self {
        Self { point, ..self.clone() }
    }

    /// Who remembers what was last allowed.
    pub const fn witness(&self) -> &Arc<Witness> {
        &self.witness
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
                (now, of_description(described, &facts, sessions, now))
            }
            Question::Named(sid) => {
                let (sessions, known) = memory.session(sid);
                let facts = memory.facts();
                if !facts.is_whole {
                    return Err(NotNow::NotWhole);
                }
                let known = known.ok_or(NotNow::NotInMemory)?;
                let now = self.env.now();
                (now, of_session(&known, &facts, sessions, now))
            }
        };
        self.witness.saw(&self.point, question, &answer, now);
        Ok(answer)
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
            Question::Named(sid) => Some(sid),
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
            let answer = |question: &Question| match question {
                Question::Described(described) => of_description(described, &facts, sessions, now),
                Question::Named(sid) => match known.get(sid) {
                    Some(known) => of_session(known, &facts, sessions, now),
                    None => unknown(Reason::NotRegistered, &facts, sessions),
                },
            };
            (now, questions.iter().map(answer).collect::<Vec<_>>())
        };
        questions.iter().zip(&answers).for_each(|(question, answer)| {
            self.witness.saw(&self.point, question, answer, now);
        });
        Ok(answers)
    }
}

fn of_description(described: &Described, facts: &Facts, sessions: Timestamp, now: Timestamp) -> Answer {
    let Some(issuer) = facts.issuers.get(&described.issuer) else {
        return unknown(Reason::UnknownIssuer, facts, sessions);
    };
    let standing = facts.cutoffs.standing(*issuer, &described.keys);
    let asserted = Asserted::from(described);
    Answer { verdict: evaluate(&asserted, &standing, now), as_of: facts.as_of(sessions), asserted: Some(asserted) }
}

fn of_session(known: &Known, facts: &Facts, sessions: Timestamp, now: Timestamp) -> Answer {
    let standing = facts.cutoffs.standing(known.issuer, &known.keys);
    let asserted = Asserted { assertions: known.assertions, expires_at: known.expires_at };
    Answer { verdict: evaluate(&asserted, &standing, now), as_of: facts.as_of(sessions), asserted: Some(asserted) }
}

fn unknown(reason: Reason, facts: &Facts, sessions: Timestamp) -> Answer {
    Answer { verdict: Verdict::unknown(reason), as_of: facts.as_of(sessions), asserted: None }
}

impl From<&Described> for Asserted {
    fn from(described: &Described) -> Self {
        Self { assertions: described.assertions, expires_at: described.expires_at }
    }
}
