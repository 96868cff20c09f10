//! [`EventType`]: the names and URIs of all event types, in one table.

use std::fmt;

use super::Vocabulary;
use crate::subject::syntax::is_uri;

/// A name of the families CAEP, RISC and SSF.
macro_rules! standard {
    ($family:literal, $name:literal) => {
        Naming::Standard {
            name: $name,
            uri: concat!("https://schemas.openid.net/secevent/", $family, "/event-type/", $name),
        }
    };
}

/// What kind of event it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// CAEP 1.0 §3.1: the session, or every session that matches the complex subject, is revoked.
    SessionRevoked,
    /// CAEP 1.0 §3.2: claims in a token have changed.
    TokenClaimsChange,
    /// CAEP 1.0 §3.3: a credential was created, revoked, updated or deleted.
    CredentialChange,
    /// CAEP 1.0 §3.4: the assurance of the authentication has changed.
    AssuranceLevelChange,
    /// CAEP 1.0 §3.5: a device became compliant or stopped being so.
    DeviceComplianceChange,
    /// CAEP 1.0 §3.6: a session began.
    SessionEstablished,
    /// CAEP 1.0 §3.7: a session was seen.
    SessionPresented,
    /// CAEP 1.0 §3.8: the risk that something poses has changed.
    RiskLevelChange,
    /// RISC 1.0: the user must change a credential.
    AccountCredentialChangeRequired,
    /// RISC 1.0: the account is gone for good.
    AccountPurged,
    /// RISC 1.0: the account is disabled.
    AccountDisabled,
    /// RISC 1.0: the account is enabled again.
    AccountEnabled,
    /// RISC 1.0: the e-mail address or phone number of the subject has changed.
    IdentifierChanged,
    /// RISC 1.0: the e-mail address or phone number belongs to somebody else now.
    IdentifierRecycled,
    /// RISC 1.0: a credential of the account is compromised.
    CredentialCompromise,
    /// RISC 1.0: the account takes part in RISC again.
    OptIn,
    /// RISC 1.0: the account asked to leave RISC.
    OptOutInitiated,
    /// RISC 1.0: it took that back.
    OptOutCancelled,
    /// RISC 1.0: it has left RISC.
    OptOutEffective,
    /// RISC 1.0: a recovery flow was started.
    RecoveryActivated,
    /// RISC 1.0: recovery information was changed.
    RecoveryInformationChanged,
    /// RISC 1.0, deprecated in favour of CAEP session-revoked: all sessions of the account are revoked.
    SessionsRevoked,
    /// SSF 1.0 §8.1.4: the answer to a verification request, or an unsolicited sign of life.
    Verification,
    /// SSF 1.0 §8.1.5: the transmitter has changed the status of the stream.
    StreamUpdated,
    /// Ours: the subject must be proved again before any action continues. Its URI is a setting ([`Vocabulary`]).
    Revalidate,
    /// A type we do not know, by its URI.
    Other(String),
}

impl EventType {
    /// The type a URI names. A standard's URI is always that standard's type, whatever the vocabulary says.
    pub fn from_uri(uri: &str, vocabulary: &Vocabulary) -> Self {
        match Self::standard(uri) {
            Some(standard) => standard,
            None if vocabulary.is_revalidate(uri) => Self::Revalidate,
            None => vocabulary.alias(uri).unwrap_or_else(|| Self::Other(uri.to_owned())),
        }
    }

    /// The type of a short name such as `session-revoked`, or of an absolute URI. `None` if it is neither.
    pub fn from_name(name: &str, vocabulary: &Vocabulary) -> Option<Self> {
        let known = Self::known().iter().find(|known| known.name() == name);
        known.cloned().or_else(|| is_uri(name).then(|| Self::from_uri(name, vocabulary)))
    }

    /// The URI with which it is sent.
    pub fn uri<'a>(&'a self, vocabulary: &'a Vocabulary) -> &'a str {
        match self.naming() {
            Naming::Standard { uri, .. } | Naming::Unknown { uri } => uri,
            Naming::Ours { .. } => &vocabulary.revalidate_uri,
        }
    }

