//! The hand: bulk that was taken before its receiver has room for it, so that one claim serves many of a job's SETs.
//!
//! A bulk job goes out a few at a time ([`super::pace`]); a claim for each few would cost more than sending them. What is
//! held is leased like what is on the wire. The [`super::courier`] sends it, and gives it back when its stream has changed
//! or it was promoted; it is given back as well when the stream falls into trouble, when its status is announced to change,
//! at the stop, and before the lease is too short to send. Urgent and prompt SETs are never held: they are taken when there
//! is room for them, past everything in the hand.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use ssf_common::clock::Timestamp;

use super::in_flight::Carried;
use super::{DeliveryId, LeaseId, Taken};
use crate::stream::StreamKey;

/// One SET in the hand.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) taken: Taken,
    pub(super) lease: LeaseId,
    /// After that it must be given back.
    pub(super) send_by: Timestamp,
    pub(super) carried: Carried,
}

/// What is held, per stream, in the order it was taken.
#[derive(Debug, Default)]
pub(super) struct Hand(Mutex<HashMap<StreamKey, VecDeque<Held>>>);

impl Hand {
    /// Behind what is held for its stream.
    pub(super) fn hold(&self, held: Held) {
        self.change(|hand| hand.entry(held.taken.stream).or_default().push_back(held));
    }

    /// Before what is held for its stream: it found no room after all.
    pub(super) fn put_back(&self, held: Held) {
        self.change(|hand| hand.entry(held.taken.stream).or_default().push_front(held));
    }

    /// The next one of `stream`.
    pub(super) fn next(&self, stream: StreamKey) -> Option<Held> {
        self.change(|hand| {
            let held = hand.get_mut(&stream)?;
            let next = held.pop_front();
            if held.is_empty() {
                hand.remove(&stream);
            }
            next
        })
    }

    /// For whom something is held.
    pub(super) fn streams(&self) -> Vec<StreamKey> {
        self.change(|hand| hand.keys().copied().collect())
    }

    /// What is held.
    pub(super) fn ids(&self) -> Vec<DeliveryId> {
        self.change(|hand| hand.values().flatten().map(|held| held.taken.id).collect())
    }

    /// How many are held for `stream`.
    pub(super) fn of(&self, stream: StreamKey) -> usize {
        self.change(|hand| hand.get(&stream).map_or(0, VecDeque::len))
    }

    /// How many are held.
    pub(super) fn all(&self) -> usize {
        self.change(|hand| hand.values().map(VecDeque::len).sum())
    }

    /// Lets go of everything of `stream`.
    pub(super) fn clear(&self, stream: StreamKey) -> Vec<Held> {
        self.change(|hand| hand.remove(&stream).unwrap_or_default().into())
    }

    /// Lets go of those of `stream` that are `wrong`.
    pub(super) fn let_go(&self, stream: StreamKey, wrong: impl Fn(&Held) -> bool) -> Vec<Held> {
        self.change(|hand| {
            let Some(held) = hand.remove(&stream) else { return Vec::new() };
            let (wrong, right): (Vec<Held>, Vec<Held>) = held.into_iter().partition(wrong);
            let right: VecDeque<Held> = right.into();
            if !right.is_empty() {
                hand.insert(stream, right);
            }
            wrong
        })
    }

    /// Lets go of everything that can no longer be sent in time.
    pub(super) fn overdue(&self, now: Timestamp) -> Vec<Held> {
        self.change(|hand| {
            let mut overdue = Vec::new();
            hand.retain(|_, held| {
                // taken earlier is due earlier
                while let Some(first) = held.pop_front_if(|first| first.send_by < now) {
                    overdue.push(first);
                }
                !held.is_empty()
            });
            overdue
        })
    }

    /// Lets go of everything.
    pub(super) fn empty(&self) -> Vec<Held> {
        self.change(|hand| hand.drain().flat_map(|(_, held)| held).collect())
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<StreamKey, VecDeque<Held>>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
