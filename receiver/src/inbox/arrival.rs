//! A verified SET made ready for the one statement: every decision is taken here, nothing is left of the subject.

use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::id::{Jti, Txn};
use ssf_common::set::{Refusal, Timeline, VerifiedSet};

use super::Context;
use crate::config::Level;
use crate::cutoff::{Effect, Registers, decided, effect_of};
use crate::session::describe::CLOCKS_DIFFER_BY;
use crate::session::{Keyring, SubjectKey};
use crate::upstream::{Method, UpstreamId};

/// One SET on its way into the database.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) upstream_id: UpstreamId,
    pub(super) jti: Jti,
    pub(super) event_type: String,
    pub(super) txn: Option<Txn>,
    pub(super) method: Method,
    pub(super) timeline: Option<Timeline>,
    pub(super) received_at: Timestamp,
    pub(super) effect: Effect,
    /// The first instant of the decision: an older stream-updated does not overrule a newer one.
    pub(super) decided_at: Timestamp,
    pub(super) marks: Vec<(SubjectKey, Registers)>,
    /// Whose windows hold for it.
    pub(super) level: Level,
}

impl Arrival {
    /// Decides what the SET becomes. Refused are an event type that PostgreSQL cannot hold as text, and a subject with
    /// more aliases than anybody has.
    pub(super) fn of(set: VerifiedSet, context: &Context, keyring: &Keyring) -> Result<Self, Refusal> {
        let claims = set.into_claims();
        let event_type = claims.event.event_type.name();
        if event_type.contains('\0') {
            return Err(Refusal::MalformedClaim("events"));
        }
        let decided = decided(&claims);
        let effect = storable(effect_of(&claims.event));
        let marks = match effect.cut() {
            None => Vec::new(),
            Some(cut) => {
                // Never later than the arrival by more than clocks may differ: it would outlive what comes after it.
                let registers = Registers::of(cut, decided, context.received_at.plus(CLOCKS_DIFFER_BY));
                let keys =
                    keyring.of_event(&claims.iss, &claims.sub_id).map_err(|_| Refusal::MalformedClaim("sub_id"))?;
                keys.into_iter().map(|key| (key, registers)).collect()
            }
        };
        Ok(Self {
            upstream_id: context.upstream_id,
            event_type: event_type.to_owned(),
            jti: claims.jti,
            txn: claims.txn,
            method: context.method,
            timeline: claims.timeline,
            received_at: context.received_at,
            effect,
            decided_at: decided.first(),
            marks,
            level: context.level,
        })
    }

    /// The state of a verification event, if it carries one.
    pub(super) fn state(&self) -> Option<&str> {
        match &self.effect {
            Effect::Verified { state } => state.as_deref(),
            _ => None,
        }
    }

    /// The status of a stream-updated event and its reason.
    pub(super) fn stream_status(&self) -> Option<(StreamStatus, Option<&str>)> {
        match &self.effect {
            Effect::StreamStatus { status, reason } => Some((*status, reason.as_deref())),
            _ => None,
        }
    }
}

/// Texts a stranger chose, in the bounds of what is kept: a reason for people is shortened, a state we cannot have sent
/// stays wrong in any form.
fn storable(effect: Effect) -> Effect {
    let plain = |text: String| text.chars().filter(|c| *c != '\0').take(MAX_TEXT).collect::<String>();
    match effect {
        Effect::Verified { state } => Effect::Verified { state: state.map(plain) },
        Effect::StreamStatus { status, reason } => Effect::StreamStatus { status, reason: reason.map(plain) },
        other => other,
    }
}

/// Longer reasons are of no use to anybody.
const MAX_TEXT: usize = 1_024;
