//! How the members of each event type are read and written. What a type requires stands here.

use serde_json::{Map, Value};

use super::members::{Members, Written, required};
use super::{Detail, EventError, EventType, Fault, Requirement, Revalidate};

impl Detail {
    /// Reads the members of the type.
    pub(super) fn read(members: &mut Members<'_>, event_type: &EventType) -> Result<Self, EventError> {
        Ok(match event_type {
            EventType::TokenClaimsChange => Self::TokenClaimsChange { claims: claims(members)? },
            EventType::CredentialChange => Self::CredentialChange {
                credential_type: members.required_text("credential_type")?,
                change_type: members.required_word("change_type")?,
                friendly_name: members.text("friendly_name")?,
                x509_issuer: members.text("x509_issuer")?,
                x509_serial: members.text("x509_serial")?,
                fido2_aaguid: members.text("fido2_aaguid")?,
            },
            EventType::AssuranceLevelChange => Self::AssuranceLevelChange {
                namespace: members.required_text("namespace")?,
                current_level: members.required_text("current_level")?,
                previous_level: members.text("previous_level")?,
                change_direction: members.word("change_direction")?,
            },
            EventType::DeviceComplianceChange => Self::DeviceComplianceChange {
                previous_status: members.required_word("previous_status")?,
                current_status: members.required_word("current_status")?,
            },
            EventType::SessionEstablished => Self::SessionEstablished {
                fp_ua: members.text("fp_ua")?,
                acr: members.text("acr")?,
                amr: members.texts("amr")?,
                ext_id: members.text("ext_id")?,
            },
            EventType::SessionPresented => {
                Self::SessionPresented { fp_ua: members.text("fp_ua")?, ext_id: members.text("ext_id")? }
            }
            EventType::RiskLevelChange => Self::RiskLevelChange {
                principal: members.required_text("principal")?,
                current_level: members.required_word("current_level")?,
                previous_level: members.word("previous_level")?,
                risk_reason: members.text("risk_reason")?,
            },
            EventType::AccountDisabled => Self::AccountDisabled { reason: members.text("reason")? },
            EventType::IdentifierChanged => Self::IdentifierChanged { new_value: members.text("new-value")? },
            EventType::CredentialCompromise => {
                Self::CredentialCompromise { credential_type: members.required_text("credential_type")? }
            }
            EventType::Verification => Self::Verification { state: members.text("state")? },
            EventType::StreamUpdated => {
                Self::StreamUpdated { status: members.required_word("status")?, reason: members.text("reason")? }
            }
            EventType::Revalidate => Self::Revalidate(Revalidate::read(members)?),
            EventType::SessionRevoked
            | EventType::AccountCredentialChangeRequired
            | EventType::AccountPurged
            | EventType::AccountEnabled
            | EventType::IdentifierRecycled
            | EventType::OptIn
            | EventType::OptOutInitiated
            | EventType::OptOutCancelled
            | EventType::OptOutEffective
            | EventType::RecoveryActivated
            | EventType::RecoveryInformationChanged
            | EventType::SessionsRevoked
            | EventType::Other(_) => Self::None,
        })
    }

    /// Writes the members that are there.
    pub(super) fn write(&self, payload: &mut Written) {
        match self {
            Self::None => {}
            Self::TokenClaimsChange { claims } => payload.put("claims", Some(claims.clone())),
            Self::CredentialChange {
                credential_type,
                change_type,
                friendly_name,
                x509_issuer,
                x509_serial,
                fido2_aaguid,
            } => {
                payload.put("credential_type", Some(credential_type.as_str()));
                payload.put("change_type", Some(*change_type));
                payload.put("friendly_name", friendly_name.as_deref());
                payload.put("x509_issuer", x509_issuer.as_deref());
                payload.put("x509_serial", x509_serial.as_deref());
                payload.put("fido2_aaguid", fido2_aaguid.as_deref());
            }
            Self::AssuranceLevelChange { namespace, current_level, previous_level, change_direction } => {
                payload.put("namespace", Some(namespace.as_str()));
                payload.put("current_level", Some(current_level.as_str()));
                payload.put("previous_level", previous_level.as_deref());
                payload.put("change_direction", *change_direction);
            }
            Self::DeviceComplianceChange { previous_status, current_status } => {
                payload.put("previous_status", Some(*previous_status));
                payload.put("current_status", Some(*current_status));
            }
            Self::SessionEstablished { fp_ua, acr, amr, ext_id } => {
                payload.put("fp_ua", fp_ua.as_deref());
                payload.put("acr", acr.as_deref());
                payload.put("amr", amr.as_deref());
                payload.put("ext_id", ext_id.as_deref());
            }
            Self::SessionPresented { fp_ua, ext_id } => {
                payload.put("fp_ua", fp_ua.as_deref());
                payload.put("ext_id", ext_id.as_deref());
            }
            Self::RiskLevelChange { principal, current_level, previous_level, risk_reason } => {
                payload.put("principal", Some(principal.as_str()));
                payload.put("current_level", Some(*current_level));
                payload.put("previous_level", *previous_level);
                payload.put("risk_reason", risk_reason.as_deref());
            }
            Self::AccountDisabled { reason } => payload.put("reason", reason.as_deref()),
            Self::IdentifierChanged { new_value } => payload.put("new-value", new_value.as_deref()),
            Self::CredentialCompromise { credential_type } => {
                payload.put("credential_type", Some(credential_type.as_str()));
            }
            Self::Verification { state } => payload.put("state", state.as_deref()),
            Self::StreamUpdated { status, reason } => {
                payload.put("status", Some(*status));
                payload.put("reason", reason.as_deref());
            }
            Self::Revalidate(Revalidate { requirement, background }) => {
                payload.put("requirement", requirement.as_ref().map(Requirement::to_value));
                payload.put("background", *background);
            }
            Self::Other(members) => payload.put_rest(members),
        }
    }
}

impl Revalidate {
    fn read(members: &mut Members<'_>) -> Result<Self, EventError> {
        let requirement = members.value("requirement").map(Requirement::read).transpose()?;
        Ok(Self { requirement, background: members.word("background")? })
    }
}

impl Requirement {
    fn read(value: &Value) -> Result<Self, EventError> {
        let mut members = Members::of(value, "requirement")?;
        Ok(Self {
            interaction: members.word("interaction")?,
            max_age: members.count("max_age")?,
            acr_values: members.texts("acr_values")?,
            extra: members.rest(),
        })
    }

    fn to_value(&self) -> Value {
        let mut object = Written::default();
        object.put("interaction", self.interaction);
        object.put("max_age", self.max_age);
        object.put("acr_values", self.acr_values.as_deref());
        object.put_rest(&self.extra);
        object.into()
    }
}

fn claims(members: &mut Members<'_>) -> Result<Map<String, Value>, EventError> {
    let value = required(members.value("claims"), "claims")?;
    match value.as_object() {
        None => Err(EventError::at("claims", Fault::NotA("an object"))),
        Some(claims) if claims.is_empty() => Err(EventError::at("claims", Fault::Empty)),
        Some(claims) => Ok(claims.clone()),
    }
}
