//! [`Subject`]: simple or complex, and its place in JSON.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::parse::{Dialect, subject};
use super::{Complex, Simple, SubjectError};
use crate::id::StreamId;

/// Whom or what an event is about (SSF 1.0 §3).
///
/// In JSON it is the object of RFC 9493: `{"format": "email", "email": "user@example.com"}`.
///
/// `==` compares what was written; two subjects are *the same* if their [`canonical`](Subject::canonical) texts are
/// equal. The two differ where a standard ignores a difference: the case of a domain, the order of aliases, the
/// spelling of an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One subject identifier (SSF 1.0 §3.2).
    Simple(Simple),
    /// Several named members which together identify one principal (SSF 1.0 §3.3).
    Complex(Complex),
}

impl Subject {
    /// From JSON. Members that a format does not define are ignored (SSF 1.0 §4.2.3).
    pub fn parse(value: &Value) -> Result<Self, SubjectError> {
        subject(value, Dialect::Standard)
    }

    /// From JSON as [`parse`](Subject::parse), and in addition the shapes from before RFC 9493, as old RISC and CAEP
    /// transmitters write them: `subject_type` in place of `format`; names with hyphens (`iss-sub`, `jwt-id`); `phone`
    /// for a phone number; `id_token_claims`, read as `iss_sub`, or as `email` or `phone_number` where it has no `sub`.
    pub fn parse_legacy(value: &Value) -> Result<Self, SubjectError> {
        subject(value, Dialect::Legacy)
    }

    /// The subject that names a stream itself, of verification and stream-updated events (SSF 1.0 §8.1.4).
    pub fn stream(stream_id: &StreamId) -> Self {
        Self::Simple(Simple::Opaque { id: stream_id.as_str().to_owned() })
    }

    /// As JSON, with the members always in the same order.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Simple(simple) => simple.to_value(),
            Self::Complex(complex) => complex.to_value(),
        }
    }

    /// The value of the member `format`.
    pub fn format(&self) -> &str {
        match self {
            Self::Simple(simple) => simple.format(),
            Self::Complex(_) => Complex::FORMAT,
        }
    }

    /// One text per subject, equal if and only if it is the same subject; the input of every hash of a subject.
    pub fn canonical(&self) -> String {
        match self {
            Self::Simple(simple) => simple.canonical(),
            Self::Complex(complex) => complex.canonical(),
        }
    }

    /// Whether the two match as SSF 1.0 §8.1.3.1 has it: simple subjects if they are identical, complex ones if they
    /// are identical in every member that both have. Ours, where the text is silent: a simple subject matches a complex
    /// one if it is one of its members.
    ///
    /// An `aliases` subject stands for each of its identifiers: it matches whatever one of them matches.
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Simple(one), Self::Simple(two)) => one.matches(two),
            (Self::Complex(one), Self::Complex(two)) => one.matches(two),
            (Self::Simple(simple), Self::Complex(complex)) | (Self::Complex(complex), Self::Simple(simple)) => {
                complex.names(simple)
            }
        }
    }

    /// Whether an event about `other` lies inside this subject for certain: identical if both are simple; if both are
    /// complex, identical in every member of this one, none of which `other` may lack. A simple and a complex subject
    /// never cover each other.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Simple(one), Self::Simple(two)) => one.matches(two),
            (Self::Complex(one), Self::Complex(two)) => one.covers(two),
            _ => false,
        }
    }

    /// Without its session, if that is called `id` and a user is named beside it: some transmitters write so that every
    /// session of the user is meant (Keycloak: `ALL`). Any other subject stays as it is.
    #[must_use]
    pub fn of_every_session(self, id: &str) -> Self {
        match self {
            Self::Complex(complex) => Self::Complex(complex.of_every_session(id)),
            simple @ Self::Simple(_) => simple,
        }
    }

    /// Refuses a complex subject that has a member which is `critical` and not `understood` (SSF 1.0 §3.6): its event
    /// must be discarded. `critical` comes from the transmitter's metadata (`critical_subject_members`); a receiver
    /// that can use every member the standard names passes [`KNOWN_MEMBERS`](super::KNOWN_MEMBERS) as `understood`.
    pub fn check_critical(&self, critical: &[String], understood: &[&str]) -> Result<(), SubjectError> {
        match self {
            Self::Simple(_) => Ok(()),
            Self::Complex(complex) => complex.check_critical(critical, understood),
        }
    }
}

impl From<Simple> for Subject {
    fn from(simple: Simple) -> Self {
        Self::Simple(simple)
    }
}

impl From<Complex> for Subject {
    fn from(complex: Complex) -> Self {
        Self::Complex(complex)
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
