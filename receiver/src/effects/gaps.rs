//! [`Gaps`]: after a time in which decisions may have been lost, the application is told of every session that must be proved
//! again for that.

use std::time::Duration;

use sqlx::{Connection as _, PgPool};
use ssf_common::clock::Timestamp;
use ssf_common::runtime::{Env, Wake, Worker};

use super::news::{Cause, news};
use super::store::gaps::{self as store, Walk};
use super::store::spread::{self, Living};
use super::{Effect, EffectId};
use crate::config::Staleness;
use crate::session::Sid;

/// Goes through the sessions of an issuer, a page at a time, when the turn of each has come: questions are answered in turns
/// spread over `staleness.spread` ([`is_due_after_a_gap`](crate::validity::is_due_after_a_gap)), and this begins at the end of
/// that, so an application that only listens hears of each within that time and a page.
///
/// A step is one transaction under the row of `effect_feed`, as those of [`Spread`](super::Spread) are.
#[derive(Clone, Debug)]
pub struct Gaps {
    pool: PgPool,
    env: Env,
    spread: Duration,
    told: Wake,
    cap: Duration,
}

impl Gaps {
    /// `told` is rung when there are new effects.
    pub fn new(pool: PgPool, env: Env, spread: Duration, told: Wake) -> Self {
        Self { pool, env, spread, told, cap: Staleness::default().lineage_cap }
    }

    /// The same where what began so long ago is over.
    #[must_use]
    pub fn capped(self, cap: Duration) -> Self {
        Self { cap, ..self }
    }
}

impl Worker for Gaps {
    const NAME: &'static str = "effects of gaps";
    type Error = sqlx::Error;

    /// One page of sessions; returns how many there were, and one more for the end of a gap.
    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let now = self.env.now();
        if store::next(&mut db, now.minus(self.spread), now).await?.is_none() {
            return Ok(0);
        }
        let mut tx = db.begin().await?;
        let position = spread::lock_feed(&mut tx).await?;
        let Some(walk) = store::next(&mut tx, now.minus(self.spread), now).await? else { return Ok(0) };
        let sessions = store::sessions(&mut tx, &walk, PAGE).await?;
        let keys = sessions.iter().flat_map(|(_, living)| living.keys.iter().map(|key| (walk.issuer_id, *key)));
        let wanted: std::collections::BTreeSet<_> = keys.collect();
        let registers = spread::registers(&mut tx, wanted).await?;
        let (mut effects, mut told) = (Vec::new(), Vec::new());
        for (sid, Living { keys, asserted, told: known }) in sessions.iter().filter(|(sid, _)| !sid.is_probe()) {
            let standing = keys.iter().filter_map(|key| registers.get(&(walk.issuer_id, *key))).collect();
            if let Some(news) = news(Cause::Gap, known.as_ref(), asserted, &standing, Some(walk.until), now, self.cap) {
                let reason = news.reason.map(|reason| reason.as_str().to_owned());
                effects.push(Effect { change: news.change, reason, ..self.effect(&walk, sid, now) });
                told.push(asserted.assertions);
            }
        }
        for (place, effect) in (position + 1..).zip(&mut effects) {
            effect.position = place;
        }
        if !effects.is_empty() {
            spread::write(&mut tx, &effects, &told, now).await?;
        }
        let last = sessions.last().filter(|_| sessions.len() >= PAGE).map(|(sid, _)| sid);
        store::advance(&mut tx, walk.gap_id, last).await?;
        tx.commit().await?;
        if !effects.is_empty() {
            self.told.wake();
        }
        Ok(sessions.len() + usize::from(last.is_none()))
    }
}

impl Gaps {
    /// Of a session, without what became of it and its place. Nobody decided it, so it carries the end of the gap.
    fn effect(&self, walk: &Walk, sid: &Sid, now: Timestamp) -> Effect {
        Effect {
            id: EffectId::new(now, &*self.env.random),
            position: 0,
            sid: sid.clone(),
            issuer: walk.issuer.clone(),
            change: super::Change::RevalidateRequired,
            reason: None,
            event_type: EVENT_TYPE.to_owned(),
            jti: None,
            txn: None,
            decided_at: walk.until,
            received_at: walk.until,
            made_at: now,
            feed_seq: walk.feed_seq,
        }
    }
}

/// In the place of an event's name: no event did it.
const EVENT_TYPE: &str = "gap";
/// So many sessions at once.
const PAGE: usize = 500;
