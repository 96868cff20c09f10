//! The verdict by definition: asks PostgreSQL for everything a question depends on, in one statement. Services answer
//! from memory ([`Validity`](super::Validity)), which must say the same as long as it is in touch with the issuer; the
//! tests compare the two.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;

use super::check::{Answer, Question, ValidityError};
use super::store::{self, Asked, Found};
use super::verdict::{Asserted, Reason, Verdict, evaluate};
use crate::config::{BindingClass, Staleness};

/// Answers questions about validity from the database.
#[derive(Clone, Debug)]
pub struct Definition {
    pool: PgPool,
    env: Env,
    cap: Duration,
}

impl Definition {
    /// Answers from this pool, by this clock.
    pub fn new(pool: PgPool, env: Env) -> Self {
        Self { pool, env, cap: Staleness::default().lineage_cap }
    }

    /// The verdicts on all of these, on one snapshot, in their order.
    pub async fn check_all(&self, questions: &[Question]) -> Result<Vec<Answer>, ValidityError> {
        let (as_of, found) = self.look_up(questions).await?;
        Ok((0..).zip(questions).map(|(place, question)| answer(question, found.get(&place), as_of, self.cap)).collect())
    }

    async fn look_up(&self, questions: &[Question]) -> Result<(Timestamp, BTreeMap<i32, Found>), ValidityError> {
        let mut asked = Asked::default();
        for (place, question) in (0..).zip(questions) {
            match question {
                Question::Named(sid, _) => asked.sids.push((place, sid)),
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

fn answer(question: &Question, found: Option<&Found>, as_of: Timestamp, cap: Duration) -> Answer {
    let (asserted, unknown) = match question {
        Question::Named(..) => (found.and_then(|found| found.session), Reason::NotRegistered),
        Question::Described(described) => (found.map(|_| Asserted::from(described)), Reason::UnknownIssuer),
    };
    let standing = found.map(|found| found.standing).unwrap_or_default();
    let verdict = match &asserted {
        Some(asserted) => evaluate(asserted, &standing, as_of, cap),
        None => Verdict::unknown(unknown),
    };
    // decides no verdict here: nothing is known of the touch
    let class = match question {
        Question::Named(..) => BindingClass::Bearer,
        Question::Described(described) => described.binding.class(),
    };
    Answer { verdict, as_of, asserted, class, touch: None, is_stale: false }
}
