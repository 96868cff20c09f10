//! Keeping the memory up to date: one look at a time, each from where the last one ended.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::Env;
use ssf_common::runtime::postgres::within;

use super::issuers::{Heard, Issuer};
use super::memory::Memory;
use super::store::{self, Removal};
use super::visible::Visible;
use crate::session::SubjectKey;
use crate::upstream::IssuerId;

/// Where the last looks ended. Whoever holds it may look.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The number of the last commit of cut-offs that is in memory.
    seq: i64,
    /// The transaction number from which on changes of sessions are not all known; none before the first look.
    horizon: Option<i64>,
    /// Transactions from the horizon on whose changes are known: as long as an older one is open, it does not move.
    seen: BTreeSet<i64>,
    /// When changes of sessions were last read.
    changes_at: Timestamp,
    /// A look failed: the server may be another one now, that took over without our last commits.
    is_in_doubt: bool,
    /// When horizons were taken, the oldest first.
    horizons: Vec<(Timestamp, i64)>,
}

/// What a look at everything needs.
pub(super) struct Look<'a> {
    pub(super) pool: &'a PgPool,
    pub(super) env: &'a Env,
    pub(super) memory: &'a Memory,
    pub(super) visible: &'a Visible,
    /// The number of the feed that the last run of this process had seen.
    pub(super) seen_before: i64,
}

