//! Running a batch: one statement, or one per SET if PostgreSQL refuses the content of one of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{PgConnection, PgPool};
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use ssf_common::runtime::postgres::{NO_ANSWER, within};
use ssf_common::runtime::telemetry::chain;

use super::applied::BatchId;
use super::arrival::Arrival;
use super::{AppliedLog, store};

/// What the statement said of one arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Fresh { applied_at: Timestamp },
    Known,
    WrongState,
    NoUpstream,
    Unstorable,
}

/// What runs the batches.
#[derive(Clone, Debug)]
pub(super) struct Batches {
    pub(super) pool: PgPool,
    pub(super) env: Env,
    pub(super) applied: Arc<AppliedLog>,
    /// The days for which there is a partition, as far as this process knows.
    pub(super) days: Arc<Mutex<BTreeSet<i64>>>,
}

impl Batches {
    /// One outcome per arrival, in their order; arrivals may repeat each other.
    pub(super) async fn run(&self, arrivals: Vec<Arrival>) -> Result<Vec<Outcome>, sqlx::Error> {
        let (firsts, place) = without_repetitions(arrivals);
        let outcomes = match self.apply(&firsts).await {
            Err(error) if is_about_content(&error) => self.apply_one_by_one(&firsts).await?,
            outcomes => outcomes?,
        };
        Ok(with_repetitions(&outcomes, place))
    }

    async fn apply(&self, arrivals: &[Arrival]) -> Result<Vec<Outcome>, sqlx::Error> {
        let batch = store::Batch {
            id: BatchId::new(self.env.now(), &*self.env.random),
            arrivals,
            applied: &self.applied.take(),
            now: self.env.now(),
        };
        let answer = async {
            let mut db = self.pool.acquire().await?;
            self.ensure_days(&mut db, arrivals).await?;
            store::apply(&mut db, &batch).await
        };
        let answer = within(NO_ANSWER, answer).await;
        match answer {
            Ok(answers) => {
                let applied_at = self.env.now();
                if answers.contains(&store::Answer::Fresh) {
                    self.applied.note(batch.id, applied_at);
                }
                Ok(answers.into_iter().map(|answer| answer.at(applied_at)).collect())
            }
            Err(error) => {
                self.applied.put_back(batch.applied.to_vec());
                self.days.lock().unwrap_or_else(PoisonError::into_inner).clear();
                Err(error)
            }
        }
    }

    /// Partitions are made ahead; this is for the first start, and for a SET that was issued before.
    async fn ensure_days(&self, db: &mut PgConnection, arrivals: &[Arrival]) -> Result<(), sqlx::Error> {
        let missing: Vec<Timestamp> = {
            let known = self.days.lock().unwrap_or_else(PoisonError::into_inner);
            arrivals.iter().map(|arrival| arrival.filed_at).filter(|at| !known.contains(&day_of(*at))).collect()
        };
        for at in missing {
            if !self.days.lock().unwrap_or_else(PoisonError::into_inner).contains(&day_of(at)) {
                store::ensure_day(db, at).await?;
                self.days.lock().unwrap_or_else(PoisonError::into_inner).insert(day_of(at));
            }
        }
        Ok(())
    }

    /// One SET of the batch is more than PostgreSQL can take: the others shall not suffer for it.
    async fn apply_one_by_one(&self, arrivals: &[Arrival]) -> Result<Vec<Outcome>, sqlx::Error> {
        let mut outcomes = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            match self.apply(std::slice::from_ref(arrival)).await {
                Ok(outcome) => outcomes.extend(outcome),
                Err(error) if is_about_content(&error) => {
                    tracing::error!(error = %chain(&error), "PostgreSQL refuses the content of a SET that was verified");
                    outcomes.push(Outcome::Unstorable);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(outcomes)
    }
}

/// The number of its day in UTC.
const fn day_of(at: Timestamp) -> i64 {
    at.unix_seconds().div_euclid(86_400)
}

/// The arrivals without those that repeat another of the same batch, and for each original its place among them.
fn without_repetitions(arrivals: Vec<Arrival>) -> (Vec<Arrival>, Vec<usize>) {
    let mut seen = HashMap::with_capacity(arrivals.len());
    let mut firsts: Vec<Arrival> = Vec::with_capacity(arrivals.len());
    let place = arrivals
        .into_iter()
        .map(|arrival| {
            *seen.entry((arrival.upstream_id, arrival.jti.clone())).or_insert_with(|| {
                firsts.push(arrival);
                firsts.len() - 1
            })
        })
        .collect();
    (firsts, place)
}

/// The outcome of each arrival: the first of those that repeat each other is fresh, the others are known.
fn with_repetitions(outcomes: &[Outcome], place: Vec<usize>) -> Vec<Outcome> {
    let mut given = vec![false; outcomes.len()];
    let of_each = |index: usize| match outcomes[index] {
        Outcome::Fresh { .. } if std::mem::replace(&mut given[index], true) => Outcome::Known,
        outcome => outcome,
    };
    place.into_iter().map(of_each).collect()
}

/// Is it a value that PostgreSQL cannot take (class 22, 23 or 54), rather than the database that is away?
fn is_about_content(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Level;
    use crate::cutoff::Effect;
    use crate::upstream::{Method, UpstreamId};

    fn arrival(upstream: u128, jti: &str) -> Arrival {
        Arrival {
            upstream_id: UpstreamId(uuid::Uuid::from_u128(upstream)),
            jti: jti.into(),
            event_type: "session-presented".to_owned(),
            txn: None,
            method: Method::Push,
            timeline: None,
            received_at: Timestamp::EPOCH,
            effect: Effect::Fact,
            decided_at: Timestamp::EPOCH,
            marks: Vec::new(),
            level: Level::Sl2,
            filed_at: Timestamp::EPOCH,
            withheld: None,
            fact: None,
            about: Vec::new(),
            asks_for: None,
        }
    }

    #[test]
    fn of_sets_that_repeat_each_other_in_one_batch_the_first_is_fresh() {
        let arrivals = vec![arrival(1, "a"), arrival(1, "b"), arrival(1, "a"), arrival(2, "a"), arrival(1, "b")];
        let (firsts, place) = without_repetitions(arrivals);
        assert_eq!((firsts.len(), &place), (3, &vec![0, 1, 0, 2, 1]));
        let fresh = Outcome::Fresh { applied_at: Timestamp::EPOCH };
        let outcomes = with_repetitions(&[fresh, Outcome::WrongState, fresh], place);
        assert_eq!(outcomes, [fresh, Outcome::WrongState, Outcome::Known, fresh, Outcome::WrongState]);
    }
}
