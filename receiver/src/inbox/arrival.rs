//! A verified SET made ready for the one statement: every decision is taken here, nothing is left of the subject.

use std::time::Duration;

use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::id::{Jti, Txn};
use ssf_common::set::{Refusal, Timeline, VerifiedSet};

use super::Context;
use crate::config::{Level, Rules, TenantWide};
use crate::cutoff::authority::{is_wide, outside};
use crate::cutoff::{Effect, Registers, Withheld, decided, effect_of};
use crate::facts::{Fact, fact_of};
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
    /// By which day it is filed: when it was issued, which is the same on every delivery. What is older than the horizon
    /// is filed with the oldest that is kept.
    pub(super) filed_at: Timestamp,
    /// Why it is held back, if it is.
    pub(super) withheld: Option<Withheld>,
    /// What it tells, under each of these keys.
    pub(super) fact: Option<(Fact, Vec<SubjectKey>)>,
    /// The keys of everybody it names, for what is kept of it.
    pub(super) about: Vec<SubjectKey>,
    /// It reaches many people, and may do so if that was not done too often lately.
    pub(super) asks_for: Option<TenantWide>,
}

impl Arrival {
    /// Decides what the SET becomes. Refused are an event type that PostgreSQL cannot hold as text, and a subject with
    /// more aliases than anybody has.
    pub(super) fn of(
        set: VerifiedSet,
        context: &Context,
        keyring: &Keyring,
        rules: &Rules,
        horizon: Duration,
    ) -> Result<Self, Refusal> {
        let claims = set.into_claims();
        let event_type = claims.event.event_type.name();
        if event_type.contains('\0') {
            return Err(Refusal::MalformedClaim("events"));
        }
        let decided = decided(&claims);
        let effect = storable(effect_of(&claims.event, &claims.sub_id, &rules.policy));
        // Never later than the arrival by more than clocks may differ: it would outlive what comes after it.
        let latest = context.received_at.plus(CLOCKS_DIFFER_BY);
        let keys = || keyring.of_event(&claims.iss, &claims.sub_id).map_err(|_| Refusal::MalformedClaim("sub_id"));
        let marks: Vec<_> = match effect.cut() {
            None => Vec::new(),
            Some(cut) => {
                let registers = Registers::of(cut, decided, latest);
                keys()?.into_iter().map(|key| (key, registers)).collect()
            }
        };
        let is_decision =
            matches!(effect, Effect::Cut(_) | Effect::Fact) && !claims.event.event_type.is_about_the_stream();
        let fact = match fact_of(&claims.event, decided.last().min(latest)).filter(|_| is_decision) {
            Some(fact) => Some((fact, keys()?)),
            None => None,
        };
        let about = if is_decision { keyring.of_everybody(&claims.iss, &claims.sub_id) } else { Vec::new() };
        let authority = &rules.authority;
        let reaches_many = effect.cut().is_some() && is_wide(&claims.sub_id, &claims.event.detail);
        let withheld = outside(authority, &claims.iss, &claims.sub_id)
            .or_else(|| (reaches_many && authority.tenant_wide.is_none()).then_some(Withheld::TenantWide))
            .filter(|_| is_decision);
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
            filed_at: claims.iat.max(context.received_at.minus(horizon)),
            withheld,
            fact,
            about,
            asks_for: authority.tenant_wide.filter(|_| reaches_many && withheld.is_none()),
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
