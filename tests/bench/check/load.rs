//! What a receiver has to know before it is asked: cut-offs, as many as decisions would have left, and sessions.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;
use ssf_common::random::{Random as _, SeededRandom};
use ssf_common::subject::Subject;
use ssf_receiver::session::register::register;
use ssf_receiver::session::{Description, Keyring, Sid, SubjectKey};
use ssf_receiver::validity::{Question, State};

use super::shapes::Shape;

/// Who decided, about whom, and when: at least an hour ago.
pub(super) struct Decisions {
    pub(super) issuer: IssuerUrl,
    pub(super) keyring: Keyring,
    /// So many of each shape; numbers from here on were never decided about.
    pub(super) of_each: usize,
    pub(super) at: Timestamp,
}

/// Something to ask, as the application writes it and as it is read.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) shape: Shape,
    pub(super) body: Value,
    pub(super) question: Question,
    pub(super) expected: State,
}

impl Decisions {
    /// Writes the cut-offs into the table, in commits of [`COMMIT`] numbered by the feed, as the inbox does.
    pub(super) async fn write(&self, pool: &PgPool) -> anyhow::Result<()> {
        let numbers: Vec<usize> = (0..self.of_each).collect();
        for some in numbers.chunks(COMMIT / Shape::ALL.len()) {
            let mut keys = Vec::with_capacity(COMMIT);
            for (shape, number) in Shape::ALL.iter().flat_map(|shape| some.iter().map(move |number| (shape, *number))) {
                let subject = Subject::parse(&shape.subject(self.issuer.as_str(), number))?;
                keys.extend(self.keyring.of_event(&self.issuer, &subject)?);
            }
            let written = self.commit(pool, &keys).await?;
            ensure!(usize::try_from(written)? == keys.len(), "{written} of {} cut-offs were written", keys.len());
        }
        // autovacuum would have been at it long before there were so many
        sqlx::query("vacuum analyze cutoff").execute(pool).await?;
        Ok(())
    }

    async fn commit(&self, pool: &PgPool, keys: &[SubjectKey]) -> anyhow::Result<u64> {
        let insert = "with counted as (update feed set seq = seq + 1 returning seq)
             insert into cutoff (issuer_id, key, revoked_before, feed_seq, updated_at)
             select i.id, key, $3, counted.seq, $3 from counted, issuer i, unnest($2::bytea[]) key where i.url = $1";
        let insert = sqlx::query(insert).bind(self.issuer.as_str()).bind(keys).bind(self.at);
        Ok(insert.execute(pool).await?.rows_affected())
    }

    /// `count` sessions by chance: of each shape as many, half of them of a number that was decided about, half of these
    /// asserted before the decision and therefore over. They are described, not registered.
    pub(super) fn cases(&self, count: usize, chance: &SeededRandom) -> anyhow::Result<Vec<Case>> {
        (0..count).map(|place| self.case(Shape::ALL[place % Shape::ALL.len()], chance, Shape::session)).collect()
    }

    /// The same with the most names a session has.
    pub(super) fn widest_cases(&self, count: usize, chance: &SeededRandom) -> anyhow::Result<Vec<Case>> {
        (0..count).map(|place| self.case(Shape::ALL[place % Shape::ALL.len()], chance, Shape::widest_session)).collect()
    }

    fn case(
        &self,
        shape: Shape,
        chance: &SeededRandom,
        written: impl Fn(Shape, &str, usize, i64) -> Value,
    ) -> anyhow::Result<Case> {
        let mut bytes = [0; 9];
        chance.fill(&mut bytes);
        let [which @ .., coin] = bytes;
        let number = usize::try_from(u64::from_le_bytes(which) % (2 * self.of_each as u64))?;
        let is_older = coin % 2 == 0;
        let origin = if is_older { self.at.minus(AN_HOUR) } else { self.at.plus(AN_HOUR) };
        let body = written(shape, self.issuer.as_str(), number, origin.unix_seconds());
        let description: Description = serde_json::from_value(body.clone())?;
        let question = Question::Described(description.read(&self.keyring, origin)?);
        let is_over = is_older && number < self.of_each;
        Ok(Case { shape, body, question, expected: if is_over { State::Revoked } else { State::Active } })
    }

    /// Registers these sessions; the same cases, asked for by name.
    pub(super) async fn registered(
        &self,
        pool: &PgPool,
        cases: Vec<Case>,
        now: Timestamp,
    ) -> anyhow::Result<Vec<Case>> {
        let mut named = Vec::with_capacity(cases.len());
        for (number, case) in cases.into_iter().enumerate() {
            let sid = Sid(format!("session-{number:012}"));
            let Question::Described(described) = case.question else { continue };
            register(pool, &sid, described, now).await?;
            let body = serde_json::json!({ "sid": sid });
            named.push(Case { body, question: Question::named(sid), ..case });
        }
        Ok(named)
    }
}

const COMMIT: usize = 1_200;
/// Between a login and the decision, on either side.
const AN_HOUR: Duration = Duration::from_hours(1);
