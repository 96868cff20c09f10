//! [`Effect`]: what the application is told about one session. Made by `spread`, carried by callbacks and watchers.

use serde::{Deserialize, Serialize};
use ssf_common::clock::Timestamp;
use ssf_common::id::{IssuerUrl, Jti, Txn};
use ssf_common::uuid_id;

use crate::session::Sid;

uuid_id! {
    /// An effect: the same in every attempt to tell it, so the application knows a repetition by it.
    EffectId;
    /// The right to settle the callbacks that were taken with it.
    LeaseId;
}

/// The state a session is in now and was not in before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is over: destroy it.
    Revoked,
    /// No action may continue until there is a newer assertion of the issuer.
    RevalidateRequired,
    /// It may be used again: an account was let in that had been shut out.
    Active,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Revoked, Self::RevalidateRequired, Self::Active];

    /// As it stands in settings, in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::RevalidateRequired => "revalidate_required",
            Self::Active => "active",
        }
    }

    /// The change with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

/// One session whose state changed, and which decision did it. Nothing in it is personal data: `sid` is the
/// application's own opaque name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// Its name.
    pub id: EffectId,
    /// Its place in the order of commits.
    pub position: i64,
    /// The session.
    pub sid: Sid,
    /// Whose decision it was.
    pub issuer: IssuerUrl,
    /// The state it is in now.
    pub change: Change,
    /// Why, in the words of `GET /v1/sessions/{sid}`; absent when active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Short name of the event type, or its URI.
    pub event_type: String,
    /// The SET that brought it about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<Jti>,
    /// The transaction of that SET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<Txn>,
    /// When the issuer decided, by its clock.
    pub decided_at: Timestamp,
    /// When the SET had arrived, by our clock.
    pub received_at: Timestamp,
    /// When the effect was made, by our clock.
    pub made_at: Timestamp,
    /// The commit that moved the cut-off, as `feed` numbers it.
    pub feed_seq: i64,
}
