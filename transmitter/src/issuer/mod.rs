//! Issuers (tenants): in whose name decisions are made. Every row of the schema belongs to one.

pub(crate) mod store;

use ssf_common::id::IssuerUrl;
use ssf_common::jwks::Algorithm;
use ssf_common::protocol::DefaultSubjects;
use ssf_common::uuid_id;

uuid_id! {
    /// An issuer's row.
    IssuerId;
}

/// An issuer as its row says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its row.
    pub id: IssuerId,
    /// Its URL, byte for byte as in SETs.
    pub url: IssuerUrl,
    /// Where it differs from the configuration.
    pub own: OwnDefaults,
}

/// What an issuer says of its new streams instead of the configuration; `None` means as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnDefaults {
    /// How they are signed.
    pub algorithm: Option<Algorithm>,
    /// Whether they have all subjects or none.
    pub default_subjects: Option<DefaultSubjects>,
    /// Seconds between two verification requests.
    pub min_verification_interval_s: Option<u32>,
    /// Seconds without activity before they may be paused; 0 means never.
    pub inactivity_timeout_s: Option<u32>,
    /// How many a new receiver may have.
    pub max_streams: Option<u32>,
}

/// What new streams of an issuer are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// How they are signed.
    pub algorithm: Algorithm,
    /// Whether they have all subjects or none (SSF 1.0 §7.1).
    pub subjects: DefaultSubjects,
    /// Seconds between two verification requests.
    pub min_verification_interval_s: u32,
    /// Seconds without activity before they may be paused.
    pub inactivity_timeout_s: Option<u32>,
    /// How many a new receiver may have.
    pub max_streams: u32,
}

impl Defaults {
    /// These, as far as an issuer has none of its own.
    #[must_use]
    pub fn with(self, own: &OwnDefaults) -> Self {
        Self {
            algorithm: own.algorithm.unwrap_or(self.algorithm),
            subjects: own.default_subjects.unwrap_or(self.subjects),
            min_verification_interval_s: own.min_verification_interval_s.unwrap_or(self.min_verification_interval_s),
            inactivity_timeout_s: match own.inactivity_timeout_s {
                None => self.inactivity_timeout_s,
                Some(0) => None,
                Some(seconds) => Some(seconds),
            },
            max_streams: own.max_streams.unwrap_or(self.max_streams),
        }
    }
}