impl Look<'_> {
    /// Takes in one page of the feed. Returns how many keys moved; 0 if everything committed before is in memory now.
    pub(super) async fn at_cutoffs(&self, cursor: &mut Cursor) -> Result<usize, sqlx::Error> {
        let looked = within(LONGEST_LOOK, self.try_at_cutoffs(cursor)).await;
        cursor.is_in_doubt = looked.is_err();
        looked
    }

    async fn try_at_cutoffs(&self, cursor: &mut Cursor) -> Result<usize, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        // Before the snapshot: what is in it may be more than was there at this time, and is never less.
        let at = self.env.now();
        // A standby that took over may lack commits that we saw: their numbers are given a second time.
        let after = if cursor.is_in_doubt { cursor.seq.saturating_sub(GIVEN_TWICE) } else { cursor.seq };
        let page = store::page(&mut db, after, PAGE).await?;
        if page.head < cursor.seq {
            tracing::error!(
                feed.seen = cursor.seq,
                feed.now = page.head,
                "the database has gone back to an earlier state: everything is read again, what was known is kept"
            );
            cursor.seq = 0;
            return Ok(1);
        }
        let is_last = i64::try_from(page.moved.len()).unwrap_or(i64::MAX) < PAGE;
        let seq = if is_last { page.head } else { page.moved.last().map_or(page.head, |moved| moved.seq) };
        let first = cursor.seq + 1;
        let moved = page.moved.len();
        {
            let mut facts = self.memory.facts_to_change();
            for moved in page.moved {
                facts.cutoffs.merge(moved.issuer, moved.key, &moved.registers);
            }
            facts.seq = seq;
            if is_last {
                facts.cutoffs_as_of = facts.cutoffs_as_of.max(at);
            }
        }
        if first <= seq && cursor.horizon.is_some() {
            self.visible.note(first, seq, self.env.now());
        }
        cursor.seq = seq;
        Ok(if is_last { 0 } else { moved })
    }

    /// Takes in everything else: who is listened to, what became of sessions, which cut-offs were removed. To be called
    /// when the cut-offs are in memory.
    pub(super) async fn at_the_rest(&self, cursor: &mut Cursor) -> Result<(), sqlx::Error> {
        within(LONGEST_LOOK, self.try_at_the_rest(cursor)).await
    }

    async fn try_at_the_rest(&self, cursor: &mut Cursor) -> Result<(), sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let at = self.env.now();
        self.take_in_issuers(store::issuers(&mut db, at).await?, at);
        self.at_changes(&mut db, cursor).await?;
        // everything has been read, unless the database has not even what the last run of this process knew
        let mut facts = self.memory.facts_to_change();
        if !facts.is_whole && facts.seq >= self.seen_before {
            facts.is_whole = true;
            tracing::info!(
                cutoffs.count = facts.cutoffs.len(),
                memory.bytes = facts.cutoffs.bytes(),
                feed.seq = facts.seq,
                "all cut-offs are in memory"
            );
        }
        Ok(())
    }

    fn take_in_issuers(&self, rows: Vec<(IssuerUrl, IssuerId, Heard)>, at: Timestamp) {
        let mut issuers = HashMap::<IssuerId, Issuer>::new();
        let mut names = HashMap::new();
        for (url, id, heard) in rows {
            match issuers.entry(id) {
                Entry::Vacant(place) => drop(place.insert(Issuer::new(heard))),
                Entry::Occupied(mut place) => place.get_mut().add(heard),
            }
            names.insert(url, id);
        }
        let mut facts = self.memory.facts_to_change();
        for (url, id) in &names {
            let until = |issuers: &HashMap<_, Issuer>| issuers.get(id).and_then(|issuer| issuer.break_glass_until);
            match (until(&facts.issuers), until(&issuers)) {
                (before, Some(now)) if before != Some(now) => tracing::warn!(
                    issuer.url = %url,
                    break_glass.until = %now,
                    "BREAK-GLASS is open: the sessions of this issuer are not suspended by silence or gaps"
                ),
                (Some(_), None) => tracing::warn!(issuer.url = %url, "break-glass is over"),
                _ => {}
            }
        }
        facts.issuers = issuers;
        facts.issuer_ids = names;
        facts.issuers_as_of = facts.issuers_as_of.max(at);
    }

    async fn at_changes(&self, db: &mut PgConnection, cursor: &mut Cursor) -> Result<(), sqlx::Error> {
        let at = self.env.now();
        // Notes are kept for longer than this; a process that slept longer, or was told another time, begins anew.
        let slept = at.since(cursor.changes_at).max(cursor.changes_at.since(at));
        let since = cursor.horizon.filter(|_| slept < TRUST_NOTES);
        let (horizon, removed) = match since {
            None => {
                let horizon = store::horizon(db).await?;
                cursor.seen.clear();
                self.memory.sessions_to_change().forget_all();
                // whoever slept takes in all removals that are still noted; a cut-off whose note is gone stays in memory,
                // stricter than the table and never softer
                let slept = cursor.horizon.is_some();
                (horizon, if slept { self.at_removals(db, 0).await? } else { 0 })
            }
            Some(since) => {
                let seen: Vec<i64> = cursor.seen.iter().copied().collect();
                let changes = store::changes(db, since, &seen, MOST_CHANGES).await?;
                let is_all = i64::try_from(changes.sids.len()).unwrap_or(i64::MAX) < MOST_CHANGES;
                // a horizon that moved back is another server's
                let is_known = is_all && changes.horizon >= since;
                {
                    let mut sessions = self.memory.sessions_to_change();
                    if is_known {
                        changes.sids.iter().for_each(|sid| sessions.forget(sid));
                    } else {
                        sessions.forget_all();
                    }
                }
                // so many that they are not worth knowing apart are read again at the next look
                if cursor.seen.len() + changes.xids.len() < MOST_SEEN {
                    cursor.seen.extend(&changes.xids);
                }
                cursor.seen = cursor.seen.split_off(&changes.horizon);
                (changes.horizon, self.at_removals(db, since).await?)
            }
        };
        tracing::trace!(removed, "changes were read");
        self.memory.sessions_to_change().heard_until(at);
        (cursor.horizon, cursor.changes_at) = (Some(horizon), at);
        self.trim(db, cursor, horizon, at).await
    }

    /// Removes from memory what was removed from the table, unless something stands there again.
    async fn at_removals(&self, db: &mut PgConnection, since: i64) -> Result<usize, sqlx::Error> {
        let mut after = Removal { xid: since - 1, issuer: LAST_ISSUER, key: SubjectKey([u8::MAX; 16]) };
        let mut count = 0;
        loop {
            let removals = store::removals(db, after, PAGE).await?;
            let keys: Vec<_> = removals.iter().map(|removal| (removal.issuer, removal.key)).collect();
            let Some(last) = removals.last() else { return Ok(count) };
            after = *last;
            let now: HashMap<_, _> =
                store::standing_now(db, &keys).await?.into_iter().map(|(issuer, key, r)| ((issuer, key), r)).collect();
            let mut facts = self.memory.facts_to_change();
            for (issuer, key) in &keys {
                facts.cutoffs.replace(*issuer, *key, now.get(&(*issuer, *key)));
            }
            count += keys.len();
        }
    }

    /// Once a minute, removes the notes that everybody has read or is too late for.
    async fn trim(
        &self,
        db: &mut PgConnection,
        cursor: &mut Cursor,
        horizon: i64,
        at: Timestamp,
    ) -> Result<(), sqlx::Error> {
        if cursor.horizons.last().is_some_and(|(taken, _)| at.since(*taken) < TRIM_EVERY) {
            return Ok(());
        }
        cursor.horizons.push((at, horizon));
        let old = cursor.horizons.iter().take_while(|(taken, _)| at.since(*taken) >= KEEP_NOTES).count();
        if let Some((_, below)) = cursor.horizons.drain(..old).next_back() {
            // more than that is left for the next time
            store::trim(db, below, MOST_TRIMMED).await?;
        }
        Ok(())
    }
}

/// A database that vanished without a word answers never; whoever waits for a look must hear that it failed.
const LONGEST_LOOK: Duration = Duration::from_secs(10);
/// A page of the feed: some milliseconds of work.
const PAGE: i64 = 10_000;
/// With more changes of sessions than that at once, all sessions are read again when they are asked for.
const MOST_CHANGES: i64 = 10_000;
/// More transactions than that behind one that does not end.
const MOST_SEEN: usize = 100_000;
/// More commits than a standby that takes over may lack.
const GIVEN_TWICE: i64 = 10_000;
/// Notes of changes are kept for longer than a follower may be behind.
const KEEP_NOTES: Duration = Duration::from_mins(15);
const TRUST_NOTES: Duration = Duration::from_mins(10);
const MOST_TRIMMED: i64 = 100_000;
const TRIM_EVERY: Duration = Duration::from_mins(1);
/// Sorts behind every other.
const LAST_ISSUER: IssuerId = IssuerId(uuid::Uuid::max());