    /// The short name, or the URI of a type we do not know.
    pub fn name(&self) -> &str {
        match self.naming() {
            Naming::Standard { name, .. } | Naming::Ours { name } => name,
            Naming::Unknown { uri } => uri,
        }
    }

    /// Whether it concerns the stream and not a subject (SSF 1.0 §8.1).
    pub const fn is_about_the_stream(&self) -> bool {
        matches!(self, Self::Verification | Self::StreamUpdated)
    }

    /// Every type but [`Other`](EventType::Other).
    pub fn known() -> &'static [Self] {
        &KNOWN
    }

    /// The type a standard has given this URI to.
    pub(super) fn standard(uri: &str) -> Option<Self> {
        let named = |known: &&Self| matches!(known.naming(), Naming::Standard { uri: theirs, .. } if theirs == uri);
        Self::known().iter().find(named).cloned()
    }

    /// The one table of names.
    fn naming(&self) -> Naming<'_> {
        match self {
            Self::SessionRevoked => standard!("caep", "session-revoked"),
            Self::TokenClaimsChange => standard!("caep", "token-claims-change"),
            Self::CredentialChange => standard!("caep", "credential-change"),
            Self::AssuranceLevelChange => standard!("caep", "assurance-level-change"),
            Self::DeviceComplianceChange => standard!("caep", "device-compliance-change"),
            Self::SessionEstablished => standard!("caep", "session-established"),
            Self::SessionPresented => standard!("caep", "session-presented"),
            Self::RiskLevelChange => standard!("caep", "risk-level-change"),
            Self::AccountCredentialChangeRequired => standard!("risc", "account-credential-change-required"),
            Self::AccountPurged => standard!("risc", "account-purged"),
            Self::AccountDisabled => standard!("risc", "account-disabled"),
            Self::AccountEnabled => standard!("risc", "account-enabled"),
            Self::IdentifierChanged => standard!("risc", "identifier-changed"),
            Self::IdentifierRecycled => standard!("risc", "identifier-recycled"),
            Self::CredentialCompromise => standard!("risc", "credential-compromise"),
            Self::OptIn => standard!("risc", "opt-in"),
            Self::OptOutInitiated => standard!("risc", "opt-out-initiated"),
            Self::OptOutCancelled => standard!("risc", "opt-out-cancelled"),
            Self::OptOutEffective => standard!("risc", "opt-out-effective"),
            Self::RecoveryActivated => standard!("risc", "recovery-activated"),
            Self::RecoveryInformationChanged => standard!("risc", "recovery-information-changed"),
            Self::SessionsRevoked => standard!("risc", "sessions-revoked"),
            Self::Verification => standard!("ssf", "verification"),
            Self::StreamUpdated => standard!("ssf", "stream-updated"),
            Self::Revalidate => Naming::Ours { name: "revalidate" },
            Self::Other(uri) => Naming::Unknown { uri },
        }
    }
}

/// How a type is called, and by whom.
enum Naming<'a> {
    Standard { name: &'static str, uri: &'static str },
    Ours { name: &'static str },
    Unknown { uri: &'a str },
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

static KNOWN: [EventType; 25] = [
    EventType::SessionRevoked,
    EventType::TokenClaimsChange,
    EventType::CredentialChange,
    EventType::AssuranceLevelChange,
    EventType::DeviceComplianceChange,
    EventType::SessionEstablished,
    EventType::SessionPresented,
    EventType::RiskLevelChange,
    EventType::AccountCredentialChangeRequired,
    EventType::AccountPurged,
    EventType::AccountDisabled,
    EventType::AccountEnabled,
    EventType::IdentifierChanged,
    EventType::IdentifierRecycled,
    EventType::CredentialCompromise,
    EventType::OptIn,
    EventType::OptOutInitiated,
    EventType::OptOutCancelled,
    EventType::OptOutEffective,
    EventType::RecoveryActivated,
    EventType::RecoveryInformationChanged,
    EventType::SessionsRevoked,
    EventType::Verification,
    EventType::StreamUpdated,
    EventType::Revalidate,
];
