//! What each inbound event becomes: a pure function of the event, its subject and the policy, and the table of its test.

use ssf_common::event::{ChangeDirection, Detail, Event, EventType, StreamStatus};
use ssf_common::subject::{Simple, Subject};

use super::registers::Cut;
use crate::config::{Becomes, EffectPolicy};

/// What an event becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A cut-off on the subject it names.
    Cut(Cut),
    /// An answer to a verification request, if the state is the one we sent (SSF 1.0 §8.1.4).
    Verified {
        /// The state it carries.
        state: Option<String>,
    },
    /// The transmitter set the status of the stream (SSF 1.0 §8.1.5).
    StreamStatus {
        /// The new status.
        status: StreamStatus,
        /// The reason it gives.
        reason: Option<String>,
    },
    /// Recorded; touches no session.
    Fact,
    /// A type we do not know: recorded, acknowledged, without effect.
    Unknown,
    /// The policy wants nothing of it.
    Ignored,
}

impl Effect {
    /// As it stands in `received_set.effect`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Cut(Cut::Revoke) => "revoke",
            Self::Cut(Cut::Revalidate) => "revalidate",
            Self::Cut(Cut::Block) => "block",
            Self::Cut(Cut::Unblock) => "unblock",
            Self::Verified { .. } => "verified",
            Self::StreamStatus { .. } => "stream_status",
            Self::Fact => "fact",
            Self::Unknown => "none",
            Self::Ignored => "ignored",
        }
    }

    /// The cut-off it makes, if it makes one.
    pub const fn cut(&self) -> Option<Cut> {
        match self {
            Self::Cut(cut) => Some(*cut),
            _ => None,
        }
    }
}

/// What this event becomes for this subject under this policy.
///
/// What concerns the stream itself is fixed; everything else has a row in the policy, or is of a type nobody knows.
pub fn effect_of(event: &Event, subject: &Subject, policy: &EffectPolicy) -> Effect {
    match (&event.event_type, &event.detail) {
        (EventType::Verification, Detail::Verification { state }) => Effect::Verified { state: state.clone() },
        (EventType::Verification, _) => Effect::Verified { state: None },
        (EventType::StreamUpdated, Detail::StreamUpdated { status, reason }) => {
            Effect::StreamStatus { status: *status, reason: reason.clone() }
        }
        (EventType::StreamUpdated, _) => Effect::Fact,
        (event_type, detail) => match policy.becomes(event_type.name(), condition(event_type, detail), tenant(subject))
        {
            Some((Becomes::Revoke, _)) => Effect::Cut(Cut::Revoke),
            Some((Becomes::Revalidate, _)) => Effect::Cut(Cut::Revalidate),
            Some((Becomes::Block, _)) => Effect::Cut(Cut::Block),
            Some((Becomes::Unblock, _)) => Effect::Cut(Cut::Unblock),
            Some((Becomes::Fact, _)) => Effect::Fact,
            Some((Becomes::Ignore, _)) => Effect::Ignored,
            None => Effect::Unknown,
        },
    }
}

/// Under which of the conditions that its type has in a policy the event stands.
fn condition(event_type: &EventType, detail: &Detail) -> Option<&'static str> {
    match detail {
        Detail::CredentialChange { change_type, .. } => Some(change_type.as_str()),
        Detail::AssuranceLevelChange { change_direction, .. } => {
            Some(change_direction.map_or("unstated", ChangeDirection::as_str))
        }
        Detail::RiskLevelChange { current_level, .. } => Some(current_level.as_str()),
        Detail::DeviceComplianceChange { current_status, .. } => Some(current_status.as_str()),
        // an event of such a type cannot be read without its members
        _ if *event_type == EventType::AssuranceLevelChange => Some("unstated"),
        _ => None,
    }
}

