//! Asking: a session by its name, or a session or token by its description. Called by the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;

use super::store::{self, Asked, Found};
use super::verdict::{Asserted, Reason, Verdict, evaluate};
use super::witness::{Point, Witness};
use crate::session::{Described, Sid};

/// Answers questions about validity from the database.
#[derive(Clone, Debug)]
pub struct Validity {
    pool: PgPool,
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

/// No answer could be given: the database did not answer. There is no verdict, and none may be assumed.
#[derive(Debug, thiserror::Error)]
#[error("the question cannot be answered now")]
pub struct ValidityError(#[from] pub sqlx::Error);

impl Validity {
    /// Answers from this pool, by this clock.
    pub fn new(pool: PgPool, env: Env) -> Self {
        Self { pool, env, witness: Arc::default(), point: Point::default() }
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

    /// The verdict on one session or token.
    pub async fn check(&self, question: &Question) -> Result<Answer, ValidityError> {
        let (as_of, found) = self.look_up(std::slice::from_ref(question)).await?;
        let answer = answer(question, found.get(&0), as_of);
        self.witness.saw(&self.point, question, &answer, self.env.now());
        Ok(answer)
    }

    /// The verdicts on all of these, on one snapshot, in their order.
    pub async fn check_all(&self, questions: &[Question]) -> Result<Vec<Answer>, ValidityError> {
        let (as_of, found) = self.look_up(questions).await?;
        let answers = (0..).zip(questions).map(|(place, question)| answer(question, found.get(&place), as_of));
        let answers: Vec<Answer> = answers.collect();
        let now = self.env.now();
        questions.iter().zip(&answers).for_each(|(question, answer)| {
            self.witness.saw(&self.point, question, answer, now);
        });
        Ok(answers)
    }

    async fn look_up(&self, questions: &[Question]) -> Result<(Timestamp, BTreeMap<i32, Found>), ValidityError> {
        let mut asked = Asked::default();
        for (place, question) in (0..).zip(questions) {
            match question {
                Question::Named(sid) => asked.sids.push((place, sid)),
                Question::Described(described) => {
                    asked.issuers.push((place, &described.issuer));
                    asked.keys.extend(described.keys.iter().map(|key| (place, *key)));
                }
            }
        }
        let mut db = self.pool.acquire().await?;
        // Before the snapshot, so that no answer claims to know more than it does.
        let as_of = self.env.now();
        Ok((as_of, store::look_up(&mut db, &asked).await?))
    }
}

fn answer(question: &Question, found: Option<&Found>, as_of: Timestamp) -> Answer {
    let (asserted, unknown) = match question {
        Question::Named(_) => (found.and_then(|found| found.session), Reason::NotRegistered),
        Question::Described(described) => (found.map(|_| Asserted::from(described)), Reason::UnknownIssuer),
    };
    let standing = found.map(|found| found.standing).unwrap_or_default();
    let verdict = match &asserted {
        Some(asserted) => evaluate(asserted, &standing, as_of),
        None => Verdict::unknown(unknown),
    };
    Answer { verdict, as_of, asserted }
}

impl From<&Described> for Asserted {
    fn from(described: &Described) -> Self {
        Self { assertions: described.assertions, expires_at: described.expires_at }
    }
}
