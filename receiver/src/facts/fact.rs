//! [`Fact`]: what an event tells of its subject, in words of ours. Pure.

use std::cmp::Ordering;

use ssf_common::clock::Timestamp;
use ssf_common::event::{ChangeDirection, ChangeType, ComplianceStatus, Detail, Event, EventType, RiskLevel};

/// One thing an issuer told of a subject. Of the same kind and name, the newest counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is about: `device`, `credential`, `assurance`, `risk`, `claims`, `account`, `identifier`, `recovery`,
    /// `participation`, `session`.
    pub kind: &'static str,
    /// Which of them: a credential's type, a namespace of assurance, whom a risk comes from; else empty.
    pub name: &'static str,
    /// How it stands now.
    pub value: String,
    /// Of two that were told for the same time the weightier counts: a doubt is not to the subject's advantage.
    pub weight: i16,
    /// When it came to be so, as late as the issuer's time may mean, and never later than its arrival by more than
    /// clocks may differ.
    pub occurred_at: Timestamp,
}

impl Fact {
    /// Whether this one counts and not `other`, which is of the same kind and name: a total order, so the order in which
    /// they arrive cannot matter. The statement of the inbox says the same in SQL.
    pub fn order(&self, other: &Self) -> Ordering {
        let rank = |fact: &Self| (fact.occurred_at, fact.weight, fact.value.clone());
        rank(self).cmp(&rank(other))
    }
}

/// The fact that an event tells, if it tells one.
///
/// Words that a standard lists are kept as they are; others a stranger chose, so they become `other`. A level of assurance
/// is kept if it looks like one: such levels are agreed, not listed.
pub fn fact_of(event: &Event, occurred_at: Timestamp) -> Option<Fact> {
    let fact =
        |kind, name, value: &str, weight| Some(Fact { kind, name, value: value.to_owned(), weight, occurred_at });
    match (&event.event_type, &event.detail) {
        (_, Detail::DeviceComplianceChange { current_status, .. }) => {
            fact("device", "", current_status.as_str(), i16::from(*current_status == ComplianceStatus::NotCompliant))
        }
        (_, Detail::CredentialChange { credential_type, change_type, .. }) => {
            let weight = match change_type {
                ChangeType::Create => 0,
                ChangeType::Update => 1,
                ChangeType::Delete => 2,
                ChangeType::Revoke => 3,
            };
            fact("credential", listed(&CREDENTIALS, credential_type), change_type.as_str(), weight)
        }
        (_, Detail::CredentialCompromise { credential_type }) => {
            fact("credential", listed(&CREDENTIALS, credential_type), "compromised", 4)
        }
        (_, Detail::AssuranceLevelChange { namespace, current_level, change_direction, .. }) => {
            let weight = match change_direction {
                Some(ChangeDirection::Increase) => 0,
                None => 1,
                Some(ChangeDirection::Decrease) => 2,
            };
            fact("assurance", listed(&NAMESPACES, namespace), level(current_level), weight)
        }
        (_, Detail::RiskLevelChange { principal, current_level, .. }) => {
            let weight = match current_level {
                RiskLevel::Low => 0,
                RiskLevel::Medium => 1,
                RiskLevel::High => 2,
            };
            fact("risk", listed(&PRINCIPALS, principal), current_level.as_str(), weight)
        }
        (EventType::TokenClaimsChange, _) => fact("claims", "", "changed", 0),
        (EventType::AccountCredentialChangeRequired, _) => fact("account", "credential", "change-required", 0),
        (EventType::AccountEnabled, _) => fact("account", "status", "enabled", 0),
        (EventType::AccountDisabled, _) => fact("account", "status", "disabled", 1),
        (EventType::AccountPurged, _) => fact("account", "status", "purged", 2),
        (EventType::IdentifierChanged, _) => fact("identifier", "", "changed", 0),
        (EventType::IdentifierRecycled, _) => fact("identifier", "", "recycled", 1),
        (EventType::RecoveryActivated, _) => fact("recovery", "activated", "yes", 0),
        (EventType::RecoveryInformationChanged, _) => fact("recovery", "information", "changed", 0),
        (EventType::OptIn, _) => fact("participation", "", "opt-in", 0),
        (EventType::OptOutCancelled, _) => fact("participation", "", "opt-out-cancelled", 1),
        (EventType::OptOutInitiated, _) => fact("participation", "", "opt-out-initiated", 2),
        (EventType::OptOutEffective, _) => fact("participation", "", "opt-out-effective", 3),
        (EventType::SessionEstablished, _) => fact("session", "established", "yes", 0),
        (EventType::SessionPresented, _) => fact("session", "presented", "yes", 0),
        _ => None,
    }
}

