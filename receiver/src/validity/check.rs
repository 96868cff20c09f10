//! Asking: a session by its name, or a session or token by its description. Called by the API.

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;

use super::store::{self, Asked};
use super::verdict::{Asserted, Reason, Verdict, evaluate};
use crate::session::{Assertions, Described, Sid};

/// Answers questions about validity from the database.
#[derive(Clone, Debug)]
pub struct Validity {
    pool: PgPool,
    env: Env,
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
    pub const fn new(pool: PgPool, env: Env) -> Self {
        Self { pool, env }
    }

    /// The verdict on one session or token.
    pub async fn check(&self, question: &Question) -> Result<Answer, ValidityError> {
        let answers = self.check_all(std::slice::from_ref(question)).await?;
        Ok(answers.into_iter().next().expect("as many answers as questions, and there was one"))
    }

    /// The verdicts on all of these, on one snapshot, in their order.
    pub async fn check_all(&self, questions: &[Question]) -> Result<Vec<Answer>, ValidityError> {
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
        // Before the snapshot, so that the answer never claims to know more than it does.
        let as_of = self.env.now();
        let found = store::look_up(&mut *self.pool.acquire().await?, &asked).await?;
        let answers = (0..).zip(questions).map(|(place, question)| {
            let found = found.get(&place);
            let (asserted, unknown) = match question {
                Question::Named(_) => (found.and_then(|f| f.session), Reason::NotRegistered),
                Question::Described(described) => (found.map(|_| Asserted::from(described)), Reason::UnknownIssuer),
            };
            let standing = found.map(|f| f.standing).unwrap_or_default();
            let verdict =
                asserted.as_ref().map_or(Verdict::unknown(unknown), |asserted| evaluate(asserted, &standing, as_of));
            Answer { verdict, as_of, asserted }
        });
        Ok(answers.collect())
    }
}

impl From<&Described> for Asserted {
    fn from(described: &Described) -> Self {
        let Assertions { origin, validated } = described.assertions;
        Self { assertions: Assertions { origin, validated }, expires_at: described.expires_at }
    }
}
