//! SAML 2.0: the parts of a verified assertion that an event may name, or that say when.

use serde_json::{Value, json};
use ssf_common::id::IssuerUrl;
use ssf_common::moment::Moment;
use ssf_common::subject::Simple;

use super::{AssertionError, moment};
use crate::session::{Binding, Description};

/// A SAML 2.0 assertion (core §2) whose signature, audience and conditions the application has verified. Texts as they stand
/// in the XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamlAssertion<'a> {
    /// `Issuer`: the entity id of the IdP.
    pub entity_id: &'a str,
    /// `NameID`.
    pub name_id: &'a str,
    /// Its `Format`.
    pub name_id_format: Option<&'a str>,
    /// `ID` of the assertion.
    pub assertion_id: &'a str,
    /// `IssueInstant` of the assertion.
    pub issue_instant: &'a str,
    /// `AuthnInstant` of its `AuthnStatement`.
    pub authn_instant: &'a str,
    /// `SessionIndex` of its `AuthnStatement`.
    pub session_index: Option<&'a str>,
    /// `SessionNotOnOrAfter` of its `AuthnStatement`.
    pub session_not_on_or_after: Option<&'a str>,
}

impl SamlAssertion<'_> {
    /// The session it starts. `upstream` is how the transmitter of this IdP's events calls itself, which may differ from
    /// the entity id. Events find it by the NameID (as `iss_sub` of the entity id or of `upstream`, as `email` if it is an
    /// address, as `opaque`), by the SessionIndex (`opaque`) and by the assertion itself (`saml_assertion_id`, SSF 1.0
    /// §3.5.2). It began with AuthnInstant; IssueInstant is its newest assertion.
    pub fn description(&self, upstream: &IssuerUrl) -> Result<Description, AssertionError> {
        for (member, told) in [
            ("Issuer", Some(self.entity_id)),
            ("NameID", Some(self.name_id)),
            ("ID", Some(self.assertion_id)),
            ("SessionIndex", self.session_index),
        ] {
            if told == Some("") {
                return Err(AssertionError::missing(member));
            }
        }
        let of = |issuer: &str| json!({"format": "iss_sub", "iss": issuer, "sub": self.name_id});
        let mut subject = vec![of(self.entity_id)];
        if upstream.as_str() != self.entity_id {
            subject.push(of(upstream.as_str()));
        }
        let address = json!({"format": "email", "email": self.name_id});
        let is_address = self.name_id_format.is_none_or(|format| [EMAIL, UNSPECIFIED].contains(&format));
        if is_address && Simple::parse(&address).is_ok() {
            subject.push(address);
        } else {
            subject.push(json!({"format": "opaque", "id": self.name_id}));
        }
        let assertion =
            json!({"format": "saml_assertion_id", "issuer": self.entity_id, "assertion_id": self.assertion_id});
        let index = self.session_index.map(|index| json!({"format": "opaque", "id": index}));
        let ends = self.session_not_on_or_after.map(|at| instant("SessionNotOnOrAfter", at)).transpose()?;
        Ok(Description {
            issuer: upstream.clone(),
            subject: subject.into(),
            session: Some(index.into_iter().chain([assertion]).collect()),
            device: None,
            tenant: None,
            origin: instant("AuthnInstant", self.authn_instant)?,
            validated: Some(instant("IssueInstant", self.issue_instant)?),
            expires_at: ends,
            binding: Binding::Bearer,
        })
    }
}

/// An `xs:dateTime`; SAML has it in UTC, with or without saying so (core §1.3.3).
fn instant(member: &'static str, text: &str) -> Result<Moment, AssertionError> {
    let has_zone = text.ends_with(['Z', 'z']) || text.rsplit('T').next().is_some_and(|time| time.contains(['+', '-']));
    let zoned = if has_zone { text.to_owned() } else { format!("{text}Z") };
    moment(member, &Value::String(zoned))
}

const EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
const UNSPECIFIED: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified";

#[cfg(test)]
mod tests {
    use super::*;

    const ASSERTION: SamlAssertion<'static> = SamlAssertion {
        entity_id: "https://idp.example/saml",
        name_id: "alice@example.com",
        name_id_format: Some(EMAIL),
        assertion_id: "_a75adf55",
        issue_instant: "2026-11-21T10:00:00Z",
        authn_instant: "2026-11-21T09:59:58.250",
        session_index: Some("_be9967ab"),
        session_not_on_or_after: Some("2026-11-21T18:00:00+00:00"),
    };

    #[test]
    fn a_saml_assertion_describes_a_session_by_every_name_it_has() {
        let described = json!(ASSERTION.description(&"https://idp.example".into()).unwrap());
        assert_eq!(
            described,
            json!({
                "issuer": "https://idp.example",
                "subject": [
                    {"format": "iss_sub", "iss": "https://idp.example/saml", "sub": "alice@example.com"},
                    {"format": "iss_sub", "iss": "https://idp.example", "sub": "alice@example.com"},
                    {"format": "email", "email": "alice@example.com"},
                ],
                "session": [
                    {"format": "opaque", "id": "_be9967ab"},
                    {"format": "saml_assertion_id", "issuer": "https://idp.example/saml", "assertion_id": "_a75adf55"},
                ],
                "origin": 1_795_255_198.25, "validated": 1_795_255_200, "expires_at": 1_795_284_000,
                "binding": "bearer",
            })
        );
    }

    #[test]
    fn a_name_that_is_no_address_is_an_opaque_one() {
        for (format, name, expected) in [
            (Some("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"), "alice@example.com", "opaque"),
            (Some("urn:oasis:names:tc:SAML:2.0:nameid-format:transient"), "_x", "opaque"),
            (Some(UNSPECIFIED), "alice", "opaque"),
            (Some(UNSPECIFIED), "alice@example.com", "email"),
            (None, "alice@example.com", "email"),
        ] {
            let assertion = SamlAssertion { name_id: name, name_id_format: format, ..ASSERTION };
            let described = json!(assertion.description(&"https://idp.example/saml".into()).unwrap());
            assert_eq!(
                (&described["subject"][1]["format"], described["subject"].as_array().unwrap().len()),
                (&json!(expected), 2)
            );
        }
    }

    #[test]
    fn what_is_missing_or_no_time_is_named() {
        let said = |assertion: SamlAssertion<'_>| assertion.description(&"i".into()).unwrap_err().to_string();
        assert_eq!(said(SamlAssertion { name_id: "", ..ASSERTION }), "NameID: is missing or not text");
        assert_eq!(
            said(SamlAssertion { session_index: Some(""), ..ASSERTION }),
            "SessionIndex: is missing or not text"
        );
        assert_eq!(said(SamlAssertion { authn_instant: "now", ..ASSERTION }), "AuthnInstant: is missing or not a time");
        let ends = SamlAssertion { session_not_on_or_after: Some("never"), ..ASSERTION };
        assert_eq!(said(ends), "SessionNotOnOrAfter: is missing or not a time");
    }
}