/// The tenant a subject names, as a session names it by text: an opaque id, or a URI.
pub(crate) fn tenant(subject: &Subject) -> Option<&str> {
    let Subject::Complex(complex) = subject else { return None };
    match complex.members().get("tenant")? {
        Simple::Opaque { id } => Some(id),
        Simple::Uri { uri } | Simple::Did { url: uri } => Some(uri),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use ssf_common::event::Vocabulary;

    use super::*;

    fn of(name: &str, payload: &Value) -> &'static str {
        let event_type = EventType::from_name(name, &Vocabulary::default()).unwrap();
        let subject = Subject::parse(&json!({"format": "opaque", "id": "u"})).unwrap();
        effect_of(&Event::parse(event_type, payload).unwrap(), &subject, &EffectPolicy::default()).as_str()
    }

    #[test]
    fn every_known_type_has_the_effect_of_the_table() {
        let table = [
            ("session-revoked", json!({}), "revoke"),
            ("sessions-revoked", json!({}), "revoke"),
            ("credential-compromise", json!({"credential_type": "password"}), "revoke"),
            ("identifier-recycled", json!({}), "revoke"),
            ("revalidate", json!({"event_timestamp": 1_795_000_000}), "revalidate"),
            ("token-claims-change", json!({"claims": {"role": "guest"}}), "revalidate"),
            ("credential-change", json!({"credential_type": "pin", "change_type": "revoke"}), "revalidate"),
            ("credential-change", json!({"credential_type": "pin", "change_type": "delete"}), "revalidate"),
            ("credential-change", json!({"credential_type": "pin", "change_type": "update"}), "revalidate"),
            ("credential-change", json!({"credential_type": "pin", "change_type": "create"}), "fact"),
            ("assurance-level-change", assurance(Some("decrease")), "revalidate"),
            ("assurance-level-change", assurance(Some("increase")), "fact"),
            ("assurance-level-change", assurance(None), "revalidate"),
            ("account-credential-change-required", json!({}), "revalidate"),
            ("risk-level-change", json!({"principal": "USER", "current_level": "HIGH"}), "revalidate"),
            ("risk-level-change", json!({"principal": "USER", "current_level": "MEDIUM"}), "fact"),
            ("risk-level-change", json!({"principal": "USER", "current_level": "LOW"}), "fact"),
            ("device-compliance-change", compliance("not-compliant"), "revalidate"),
            ("device-compliance-change", compliance("compliant"), "fact"),
            ("account-disabled", json!({"reason": "hijacking"}), "block"),
            ("account-purged", json!({}), "block"),
            ("account-enabled", json!({}), "unblock"),
            ("identifier-changed", json!({"new-value": "new@example.com"}), "fact"),
            ("opt-in", json!({}), "fact"),
            ("opt-out-initiated", json!({}), "fact"),
            ("opt-out-cancelled", json!({}), "fact"),
            ("opt-out-effective", json!({}), "fact"),
            ("recovery-activated", json!({}), "fact"),
            ("recovery-information-changed", json!({}), "fact"),
            ("session-established", json!({}), "fact"),
            ("session-presented", json!({}), "fact"),
            ("verification", json!({"state": "s"}), "verified"),
            ("stream-updated", json!({"status": "paused"}), "stream_status"),
            ("https://example.com/events/other", json!({"x": 1}), "none"),
        ];
        for (name, payload, effect) in &table {
            assert_eq!(of(name, payload), *effect, "{name} {payload}");
        }
        for known in EventType::known() {
            assert!(table.iter().any(|(name, ..)| *name == known.name()), "{} is not in the table", known.name());
        }
    }

    fn assurance(direction: Option<&str>) -> Value {
        let mut payload = json!({"namespace": "NIST-AAL", "current_level": "nist-aal1"});
        if let Some(direction) = direction {
            payload["change_direction"] = direction.into();
        }
        payload
    }

    fn compliance(now: &str) -> Value {
        let before = if now == "compliant" { "not-compliant" } else { "compliant" };
        json!({"previous_status": before, "current_status": now})
    }

    #[test]
    fn the_policy_of_the_tenant_a_subject_names_counts_before_all_others() {
        let settings = json!({
            "issuer": "https://idp.example", "delivery": "push", "token": "t",
            "policy": {"risk-level-change.HIGH": "block"},
            "tenants": {"acme": {"policy": {"risk-level-change": "fact"}}},
        });
        let settings: crate::config::UpstreamSettings = serde_json::from_value(settings).unwrap();
        let policy = settings.rules(&crate::config::PolicyRows::default()).policy;
        let payload = json!({"principal": "USER", "current_level": "HIGH"});
        let event = Event::parse(EventType::RiskLevelChange, &payload).unwrap();
        let user = json!({"format": "opaque", "id": "u"});
        for (tenant, effect) in [(json!("acme"), "fact"), (json!("other"), "block"), (Value::Null, "block")] {
            let subject = match tenant.as_str() {
                Some(id) => json!({"format": "complex", "user": user, "tenant": {"format": "opaque", "id": id}}),
                None => user.clone(),
            };
            assert_eq!(effect_of(&event, &Subject::parse(&subject).unwrap(), &policy).as_str(), effect, "{tenant}");
        }
    }
}
