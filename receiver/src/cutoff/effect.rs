//! What each inbound event becomes: a pure function of the event, and the table of its test.

use ssf_common::event::{
    ChangeDirection, ChangeType, ComplianceStatus, Detail, Event, EventType, RiskLevel, StreamStatus,
};

use super::registers::Cut;

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

/// What this event becomes under the default policy.
///
/// Some of the table is fixed: a revocation revokes, a disabled account is shut out. The rest is judgement, and the
/// default is the soft answer, to revalidate; [`by_default`] holds that part, where a policy will have its say.
pub fn effect_of(event: &Event) -> Effect {
    match &event.event_type {
        EventType::SessionRevoked
        | EventType::SessionsRevoked
        | EventType::CredentialCompromise
        | EventType::IdentifierRecycled => Effect::Cut(Cut::Revoke),
        EventType::Revalidate => Effect::Cut(Cut::Revalidate),
        EventType::AccountDisabled | EventType::AccountPurged => Effect::Cut(Cut::Block),
        EventType::AccountEnabled => Effect::Cut(Cut::Unblock),
        EventType::TokenClaimsChange
        | EventType::CredentialChange
        | EventType::AssuranceLevelChange
        | EventType::AccountCredentialChangeRequired
        | EventType::RiskLevelChange
        | EventType::DeviceComplianceChange => by_default(&event.detail),
        EventType::SessionEstablished
        | EventType::SessionPresented
        | EventType::IdentifierChanged
        | EventType::OptIn
        | EventType::OptOutInitiated
        | EventType::OptOutCancelled
        | EventType::OptOutEffective
        | EventType::RecoveryActivated
        | EventType::RecoveryInformationChanged => Effect::Fact,
        EventType::Verification => match &event.detail {
            Detail::Verification { state } => Effect::Verified { state: state.clone() },
            _ => Effect::Verified { state: None },
        },
        EventType::StreamUpdated => match &event.detail {
            Detail::StreamUpdated { status, reason } => {
                Effect::StreamStatus { status: *status, reason: reason.clone() }
            }
            _ => Effect::Fact,
        },
        EventType::Other(_) => Effect::Unknown,
    }
}

/// The changes that may make a session less trustworthy than it was: the session is asked to prove itself again, unless
/// the change says that nothing got worse. An assurance change that does not say its direction may be a decrease.
fn by_default(detail: &Detail) -> Effect {
    let harmless = matches!(
        detail,
        Detail::CredentialChange { change_type: ChangeType::Create, .. }
            | Detail::AssuranceLevelChange { change_direction: Some(ChangeDirection::Increase), .. }
            | Detail::RiskLevelChange { current_level: RiskLevel::Low | RiskLevel::Medium, .. }
            | Detail::DeviceComplianceChange { current_status: ComplianceStatus::Compliant, .. }
    );
    if harmless { Effect::Fact } else { Effect::Cut(Cut::Revalidate) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use ssf_common::event::Vocabulary;

    use super::*;

    fn of(name: &str, payload: &Value) -> &'static str {
        let event_type = EventType::from_name(name, &Vocabulary::default()).unwrap();
        effect_of(&Event::parse(event_type, payload).unwrap()).as_str()
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
}
