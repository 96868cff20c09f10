//! What one process knows, behind two locks that are held for moments only.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;

use super::cutoffs::Cutoffs;
use super::issuers::Issuer;
use super::sessions::{Known, Sessions};
use crate::session::Sid;
use crate::upstream::IssuerId;

/// The memory of a process.
///
/// Whoever asks about several sessions holds one [`Known`] of each and then looks at one [`Facts`] under its lock, so all
/// are judged on one snapshot of the cut-offs.
#[derive(Debug)]
pub struct Memory {
    facts: RwLock<Facts>,
    sessions: RwLock<Sessions>,
}

/// Everything but the sessions.
#[derive(Debug, Default)]
pub struct Facts {
    /// The cut-offs.
    pub cutoffs: Cutoffs,
    /// The issuers that are listened to.
    pub issuers: HashMap<IssuerId, Issuer>,
    /// Their names.
    pub issuer_ids: HashMap<IssuerUrl, IssuerId>,
    /// Whether everything has been read that was there when the process began. Until then nothing can be answered.
    pub is_whole: bool,
    /// Every cut-off up to this number of the feed is in memory.
    pub seq: i64,
    /// Every cut-off committed until then is in memory.
    pub cutoffs_as_of: Timestamp,
    /// Everything about issuers committed until then is in memory.
    pub issuers_as_of: Timestamp,
    /// No answer claims less than the last run of this process did.
    pub not_before: Timestamp,
}

impl Memory {
    pub(super) fn new(sessions: usize) -> Self {
        Self { facts: RwLock::default(), sessions: RwLock::new(Sessions::new(sessions)) }
    }

    /// Everything but the sessions, as long as the guard is held.
    pub fn facts(&self) -> RwLockReadGuard<'_, Facts> {
        self.facts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions of these names that are in memory, in their order, and until when changes of sessions were heard of.
    pub fn sessions<'a>(&self, sids: impl Iterator<Item = &'a Sid>) -> (Timestamp, Vec<Option<Arc<Known>>>) {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        (sessions.as_of(), sids.map(|sid| sessions.find(sid).map(Arc::clone)).collect())
    }

    /// Until when changes of sessions were heard of.
    pub fn sessions_as_of(&self) -> Timestamp {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).as_of()
    }

    /// The session of this name if it is in memory, and until when changes of sessions were heard of.
    pub fn session(&self, sid: &Sid) -> (Timestamp, Option<Arc<Known>>) {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        (sessions.as_of(), sessions.find(sid).map(Arc::clone))
    }

    pub(super) fn facts_to_change(&self) -> RwLockWriteGuard<'_, Facts> {
        self.facts.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sessions_to_change(&self) -> RwLockWriteGuard<'_, Sessions> {
        self.sessions.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    /// Everything committed until then is taken into account, if changes of sessions were heard of until `sessions`.
    pub fn as_of(&self, sessions: Timestamp) -> Timestamp {
        self.fresh_until(sessions).max(self.not_before)
    }

    /// The same by the clock of this run alone: what ages are counted from.
    pub fn fresh_until(&self, sessions: Timestamp) -> Timestamp {
        self.cutoffs_as_of.min(self.issuers_as_of).min(sessions)
    }
}
