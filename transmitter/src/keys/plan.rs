//! The life of a key, decided from its rows, the settings and the time: pure. The worker and the operator's commands
//! ask here; `change` does what is decided.

use std::collections::BTreeSet;
use std::time::Duration;

use ssf_common::clock::Timestamp;
use ssf_common::id::KeyId;
use ssf_common::jwks::Algorithm;

use crate::config;

/// How keys follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long a key signs; zero: until the operator rotates.
    pub every: Duration,
    /// How long a key is published before it signs: whoever cached the key set has read it anew by then.
    pub ahead: Duration,
    /// How long a key is published after it signed.
    pub after: Duration,
}

impl From<&config::Keys> for Rotation {
    fn from(keys: &config::Keys) -> Self {
        Self {
            every: keys.rotate_every.duration(),
            ahead: keys.publish_ahead.duration(),
            after: keys.publish_after.duration(),
        }
    }
}

/// Where a published key stands. It only moves down this list; below it, the key is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, signs nothing yet.
    Next,
    /// Signs.
    Active {
        /// From when on.
        since: Timestamp,
    },
    /// Verifies what it signed.
    Retired {
        /// From when on.
        since: Timestamp,
    },
}

impl KeyState {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active { .. } => "active",
            Self::Retired { .. } => "retired",
        }
    }
}

/// A published key, without its halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id in headers and in the published set.
    pub kid: KeyId,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Where it stands.
    pub state: KeyState,
    /// When it was made or imported; published since then.
    pub created_at: Timestamp,
}

impl Key {
    fn is_next(&self) -> bool {
        self.state == KeyState::Next
    }

    fn is_active(&self) -> bool {
        matches!(self.state, KeyState::Active { .. })
    }
}

/// The next key of this algorithm; there is at most one.
pub(crate) fn next_of(keys: &[Key], algorithm: Algorithm) -> Option<&Key> {
    keys.iter().find(|key| key.algorithm == algorithm && key.is_next())
}

/// The active key of this algorithm; there is at most one.
pub(crate) fn active_of(keys: &[Key], algorithm: Algorithm) -> Option<&Key> {
    keys.iter().find(|key| key.algorithm == algorithm && key.is_active())
}

/// A move of an issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a next key of this algorithm.
    Make(Algorithm),
    /// Let a next key sign; the one that signed so far is retired.
    Activate(KeyId),
    /// End the signing of a key that nobody uses.
    Retire(KeyId),
    /// Take a retired key out of the published set and erase its private half.
    Remove(KeyId),
}

/// What is due now for an issuer's keys, of which the algorithms `in_use` are needed. The steps of a list do not depend
/// on each other; taking them may make another one due, never the same again.
pub fn due(keys: &[Key], in_use: &BTreeSet<Algorithm>, rotation: &Rotation, now: Timestamp) -> Vec<Step> {
    let passed = |key: &Key| outlook(key, keys, in_use, rotation).filter(|outlook| outlook.at <= now);
    let mut steps: Vec<Step> = keys
        .iter()
        .filter_map(|key| match passed(key)?.what {
            Prospect::Signs => Some(Step::Activate(key.kid.clone())),
            Prospect::Ends => Some(Step::Retire(key.kid.clone())),
            Prospect::IsRemoved => Some(Step::Remove(key.kid.clone())),
            // the one that takes its place says so itself
            Prospect::IsFollowed => None,
        })
        .collect();
    let needs_one = |algorithm: &&Algorithm| {
        let follows = |key: &Key| follower_due(key, rotation).is_some_and(|due| due <= now);
        next_of(keys, **algorithm).is_none() && active_of(keys, **algorithm).is_none_or(follows)
    };
    steps.extend(in_use.iter().filter(needs_one).map(|algorithm| Step::Make(*algorithm)));
    steps
}

/// What comes next for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// It begins to sign.
    Signs,
    /// Another takes its place.
    IsFollowed,
    /// It ends signing and nobody takes its place, for nobody uses its algorithm.
    Ends,
    /// It leaves the published set, and its private half is erased.
    IsRemoved,
}

impl Prospect {
    /// The state it leads to.
    pub const fn state(self) -> &'static str {
        match self {
            Self::Signs => "active",
            Self::IsFollowed | Self::Ends => "retired",
            Self::IsRemoved => "removed",
        }
    }
}

/// What comes next for a key, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// What.
    pub what: Prospect,
    /// When.
    pub at: Timestamp,
}

/// What comes next for `key` among the issuer's `keys`; `None` if that is up to the operator.
pub fn outlook(key: &Key, keys: &[Key], in_use: &BTreeSet<Algorithm>, rotation: &Rotation) -> Option<Outlook> {
    let (what, at) = match key.state {
        KeyState::Next => (Prospect::Signs, key.created_at.plus(rotation.ahead)),
        KeyState::Active { since } => {
            if let Some(next) = next_of(keys, key.algorithm) {
                (Prospect::IsFollowed, next.created_at.plus(rotation.ahead))
            } else if rotation.every.is_zero() {
                return None;
            } else if in_use.contains(&key.algorithm) {
                (Prospect::IsFollowed, follower_due(key, rotation)?.plus(rotation.ahead))
            } else {
                (Prospect::Ends, since.plus(rotation.every))
            }
        }
        KeyState::Retired { since } => (Prospect::IsRemoved, since.plus(rotation.after)),
    };
    Some(Outlook { what, at })
}

/// When a follower of an active key must be published at the latest; `None` if the operator rotates.
fn follower_due(key: &Key, rotation: &Rotation) -> Option<Timestamp> {
    let KeyState::Active { since } = key.state else { return None };
    let lead = rotation.every.checked_sub(rotation.ahead)?;
    (!rotation.every.is_zero()).then(|| since.plus(lead))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
