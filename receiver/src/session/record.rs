//! A registered session, and what a second registration or a new assertion makes of it. Pure.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ssf_common::clock::Timestamp;
use ssf_common::moment::Moment;
use ssf_common::text_id;

use super::describe::Described;
use crate::config::BindingClass;

text_id! {
    /// A session as the application names it. Stored as given, so it must be opaque: never an address or a user name.
    Sid;
}

impl Sid {
    /// What a name must be.
    pub const RULE: &str = "must have 1 to 256 characters, none of them NUL";

    /// What the names of our own probes' sessions begin with. No session of an application may: nobody is told of it.
    pub const PROBE: &str = "ssf-probe-";

    /// Whether it is a session that only a probe has registered.
    pub fn is_probe(&self) -> bool {
        self.0.starts_with(Self::PROBE)
    }

    /// Whether a session can have this name.
    pub fn is_storable(&self) -> bool {
        (1..=MAX_SID).contains(&self.0.chars().count()) && !self.0.contains('\0')
    }

    /// The name of the session that a secret of the client stands for, a cookie or an opaque token: SHA-256 in base64url.
    /// So the secret itself is registered nowhere.
    pub fn of_secret(secret: &str) -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(secret)))
    }
}

/// What the tokens of a session are bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// Nothing: whoever holds it may use it (RFC 6750).
    #[default]
    Bearer,
    /// A key of the client (RFC 9449).
    Dpop,
    /// A client certificate (RFC 8705).
    Mtls,
}

impl Binding {
    /// As it stands in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
        }
    }

    /// Whose windows hold for it.
    pub const fn class(self) -> BindingClass {
        match self {
            Self::Bearer => BindingClass::Bearer,
            Self::Dpop | Self::Mtls => BindingClass::Bound,
        }
    }

    /// The binding with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Bearer, Self::Dpop, Self::Mtls].into_iter().find(|one| one.as_str() == name)
    }
}

/// When a session was asserted: the first instants the issuer's times may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assertions {
    /// The assertion that started it.
    pub origin: Timestamp,
    /// The newest one; never earlier than `origin`.
    pub validated: Timestamp,
}

impl Assertions {
    /// From the times told; a session is validated at least by the assertion that started it.
    pub fn new(origin: Moment, validated: Option<Moment>) -> Self {
        let origin = origin.first();
        Self { origin, validated: validated.map_or(origin, |told| told.first().max(origin)) }
    }

    /// After one more assertion about the same session; an old one changes nothing.
    #[must_use]
    pub fn validated_at(self, at: Moment) -> Self {
        Self { validated: self.validated.max(at.first()), ..self }
    }

    /// After another login of the same people, told in any order: the newest origin and the newest assertion stand.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        Self { origin: self.origin.max(other.origin), validated: self.validated.max(other.validated) }
    }
}

/// A session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The description it was registered with, brought up to date.
    pub described: Described,
    /// When the application ended it itself.
    pub ended_at: Option<Timestamp>,
}

/// The session is registered with a newer origin; what was told now is older and would take back what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("origin: the session is registered with a newer one; an origin never moves back")]
pub struct OriginMovedBack;

impl Session {
    /// What a second registration under the same name makes of this session.
    ///
    /// * An older origin is refused, whatever else it says.
    /// * The same or a newer origin (a new login) replaces issuer, keys, expiry and binding by what is told now, and an
    ///   ended session lives again.
    /// * `validated` keeps its newest value as long as the session belongs to the same people (the keys are the same);
    ///   otherwise the assertions of somebody else are forgotten.
    /// * Another issuer under the same name must come with a newer origin: it is a new login.
    pub fn registered_again(&self, told: Described) -> Result<Described, OriginMovedBack> {
        let known = &self.described;
        if told.assertions.origin < known.assertions.origin
            || (told.issuer != known.issuer && told.assertions.origin == known.assertions.origin)
        {
            return Err(OriginMovedBack);
        }
        let same_people = told.issuer == known.issuer && told.keys == known.keys && self.ended_at.is_none();
        let assertions = if same_people { told.assertions.joined(known.assertions) } else { told.assertions };
        Ok(Described { assertions, ..told })
    }
}

const MAX_SID: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::key::SubjectKey;

    fn described(issuer: &str, key: u8, origin: i64, validated: i64) -> Described {
        let at = |s| Moment::second(Timestamp::from_unix_seconds(s));
        Described {
            issuer: issuer.into(),
            keys: vec![SubjectKey([key; 16])],
            assertions: Assertions::new(at(origin), Some(at(validated))),
            expires_at: None,
            binding: Binding::Bearer,
        }
    }

    fn again(known: Described, told: Described) -> Option<(i64, i64)> {
        let after = Session { described: known, ended_at: None }.registered_again(told).ok()?;
        Some((after.assertions.origin.unix_seconds(), after.assertions.validated.unix_seconds()))
    }

    #[test]
    fn the_same_registration_twice_changes_nothing() {
        assert_eq!(again(described("a", 1, 10, 20), described("a", 1, 10, 10)), Some((10, 20)));
    }

    #[test]
    fn an_origin_never_moves_back() {
        assert_eq!(again(described("a", 1, 10, 10), described("a", 1, 9, 30)), None);
        assert_eq!(again(described("a", 1, 10, 10), described("b", 1, 10, 10)), None);
    }

    #[test]
    fn a_new_login_of_the_same_people_keeps_the_newest_assertion_whatever_came_first() {
        assert_eq!(again(described("a", 1, 10, 20), described("a", 1, 15, 15)), Some((15, 20)));
    }

    #[test]
    fn a_new_login_of_somebody_else_forgets_the_assertions_of_the_one_before() {
        assert_eq!(again(described("a", 1, 10, 20), described("a", 2, 15, 15)), Some((15, 15)));
        assert_eq!(again(described("a", 1, 10, 20), described("b", 1, 15, 15)), Some((15, 15)));
    }
}
