//! [`Replica`]: the memory of this process, and what others ask of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::runtime::{Env, Wake};
use tokio::sync::Mutex;

use super::follower::{Cursor, Look};
use super::memory::Memory;
use super::sessions::Known;
use super::signs::{self, Run, Sign};
use super::store;
use super::visible::Visible;
use crate::session::Sid;

/// What this process knows of cut-offs, sessions and issuers. Clones share one memory.
#[derive(Clone, Debug)]
pub struct Replica(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    env: Env,
    plan: Plan,
    run: Run,
    memory: Memory,
    cursor: Mutex<Cursor>,
    /// How many looks at the feed were begun, and which was the last to find its end.
    begun: AtomicU64,
    ended: AtomicU64,
    /// The first answer may be given soon: whoever commits must wait for a look from now on.
    is_nearly_whole: AtomicBool,
    visible: Visible,
    bell: Wake,
    has_namesake: AtomicBool,
}

/// How a replica is set up.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What this process is called, also after a restart. No two processes at a time have the same name.
    pub name: String,
    /// The most sessions held in memory.
    pub sessions: usize,
    /// How long it is kept when commits became visible here.
    pub keep_seen: Duration,
}

impl Replica {
    /// A replica that goes on from where the last process of this name stood, and that has read the first page of
    /// cut-offs: where there are no more, it [is whole](super::memory::Facts::is_whole) already.
    pub async fn open(pool: PgPool, env: Env, plan: Plan) -> Result<Self, sqlx::Error> {
        let run = signs::begin(&pool, &env, &plan.name).await?;
        let memory = Memory::new(plan.sessions);
        if let Some(as_of) = run.as_of_before {
            memory.facts_to_change().not_before = as_of;
        }
        let replica = Self(Arc::new(Inner {
            pool,
            env,
            plan,
            run,
            memory,
            cursor: Mutex::default(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            is_nearly_whole: AtomicBool::new(false),
            visible: Visible::default(),
            bell: Wake::new(),
            has_namesake: AtomicBool::new(false),
        }));
        if replica.follow_feed().await? == 0 {
            replica.follow_changes().await?;
        }
        Ok(replica)
    }

    /// What is known.
    pub fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// What this process is called.
    pub fn name(&self) -> &str {
        &self.0.plan.name
    }

    /// To be rung when a notification says that there is something new.
    pub fn bell(&self) -> &Wake {
        &self.0.bell
    }

    /// Returns when every cut-off that was committed before this call is in memory; a look is shared by all who wait
    /// for one. While the first reading goes on there is nothing to wait for: no question is answered before its end.
    pub async fn catch_up(&self) -> Result<(), sqlx::Error> {
        if !self.0.is_nearly_whole.load(Ordering::SeqCst) {
            return Ok(());
        }
        // a look that has begun already may have missed it
        let begun = self.0.begun.load(Ordering::SeqCst);
        let mut cursor = self.0.cursor.lock().await;
        while self.0.ended.load(Ordering::SeqCst) <= begun {
            self.look(&mut cursor).await?;
        }
        Ok(())
    }

    /// The sessions of these names that are registered and have not ended, read by key; the first `limit` of them stay
    /// in memory until they change.
    pub async fn read_sessions(&self, sids: &[&Sid]) -> Result<Vec<(Sid, Arc<Known>)>, sqlx::Error> {
        let tickets: Vec<_> = {
            let mut sessions = self.0.memory.sessions_to_change();
            sids.iter().map(|sid| sessions.begin(sid)).collect()
        };
        let names: Vec<&str> = sids.iter().map(|sid| sid.as_str()).collect();
        let rows = {
            let mut db = self.0.pool.acquire().await?;
            store::sessions(&mut db, &names).await?
        };
        let by_name: std::collections::HashMap<&Sid, &Arc<Known>> = rows.iter().map(|(sid, row)| (sid, row)).collect();
        let mut sessions = self.0.memory.sessions_to_change();
        for (sid, ticket) in sids.iter().zip(tickets) {
            sessions.end((*sid).clone(), ticket, by_name.get(sid).copied());
        }
        drop(sessions);
        Ok(rows)
    }

    /// This process has changed the session: from now on nobody is answered from what was known of it here. Others hear
    /// of it by [`follow_changes`](Self::follow_changes).
    pub fn session_changed(&self, sid: &Sid) {
        self.0.memory.sessions_to_change().forget(sid);
    }

    /// Takes in one page of the feed; 0 when its end was found. What [`FollowFeed`](super::FollowFeed) does.
    pub async fn follow_feed(&self) -> Result<usize, sqlx::Error> {
        let mut cursor = self.0.cursor.lock().await;
        self.look(&mut cursor).await
    }

    /// Takes in who is listened to, what became of sessions, and which cut-offs were removed, if the cut-offs
    /// themselves are in memory. What [`FollowChanges`](super::FollowChanges) does.
    pub async fn follow_changes(&self) -> Result<(), sqlx::Error> {
        if self.0.ended.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        let mut cursor = self.0.cursor.lock().await;
        if !self.0.is_nearly_whole.swap(true, Ordering::SeqCst) {
            // who committed before that did not wait; what they committed is seen by a look that begins now
            while self.look(&mut cursor).await? > 0 {}
        }
        self.looking().at_the_rest(&mut cursor).await
    }

    /// Says that this process lives and what it has seen. What [`SignsOfLife`](super::SignsOfLife) does.
    pub async fn give_sign(&self) -> Result<(), sqlx::Error> {
        let inner = &*self.0;
        let sessions_as_of = inner.memory.sessions_as_of();
        let (seq, as_of, is_whole) = {
            let facts = inner.memory.facts();
            (facts.seq, facts.as_of(sessions_as_of), facts.is_whole)
        };
        // the last run had seen more so far
        if !is_whole {
            return Ok(());
        }
        let sign = Sign { seq, as_of, keep_seen: inner.plan.keep_seen };
        let is_ours = signs::give(&inner.pool, &inner.env, &inner.plan.name, &inner.run, &sign, &inner.visible).await?;
        if !is_ours && !inner.has_namesake.swap(true, Ordering::Relaxed) {
            tracing::error!(
                replica.name = inner.plan.name,
                "another process goes by the name of this one: give each its own (replica.name), or neither is known after a restart"
            );
        }
        Ok(())
    }

    async fn look(&self, cursor: &mut Cursor) -> Result<usize, sqlx::Error> {
        let number = self.0.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let moved = self.looking().at_cutoffs(cursor).await?;
        if moved == 0 {
            self.0.ended.store(number, Ordering::SeqCst);
        }
        Ok(moved)
    }

    fn looking(&self) -> Look<'_> {
        let inner = &*self.0;
        Look {
            pool: &inner.pool,
            env: &inner.env,
            memory: &inner.memory,
            visible: &inner.visible,
            seen_before: inner.run.seq_before,
        }
    }
}
