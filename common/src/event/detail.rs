//! [`Detail`]: the members each event type has of its own. `detail_json` reads and writes them.

use serde_json::{Map, Value};

use super::{Background, ChangeDirection, ChangeType, ComplianceStatus, Interaction, RiskLevel, StreamStatus};

/// The members of one event type. Texts are kept as written; lists that a standard leaves open are texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The type has no members of its own.
    None,
    /// CAEP 1.0 §3.2.
    TokenClaimsChange {
        /// The claims that changed, with their new values; never empty.
        claims: Map<String, Value>,
    },
    /// CAEP 1.0 §3.3.
    CredentialChange {
        /// `password`, `pin`, `x509`, `fido2-platform`, `fido2-roaming`, `fido-u2f`, `verifiable-credential`,
        /// `phone-voice`, `phone-sms`, `app`, or another that was agreed.
        credential_type: String,
        /// What became of it.
        change_type: ChangeType,
        /// How the user calls it.
        friendly_name: Option<String>,
        /// The issuer of a certificate (RFC 5280).
        x509_issuer: Option<String>,
        /// The serial number of a certificate (RFC 5280).
        x509_serial: Option<String>,
        /// The model of a FIDO2 authenticator.
        fido2_aaguid: Option<String>,
    },
    /// CAEP 1.0 §3.4.
    AssuranceLevelChange {
        /// Where the levels come from: `RFC8176`, `RFC6711`, `ISO-IEC-29115`, `NIST-IAL`, `NIST-AAL`, `NIST-FAL`, or
        /// another that was agreed.
        namespace: String,
        /// The level now.
        current_level: String,
        /// The level before, if the transmitter knows it.
        previous_level: Option<String>,
        /// Which way it went.
        change_direction: Option<ChangeDirection>,
    },
    /// CAEP 1.0 §3.5.
    DeviceComplianceChange {
        /// The status before.
        previous_status: ComplianceStatus,
        /// The status now.
        current_status: ComplianceStatus,
    },
    /// CAEP 1.0 §3.6.
    SessionEstablished {
        /// A fingerprint of the user agent.
        fp_ua: Option<String>,
        /// The authentication context class, as in an ID token.
        acr: Option<String>,
        /// The authentication methods, as in an ID token.
        amr: Option<Vec<String>>,
        /// The session in a broader context, such as a federated one.
        ext_id: Option<String>,
    },
    /// CAEP 1.0 §3.7.
    SessionPresented {
        /// A fingerprint of the user agent.
        fp_ua: Option<String>,
        /// The session in a broader context, such as a federated one.
        ext_id: Option<String>,
    },
    /// CAEP 1.0 §3.8.
    RiskLevelChange {
        /// What the risk is about: `USER`, `DEVICE`, `SESSION`, `TENANT`, `ORG_UNIT`, `GROUP`, or another entity.
        principal: String,
        /// The level now.
        current_level: RiskLevel,
        /// The level before.
        previous_level: Option<RiskLevel>,
        /// What contributed to it.
        risk_reason: Option<String>,
    },
    /// RISC 1.0 account-disabled.
    AccountDisabled {
        /// RISC names `hijacking` and `bulk-account` as possible values. Others are kept: an account that is disabled
        /// for a reason we have no word for is disabled nevertheless.
        reason: Option<String>,
    },
    /// RISC 1.0 identifier-changed.
    IdentifierChanged {
        /// The new e-mail address or phone number; on the wire `new-value`.
        new_value: Option<String>,
    },
    /// RISC 1.0 credential-compromise.
    CredentialCompromise {
        /// As in a credential-change.
        credential_type: String,
    },
    /// SSF 1.0 §8.1.4.
    Verification {
        /// What the receiver sent with its request; absent if it asked for nothing.
        state: Option<String>,
    },
    /// SSF 1.0 §8.1.5.
    StreamUpdated {
        /// The status now.
        status: StreamStatus,
        /// Why.
        reason: Option<String>,
    },
    /// Our `revalidate`.
    Revalidate(Revalidate),
    /// The whole payload of a type we do not know.
    Other(Map<String, Value>),
}

/// What a `revalidate` asks for. What is absent means its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revalidate {
    /// What the new assertion must satisfy; by default any newer assertion will do.
    pub requirement: Option<Requirement>,
    /// What becomes of work that runs without the user; by default it is suspended.
    pub background: Option<Background>,
}

/// What the assertion that answers a `revalidate` must satisfy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// Whether the user must take part; by default not.
    pub interaction: Option<Interaction>,
    /// The greatest age of the authentication, in seconds (OpenID Connect Core §3.1.2.1).
    pub max_age: Option<u64>,
    /// The acceptable authentication context classes, the preferred one first; any if absent.
    pub acr_values: Option<Vec<String>>,
    /// Members we do not know.
    pub extra: Map<String, Value>,
}
