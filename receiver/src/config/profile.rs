//! [`Profile`]: how far a transmitter may depart from the letter of the standards, all of it in one place.
//!
//! | | strict | lenient | legacy |
//! |---|---|---|---|
//! | `typ`, `kid`, signature, `iss`, `aud`, `jti`, `iat`, no `exp`, no `sub`, one event | always checked | always checked | always checked |
//! | `issuer` of the metadata is the one asked for | always | always | always |
//! | signature algorithms | RS256 (CAEP interop §2.6) | RS256, PS256, ES256, EdDSA | as lenient |
//! | metadata are at | `ssf-configuration` | `ssf-configuration` | the first that is there of `ssf-`, `sse-` and `risc-configuration` |
//! | metadata without the members of CAEP interop §2.3 | refused | accepted | accepted |
//! | an issuer that ends in `/` | refused | refused | accepted |
//! | status of an answer | the one of the section | any 2xx | any 2xx |
//! | one stream where a list is due, a list where one is due | refused | accepted | accepted |
//! | delivery methods | RFC 8935, RFC 8936 | the legacy URIs are understood, too | the legacy URIs are sent and understood |
//! | the subject | `sub_id` | `sub_id` | `sub_id`, or `subject` within the event, with `subject_type` for `format` |
//! | `event_timestamp` in milliseconds | refused | read as such | read as such |
//! | no `reason_admin` in session-revoked and credential-change | refused (CAEP interop §2.4) | accepted | accepted |
//! | verification and stream-updated | by their URIs of SSF 1.0 | the same | also by those of SSE and RISC; a verification needs no subject |
//!
//! Strict is for proving conformance and for agreements that ask for it: a revocation whose form is wrong is *refused*,
//! and stands in the transmitter's dead letters until its form is right.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ssf_common::event::{EventType, Vocabulary};
use ssf_common::jwks::Algorithm;
use ssf_common::set::Shapes;

use super::settings::{SettingsError, wrong};

/// What is accepted of a transmitter; the table above says all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// SSF 1.0 and the CAEP interoperability profile to the letter.
    Strict,
    /// What careless peers do, as long as it loosens nothing that makes a SET trustworthy.
    #[default]
    Lenient,
    /// Also what there was before SSF 1.0: early CAEP, RISC.
    Legacy,
}

impl Profile {
    /// All of them, from the letter outwards.
    pub const ALL: [Self; 3] = [Self::Strict, Self::Lenient, Self::Legacy];

    /// As it stands in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lenient => "lenient",
            Self::Legacy => "legacy",
        }
    }

    /// Which shapes of SETs are accepted.
    pub const fn shapes(self) -> Shapes {
        match self {
            Self::Strict => Shapes::Strict,
            Self::Lenient => Shapes::Lenient,
            Self::Legacy => Shapes::Legacy,
        }
    }

    /// Which signatures are accepted.
    pub fn algorithms(self) -> Vec<Algorithm> {
        match self {
            Self::Strict => vec![Algorithm::Rs256],
            Self::Lenient | Self::Legacy => Algorithm::ALL.to_vec(),
        }
    }

    /// Where metadata are looked for, in this order, by the last part of the well-known path.
    pub const fn documents(self) -> &'static [&'static str] {
        match self {
            Self::Strict | Self::Lenient => &["ssf-configuration"],
            Self::Legacy => &["ssf-configuration", "sse-configuration", "risc-configuration"],
        }
    }

    /// The URIs under which control events went before SSF 1.0.
    pub(super) fn event_aliases(self) -> BTreeMap<String, EventType> {
        let before =
            |family: &str, name: &str| format!("https://schemas.openid.net/secevent/{family}/event-type/{name}");
        match self {
            Self::Strict | Self::Lenient => BTreeMap::new(),
            Self::Legacy => [
                (before("sse", "verification"), EventType::Verification),
                (before("risc", "verification"), EventType::Verification),
                (before("sse", "stream-updated"), EventType::StreamUpdated),
            ]
            .into(),
        }
    }
}

/// Each is a URI that no standard has given away, and means an event type we know.
pub(super) fn check_aliases(aliases: &BTreeMap<String, String>, key: &str) -> Result<(), SettingsError> {
    let vocabulary = Vocabulary::default();
    for (uri, name) in aliases {
        let Some(meant) = EventType::known().iter().find(|known| known.name() == name) else {
            return wrong(
                key,
                "must map URIs to short names of event types, for example {\"urn:x\" = \"session-revoked\"}",
            );
        };
        let alone = Vocabulary { event_aliases: [(uri.clone(), meant.clone())].into(), ..vocabulary.clone() };
        alone.check().map_err(|source| SettingsError::Vocabulary { key: key.to_owned(), source })?;
    }
    Ok(())
}
