//! [`Spread`]: from a cut-off that moved to one effect per session whose state it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::{Connection as _, PgPool};
use ssf_common::clock::Timestamp;
use ssf_common::runtime::{Env, Wake, Worker};

use super::news::{Cause, news};
use super::store::gaps;
use super::store::spread::{self as store, Living, Reached, Source};
use super::{Effect, EffectId};
use crate::config::Staleness;
use crate::cutoff::{Cut, Registers};
use crate::session::{Assertions, Sid, SubjectKey};
use crate::upstream::IssuerId;

/// Goes through the sessions behind cut-offs that moved, a page of each at a time, and makes effects of what changed.
///
/// The statement that moved a cut-off left a row of `effect_source`, so nothing is forgotten by a crash; a step (effects
/// made, sessions told, callbacks given out, the row moved on) is one transaction, so nothing is made twice. One process
/// at a time does this, whoever holds the row of `effect_feed`.
#[derive(Clone, Debug)]
pub struct Spread {
    pool: PgPool,
    env: Env,
    turns: Duration,
    told: Wake,
    cap: Duration,
}

impl Spread {
    /// `told` is rung when there are new effects; after a gap every session's turn to be proved again comes within `turns`.
    pub fn new(pool: PgPool, env: Env, turns: Duration, told: Wake) -> Self {
        Self { pool, env, turns, told, cap: Staleness::default().lineage_cap }
    }

    /// The same where what began so long ago is over.
    #[must_use]
    pub fn capped(self, cap: Duration) -> Self {
        Self { cap, ..self }
    }
}

impl Worker for Spread {
    const NAME: &'static str = "effects";
    type Error = sqlx::Error;

    /// One step of up to 32 sources; returns how many there were.
    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let mut tx = db.begin().await?;
        let position = store::lock_feed(&mut tx).await?;
        let sources = store::sources(&mut tx, SOURCES).await?;
        if sources.is_empty() {
            return Ok(0);
        }
        let reached = store::reached(&mut tx, &sources, PAGE).await?;
        let wanted: BTreeSet<_> = keys(&sources, &reached).collect();
        let registers = store::registers(&mut tx, wanted).await?;
        let now = self.env.now();
        // only who is let in again can meet one here
        let unblocked = sources.iter().filter(|source| source.cut == Cut::Unblock);
        let unblocked: Vec<IssuerId> = unblocked.map(|source| source.issuer_id).collect();
        let gap_ends = gaps::ends(&mut tx, &unblocked, self.turns, now).await?;
        let (mut effects, told) = changed(&sources, &reached, &registers, &gap_ends, now, self.cap);
        for (place, effect) in (position + 1..).zip(&mut effects) {
            (effect.position, effect.id) = (place, EffectId::new(now, &*self.env.random));
        }
        if !effects.is_empty() {
            store::write(&mut tx, &effects, &told, now).await?;
        }
        let (further, done) = progress(&sources, &reached);
        store::advance(&mut tx, &further, &done).await?;
        tx.commit().await?;
        if !effects.is_empty() {
            self.told.wake();
        }
        Ok(sources.len())
    }
}

/// Every key of every session reached.
fn keys<'a>(sources: &'a [Source], reached: &'a [Reached]) -> impl Iterator<Item = (IssuerId, SubjectKey)> + 'a {
    let living = reached.iter().filter_map(|one| Some((sources.get(one.place)?.issuer_id, one.living.as_ref()?)));
    living.flat_map(|(issuer_id, living)| living.keys.iter().map(move |key| (issuer_id, *key)))
}

/// The effects of one step, without place and name, each with what its session was asserted by. A session that several
/// sources reach is told by the first that is a cause; one of a probe is nobody's to be told of.
fn changed(
    sources: &[Source],
    reached: &[Reached],
    registers: &BTreeMap<(IssuerId, SubjectKey), Registers>,
    gap_ends: &BTreeMap<IssuerId, Timestamp>,
    now: Timestamp,
    cap: Duration,
) -> (Vec<Effect>, Vec<Assertions>) {
    let mut seen = BTreeSet::<&Sid>::new();
    let mut changed = (Vec::new(), Vec::new());
    for Reached { place, sid, living } in reached {
        let (Some(source), Some(Living { keys, asserted, told })) = (sources.get(*place), living) else { continue };
        let standing = keys.iter().filter_map(|key| registers.get(&(source.issuer_id, *key))).collect();
        if sid.is_probe() {
            continue;
        }
        let gap_until = gap_ends.get(&source.issuer_id).copied();
        let cause = Cause::Cut(source.cut);
        let Some(news) = news(cause, told.as_ref(), asserted, &standing, gap_until, now, cap) else { continue };
        if !seen.insert(sid) {
            continue;
        }
        changed.0.push(Effect {
            id: EffectId(uuid::Uuid::nil()),
            position: 0,
            sid: sid.clone(),
            issuer: source.issuer.clone(),
            change: news.change,
            reason: news.reason.map(|reason| reason.as_str().to_owned()),
            event_type: source.event_type.clone(),
            jti: source.jti.clone(),
            txn: source.txn.clone(),
            decided_at: source.decided_at,
            received_at: source.received_at,
            made_at: now,
            feed_seq: source.feed_seq,
        });
        changed.1.push(asserted.assertions);
    }
    changed
}

/// How far each source has come, and which have no session left.
fn progress<'a>(sources: &'a [Source], reached: &'a [Reached]) -> (Vec<(i64, &'a str)>, Vec<i64>) {
    let (mut further, mut done) = (Vec::new(), Vec::new());
    for (place, source) in sources.iter().enumerate() {
        let of_this = || reached.iter().filter(|one| one.place == place);
        match of_this().next_back() {
            Some(last) if of_this().count() >= PAGE => further.push((source.id, last.sid.as_str())),
            _ => done.push(source.id),
        }
    }
    (further, done)
}

/// So many cut-offs at once …
const SOURCES: i64 = 32;
/// … and so many sessions of each.
const PAGE: usize = 200;
