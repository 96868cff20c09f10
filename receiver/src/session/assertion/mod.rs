//! From what an issuer asserted to a [`Description`]: the claims of a verified ID token or access token ([`claims`]), an
//! introspection answer for an opaque token, a verified SAML assertion ([`saml`]). Called by applications and the guard.
//!
//! Nothing here verifies anything: whoever calls has checked signature, issuer, audience and times. What an issuer may name
//! in an event (subject, session, the token or assertion itself) all becomes part of the description, so that an event by
//! any of these names finds it.

mod claims;
mod saml;

use serde::Deserialize as _;
use serde_json::Value;
use ssf_common::moment::Moment;

pub use saml::SamlAssertion;

/// An assertion that cannot be described: names the member, never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {fault}")]
pub struct AssertionError {
    member: &'static str,
    fault: &'static str,
}

impl AssertionError {
    const fn missing(member: &'static str) -> Self {
        Self { member, fault: "is missing or not text" }
    }

    const fn no_time(member: &'static str) -> Self {
        Self { member, fault: "is missing or not a time" }
    }
}

fn moment(member: &'static str, told: &Value) -> Result<Moment, AssertionError> {
    Moment::deserialize(told).map_err(|_| AssertionError::no_time(member))
}
