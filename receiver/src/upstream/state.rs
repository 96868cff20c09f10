//! [`State`]: what an upstream is at the moment, from its row alone; and what its history tells of a turn. All pure.

use std::time::Duration;

use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;

use super::Held;

/// What an upstream is at the moment: the first of these that holds, from below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There is no stream yet.
    #[default]
    Joining,
    /// The stream is there; no verification event has come yet.
    Unverified,
    /// All is well: the stream is enabled, and verified.
    Verified,
    /// A verification was granted and its event has not come in time: nobody knows whether others would.
    Silent,
    /// Something is wrong, and `trouble` says what.
    Troubled,
    /// The transmitter holds its events back.
    Paused,
    /// The transmitter throws its events away.
    Disabled,
    /// An operator removed it, or the settings do not name it any more.
    Removed,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Joining,
        Self::Unverified,
        Self::Verified,
        Self::Silent,
        Self::Troubled,
        Self::Paused,
        Self::Disabled,
        Self::Removed,
    ];

    /// The state of this row at this time; a verification may take `patience`.
    pub fn of(held: &Held, patience: Duration, now: Timestamp) -> Self {
        match (held.removed_at, &held.stream_id, held.status) {
            (Some(_), _, _) => Self::Removed,
            (None, None, _) if held.trouble_at.is_some() => Self::Troubled,
            (None, None, _) => Self::Joining,
            (None, Some(_), Some(StreamStatus::Disabled)) => Self::Disabled,
            (None, Some(_), Some(StreamStatus::Paused)) => Self::Paused,
            (None, Some(_), _) if held.trouble_at.is_some() => Self::Troubled,
            (None, Some(_), _) if held.unanswered().is_some_and(|since| now >= since.plus(patience)) => Self::Silent,
            (None, Some(_), _) if held.last_verified_at.is_none() => Self::Unverified,
            (None, Some(_), _) => Self::Verified,
        }
    }

    /// As it stands in the database and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Unverified => "unverified",
            Self::Verified => "verified",
            Self::Silent => "silent",
            Self::Troubled => "troubled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
        }
    }

    /// From the database.
    pub fn stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What can become of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the comment of upstream_history.what says what each means")]
pub enum What {
    Added,
    Changed,
    Removed,
    Created,
    Adopted,
    Recreated,
    Reauthorized,
    Vanished,
    Released,
    Verified,
    Silent,
    Paused,
    Disabled,
    Enabled,
    Refused,
    Trouble,
    Healed,
    Withheld,
}

impl What {
    /// As it stands in the history.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Created => "created",
            Self::Adopted => "adopted",
            Self::Recreated => "recreated",
            Self::Reauthorized => "reauthorized",
            Self::Vanished => "vanished",
            Self::Released => "released",
            Self::Verified => "verified",
            Self::Silent => "silent",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Refused => "refused",
            Self::Trouble => "trouble",
            Self::Healed => "healed",
            Self::Withheld => "withheld",
        }
    }
}

/// One line to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, by our clock.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// Why, safe to show.
    pub reason: Option<String>,
}

impl Entry {
    /// Without a reason.
    pub const fn new(what: What, at: Timestamp) -> Self {
        Self { at, what, reason: None }
    }

    /// With one.
    pub fn because(what: What, reason: impl Into<String>, at: Timestamp) -> Self {
        Self { at, what, reason: Some(reason.into()) }
    }
}

/// What the history tells when the state has turned from the one told last to `to`. Trouble and its end, and what the
/// keeper does to the stream, are told when they happen.
pub(super) fn told_of_a_turn(held: &Held, to: State, now: Timestamp) -> Vec<Entry> {
    let from = held.told;
    let mut told = Vec::new();
    let status = |what| Entry { at: held.status_changed_at.unwrap_or(now), what, reason: held.status_reason.clone() };
    let is_stopped = |state| matches!(state, State::Paused | State::Disabled);
    match to {
        State::Paused if from != to => told.push(status(What::Paused)),
        State::Disabled if from != to => told.push(status(What::Disabled)),
        State::Unverified | State::Verified | State::Silent | State::Troubled => {
            // It may have been disabled and enabled between two looks.
            let disabled_since = held.lost_since.filter(|_| held.lost_cause.as_deref() == Some(DISABLED));
            if let (Some(since), true) = (disabled_since, from != State::Disabled) {
                told.push(Entry::new(What::Disabled, since));
            }
            if (is_stopped(from) || disabled_since.is_some()) && held.stream_id.is_some() {
                told.push(status(What::Enabled));
            }
        }
        _ => {}
    }
    match (from, to) {
        (State::Joining | State::Unverified | State::Troubled | State::Paused | State::Disabled, State::Verified)
            if held.is_first_verified() =>
        {
            told.push(Entry::new(What::Verified, held.last_verified_at.unwrap_or(now)));
        }
        (State::Silent, State::Verified) => {
            let reason = "a verification event has come";
            told.push(Entry::because(What::Healed, reason, held.last_verified_at.unwrap_or(now)));
        }
        (from, State::Silent) if from != State::Silent => {
            let reason = "a verification event that was asked for has not come in time";
            told.push(Entry::because(What::Silent, reason, now));
        }
        _ => {}
    }
    told
}

/// `upstream.lost_cause` of a stream that its transmitter disabled.
pub(super) const DISABLED: &str = "stream_disabled";

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