fn listed(list: &[&'static str], word: &str) -> &'static str {
    list.iter().find(|known| **known == word).copied().unwrap_or(OTHER)
}

/// `1`, `nist-aal2`, `urn:mace:incommon:iap:silver`; nothing with an @, a blank or many characters.
fn level(told: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '/' | '_');
    if !told.is_empty() && told.len() <= 64 && told.chars().all(is_plain) { told } else { OTHER }
}

/// CAEP 1.0 §3.3.1.
const CREDENTIALS: [&str; 10] = [
    "password",
    "pin",
    "x509",
    "fido2-platform",
    "fido2-roaming",
    "fido-u2f",
    "verifiable-credential",
    "phone-voice",
    "phone-sms",
    "app",
];
/// CAEP 1.0 §3.4.1.
const NAMESPACES: [&str; 6] = ["RFC8176", "RFC6711", "ISO-IEC-29115", "NIST-IAL", "NIST-AAL", "NIST-FAL"];
/// CAEP 1.0 §3.8.1.
const PRINCIPALS: [&str; 6] = ["USER", "DEVICE", "SESSION", "TENANT", "ORG_UNIT", "GROUP"];
const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use ssf_common::event::Vocabulary;

    use super::*;

    fn told(name: &str, payload: &Value) -> Option<(&'static str, &'static str, String)> {
        let event_type = EventType::from_name(name, &Vocabulary::default()).unwrap();
        let fact = fact_of(&Event::parse(event_type, payload).unwrap(), Timestamp::EPOCH)?;
        Some((fact.kind, fact.name, fact.value))
    }

    #[test]
    fn every_type_but_those_that_only_cut_off_tells_a_fact() {
        let password = json!({"credential_type": "password", "change_type": "update", "friendly_name": "Bob's"});
        for (name, payload, expected) in [
            (
                "device-compliance-change",
                json!({"previous_status": "compliant", "current_status": "not-compliant"}),
                Some(("device", "", "not-compliant")),
            ),
            ("credential-change", password, Some(("credential", "password", "update"))),
            ("credential-compromise", json!({"credential_type": "pin"}), Some(("credential", "pin", "compromised"))),
            (
                "assurance-level-change",
                json!({"namespace": "NIST-AAL", "current_level": "nist-aal2"}),
                Some(("assurance", "NIST-AAL", "nist-aal2")),
            ),
            (
                "risk-level-change",
                json!({"principal": "DEVICE", "current_level": "HIGH"}),
                Some(("risk", "DEVICE", "HIGH")),
            ),
            ("token-claims-change", json!({"claims": {"role": "boss"}}), Some(("claims", "", "changed"))),
            ("account-credential-change-required", json!({}), Some(("account", "credential", "change-required"))),
            ("account-enabled", json!({}), Some(("account", "status", "enabled"))),
            ("account-disabled", json!({}), Some(("account", "status", "disabled"))),
            ("account-purged", json!({}), Some(("account", "status", "purged"))),
            ("identifier-changed", json!({"new-value": "new@example.com"}), Some(("identifier", "", "changed"))),
            ("identifier-recycled", json!({}), Some(("identifier", "", "recycled"))),
            ("recovery-activated", json!({}), Some(("recovery", "activated", "yes"))),
            ("recovery-information-changed", json!({}), Some(("recovery", "information", "changed"))),
            ("opt-in", json!({}), Some(("participation", "", "opt-in"))),
            ("opt-out-initiated", json!({}), Some(("participation", "", "opt-out-initiated"))),
            ("opt-out-cancelled", json!({}), Some(("participation", "", "opt-out-cancelled"))),
            ("opt-out-effective", json!({}), Some(("participation", "", "opt-out-effective"))),
            ("session-established", json!({"fp_ua": "x", "acr": "1"}), Some(("session", "established", "yes"))),
            ("session-presented", json!({"fp_ua": "x"}), Some(("session", "presented", "yes"))),
            ("session-revoked", json!({}), None),
            ("sessions-revoked", json!({}), None),
            ("revalidate", json!({"event_timestamp": 1_795_000_000}), None),
            ("verification", json!({"state": "s"}), None),
            ("stream-updated", json!({"status": "paused"}), None),
            ("urn:example:other", json!({"x": 1}), None),
        ] {
            let expected = expected.map(|(kind, name, value)| (kind, name, value.to_owned()));
            assert_eq!(told(name, &payload), expected, "{name}");
        }
    }

    #[test]
    fn what_a_stranger_wrote_is_not_kept() {
        let mail = "alice@example.com";
        for (name, payload) in [
            ("credential-change", json!({"credential_type": mail, "change_type": "create"})),
            ("assurance-level-change", json!({"namespace": mail, "current_level": mail})),
            ("risk-level-change", json!({"principal": mail, "current_level": "LOW"})),
        ] {
            let (_, name, value) = told(name, &payload).unwrap();
            assert!(name == "other" && !value.contains('@'), "{name} {value}");
        }
    }
}
