//! The verdict on a session or token: a pure function of when it was asserted and of what the matching keys say.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ssf_common::clock::Timestamp;

use crate::cutoff::Standing;
use crate::session::Assertions;

/// Whether a session or token may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It may be used.
    Active,
    /// No action may continue until there is a newer assertion of the issuer; the session's data may be kept.
    RevalidateRequired,
    /// It is over; nothing but a new login helps.
    Revoked,
    /// We do not know it.
    Unknown,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The subject is shut out (disabled or purged) and was not let in since.
    Blocked,
    /// The issuer revoked everything asserted until a time that is not before the origin.
    RevokedByIssuer,
    /// The issuer asks for an assertion newer than the newest there is.
    RevalidateByIssuer,
    /// The session's own end has come.
    Expired,
    /// The issuer has not been heard of for too long: suspended until it is.
    OutOfTouch,
    /// What the issuer decided may have been lost: it is this session's turn to be asserted anew.
    Gap,
    /// No session of this name is registered, or the application ended it itself.
    NotRegistered,
    /// Nothing is known of the issuer: no upstream is configured for it.
    UnknownIssuer,
    /// It began longer ago than anything may (`lineage.cap`): only a new login helps. Cut-offs older than that are not
    /// kept.
    TooOld,
}

impl Reason {
    /// As it stands on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::RevokedByIssuer => "revoked_by_issuer",
            Self::RevalidateByIssuer => "revalidate_by_issuer",
            Self::Expired => "expired",
            Self::OutOfTouch => "out_of_touch",
            Self::Gap => "gap",
            Self::NotRegistered => "not_registered",
            Self::UnknownIssuer => "unknown_issuer",
            Self::TooOld => "too_old",
        }
    }
}

/// A state and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// The state.
    pub state: State,
    /// Why; `None` when active.
    pub reason: Option<Reason>,
}

/// What the verdict on a session or token depends on, beside the cut-offs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asserted {
    /// When it was asserted.
    pub assertions: Assertions,
    /// From then on it must be revalidated.
    pub expires_at: Option<Timestamp>,
}

/// The verdict. The worst that applies wins; a tie between an assertion and a cut-off is lost.
///
/// What began `cap` ago or earlier is over whatever else is known of it, and that is said before any cut-off but a block:
/// so it makes no difference whether cut-offs as old as that are still there ([`Registers::is_spent`]).
///
/// [`Registers::is_spent`]: crate::cutoff::Registers::is_spent
pub fn evaluate(asserted: &Asserted, standing: &Standing, now: Timestamp, cap: Duration) -> Verdict {
    let cut = |at: Timestamp, cutoff: Option<Timestamp>| cutoff.is_some_and(|cutoff| at <= cutoff);
    let Assertions { origin, validated } = asserted.assertions;
    if standing.blocked {
        Verdict { state: State::Revoked, reason: Some(Reason::Blocked) }
    } else if origin <= now.minus(cap) {
        Verdict { state: State::Revoked, reason: Some(Reason::TooOld) }
    } else if cut(origin, standing.revoked_before) {
        Verdict { state: State::Revoked, reason: Some(Reason::RevokedByIssuer) }
    } else if cut(validated, standing.revalidate_before) {
        Verdict { state: State::RevalidateRequired, reason: Some(Reason::RevalidateByIssuer) }
    } else if asserted.expires_at.is_some_and(|end| end <= now) {
        Verdict { state: State::RevalidateRequired, reason: Some(Reason::Expired) }
    } else {
        Verdict { state: State::Active, reason: None }
    }
}

impl Verdict {
    /// We do not know it.
    pub const fn unknown(reason: Reason) -> Self {
        Self { state: State::Unknown, reason: Some(reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_hours(24);

    #[test]
    fn what_is_as_old_as_the_cap_is_over_and_a_block_is_said_before_it() {
        let (now, day) = (Timestamp::from_unix_seconds(1_000_000), Duration::from_hours(24));
        let began =
            |origin: Timestamp| Asserted { assertions: Assertions { origin, validated: now }, expires_at: None };
        let free = Standing::default();
        assert_eq!(evaluate(&began(now.minus(day)), &free, now, CAP).reason, Some(Reason::TooOld));
        let young = began(now.minus(day).plus(Duration::from_micros(1)));
        assert_eq!(evaluate(&young, &free, now, CAP).state, State::Active);
        let shut_out = Standing { blocked: true, ..free };
        assert_eq!(evaluate(&began(now.minus(day)), &shut_out, now, CAP).reason, Some(Reason::Blocked));
    }

    #[test]
    fn a_tie_to_the_microsecond_is_lost() {
        let at = Timestamp::from_unix_seconds(10);
        let asserted = Asserted { assertions: Assertions { origin: at, validated: at }, expires_at: None };
        let revoke = Standing { revoked_before: Some(at), ..Standing::default() };
        assert_eq!(evaluate(&asserted, &revoke, at, CAP).state, State::Revoked);
        let revalidate = Standing { revalidate_before: Some(at), ..Standing::default() };
        assert_eq!(evaluate(&asserted, &revalidate, at, CAP).state, State::RevalidateRequired);
    }
}

#[cfg(test)]
#[path = "verdict_model.rs"]
mod model;
