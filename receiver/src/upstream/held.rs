//! What the database holds of an upstream: its stream, and the digests of the authorizations it may show.

use super::State;
use sha2::{Digest as _, Sha256};
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::id::StreamId;
use subtle::{Choice, ConstantTimeEq as _};

/// What is known of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The stream; `None` until there is one.
    pub stream_id: Option<StreamId>,
    /// What the transmitter last said of it.
    pub status: Option<StreamStatus>,
    /// The values of `aud` that mean us on it.
    pub audiences: Vec<String>,
    /// The event types it delivers, by URI.
    pub events_delivered: Vec<String>,
    /// Where to poll.
    pub poll_endpoint: Option<String>,
    /// What a push may show: the present authorization, and the next one while it is being registered.
    pub authorizations: Vec<Digest>,
    /// When the pending verification was asked for.
    pub verification_sent_at: Option<Timestamp>,
    /// When a good verification event last arrived.
    pub last_verified_at: Option<Timestamp>,
    /// When the transmitter last answered as it should.
    pub last_contact_at: Option<Timestamp>,
    /// The reason that came with the status.
    pub status_reason: Option<String>,
    /// When that status was last told or read.
    pub status_changed_at: Option<Timestamp>,
    /// When the first verification was granted that may not have been answered: see [`unanswered`](Self::unanswered).
    pub unanswered_since: Option<Timestamp>,
    /// Events may be lost since then …
    pub lost_since: Option<Timestamp>,
    /// … because of this.
    pub lost_cause: Option<String>,
    /// Since when something is wrong.
    pub trouble_at: Option<Timestamp>,
    /// The state that the history tells last.
    pub told: State,
    /// Since when.
    pub told_since: Option<Timestamp>,
    /// When an operator removed it.
    pub removed_at: Option<Timestamp>,
}

impl Held {
    /// Since when a verification that was granted has had no answer.
    pub fn unanswered(&self) -> Option<Timestamp> {
        self.unanswered_since.filter(|since| self.last_verified_at.is_none_or(|verified| *since > verified))
    }

    /// Whether the stream was verified since its state was told last, and not before.
    pub(super) fn is_first_verified(&self) -> bool {
        self.last_verified_at.is_some_and(|verified| self.told_since.is_none_or(|told| told <= verified))
    }

    /// Whether `header`, the value of `Authorization`, is one we registered. Takes the same time whether it is or not.
    pub fn authorizes(&self, header: &[u8]) -> bool {
        let shown = Digest::of(header);
        let is_one = self.authorizations.iter().map(|known| known.0.ct_eq(&shown.0));
        is_one.fold(Choice::from(0), |found, same| found | same).into()
    }
}

/// A stream as a transmitter confirmed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The transmitter's name for it.
    pub id: StreamId,
    /// The values of `aud` that mean us on it.
    pub audiences: Vec<String>,
    /// The event types it delivers, by URI.
    pub events_delivered: Vec<String>,
    /// Where to poll.
    pub poll_endpoint: Option<String>,
}

/// SHA-256 of the value of an `Authorization` header. Such a value has 256 bits of chance, so a plain digest keeps it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a header's value.
    pub fn of(header: &[u8]) -> Self {
        Self(Sha256::digest(header).into())
    }

    /// A digest that was stored.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// To be stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_and_the_next_authorization_are_accepted_and_no_other() {
        let digests = [b"Bearer one", b"Bearer two"].map(|header| Digest::of(header));
        let held = Held { authorizations: digests.into(), ..Held::default() };
        assert!(held.authorizes(b"Bearer one") && held.authorizes(b"Bearer two"));
        assert!(!held.authorizes(b"Bearer six") && !held.authorizes(b"") && !held.authorizes(b"bearer one"));
        assert!(!Held::default().authorizes(b""));
    }
}
