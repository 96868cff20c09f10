//! What a request shows: a session or a token, and whether its sender has the key the token is bound to.

use serde::Deserialize;
use serde_json::Value;

use super::dpop::VerifiedProof;
use super::mtls::VerifiedCertificate;
use crate::config::BindingClass;
use crate::session::{Binding, Description, Sid};

/// Whose validity is asked for.
#[derive(Clone, Debug)]
pub enum Who {
    /// A registered session.
    Session(Sid),
    /// A session or token in the application's words.
    Described(Box<Description>),
}

/// A session or token that a request came with. It counts as a bearer's until [`confirmed`](Self::confirmed): what it was
/// registered with or says of itself does not matter.
#[derive(Clone, Debug)]
pub struct Presented {
    who: Who,
    binding: Binding,
    lacks_proof: bool,
}

/// The key a token is bound to: its claim or introspection member `cnf` (RFC 7800), as far as we know ways to show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Confirmation {
    /// The thumbprint of the client's DPoP key (RFC 9449 §6.1).
    #[serde(default)]
    pub jkt: Option<String>,
    /// The thumbprint of the client's certificate (RFC 8705 §3.1).
    #[serde(default, rename = "x5t#S256")]
    pub x5t_s256: Option<String>,
}

/// What was verified on this request.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// A DPoP proof.
    pub proof: Option<VerifiedProof>,
    /// A client certificate.
    pub certificate: Option<VerifiedCertificate>,
}

impl Presented {
    /// A session, named by a cookie for instance.
    pub const fn session(sid: Sid) -> Self {
        Self { who: Who::Session(sid), binding: Binding::Bearer, lacks_proof: false }
    }

    /// A session or token whose assertion or signature was verified; see [`Description::from_id_token`] and its sisters.
    pub fn described(description: Description) -> Self {
        let description = Description { binding: Binding::Bearer, ..description };
        Self { who: Who::Described(Box::new(description)), binding: Binding::Bearer, lacks_proof: false }
    }

    /// The same, of a token that says it is bound to a key. It is, if the key was shown on this request; if it was not,
    /// the request is to be refused (RFC 9449 §7.1, RFC 8705 §3). A token that is bound to two keys must show both.
    #[must_use]
    pub fn confirmed(mut self, token: &Confirmation, shown: &Shown) -> Self {
        let by_proof = token.jkt.as_ref().map(|jkt| shown.proof.as_ref().is_some_and(|proof| proof.is_by(jkt)));
        let by_certificate =
            token.x5t_s256.as_ref().map(|x5t| shown.certificate.as_ref().is_some_and(|shown| shown.is(x5t)));
        self.lacks_proof = by_proof == Some(false) || by_certificate == Some(false);
        self.binding = match (self.lacks_proof, by_proof, by_certificate) {
            (false, Some(true), _) => Binding::Dpop,
            (false, _, Some(true)) => Binding::Mtls,
            _ => Binding::Bearer,
        };
        if let Who::Described(description) = &mut self.who {
            description.binding = self.binding;
        }
        self
    }

    /// The same, where somebody we trust verified the proof on this request: a gateway of ours.
    pub(super) fn vouched(mut self, binding: Binding) -> Self {
        self.binding = binding;
        if let Who::Described(description) = &mut self.who {
            description.binding = binding;
        }
        self
    }

    /// Who it is.
    pub const fn who(&self) -> &Who {
        &self.who
    }

    /// By what it was shown on this request to be its sender's.
    pub const fn binding(&self) -> Binding {
        self.binding
    }

    /// Which windows hold for it.
    pub const fn class(&self) -> BindingClass {
        self.binding.class()
    }

    /// Whether it is bound to a key that was not shown: whoever sends it may have stolen it.
    pub const fn lacks_proof(&self) -> bool {
        self.lacks_proof
    }
}

impl Confirmation {
    /// From a token's claims or an introspection answer. A `cnf` that cannot be read is a fault of the token's; a way of
    /// confirmation we do not know binds to nothing (RFC 7800 §3.1).
    pub fn of(claims: &serde_json::Map<String, Value>) -> Result<Self, MalformedConfirmation> {
        match claims.get("cnf") {
            None => Ok(Self::default()),
            Some(cnf @ Value::Object(_)) => Self::deserialize(cnf).map_err(|_| MalformedConfirmation),
            Some(_) => Err(MalformedConfirmation),
        }
    }
}

/// A `cnf` that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cnf: must be an object whose `jkt` and `x5t#S256` are text (RFC 9449 §6.1, RFC 8705 §3.1)")]
pub struct MalformedConfirmation;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn confirmation(cnf: &Value) -> Confirmation {
        Confirmation::of(json!({"cnf": cnf}).as_object().unwrap()).unwrap()
    }

    #[test]
    fn only_a_key_shown_on_this_request_makes_it_bound() {
        let proof = || Some(VerifiedProof::of_tests("K1"));
        let certificate = || Some(VerifiedCertificate::from_der(b"a certificate"));
        let x5t = VerifiedCertificate::from_der(b"a certificate").thumbprint();
        let table = [
            // what the token is bound to, what was shown, the binding, whether it is to be refused
            (json!({}), Shown::default(), Binding::Bearer, false),
            (json!({"kid": "K1"}), Shown { proof: proof(), certificate: None }, Binding::Bearer, false),
            (json!({}), Shown { proof: proof(), certificate: certificate() }, Binding::Bearer, false),
            (json!({"jkt": "K1"}), Shown::default(), Binding::Bearer, true),
            (json!({"jkt": "K2"}), Shown { proof: proof(), certificate: None }, Binding::Bearer, true),
            (json!({"jkt": "K1"}), Shown { proof: None, certificate: certificate() }, Binding::Bearer, true),
            (json!({"jkt": "K1"}), Shown { proof: proof(), certificate: None }, Binding::Dpop, false),
            (json!({"x5t#S256": x5t}), Shown { proof: proof(), certificate: None }, Binding::Bearer, true),
            (json!({"x5t#S256": x5t}), Shown { proof: None, certificate: certificate() }, Binding::Mtls, false),
            (json!({"jkt": "K1", "x5t#S256": x5t}), Shown { proof: proof(), certificate: None }, Binding::Bearer, true),
            (
                json!({"jkt": "K1", "x5t#S256": x5t}),
                Shown { proof: proof(), certificate: certificate() },
                Binding::Dpop,
                false,
            ),
        ];
        for (cnf, shown, binding, refused) in table {
            let presented = Presented::session("s".into()).confirmed(&confirmation(&cnf), &shown);
            let class = if binding == Binding::Bearer { BindingClass::Bearer } else { BindingClass::Bound };
            assert_eq!((presented.binding(), presented.lacks_proof()), (binding, refused), "{cnf}");
            assert_eq!(presented.class(), class, "{cnf}");
        }
    }

    #[test]
    fn what_an_application_writes_into_a_description_binds_nothing() {
        let told = json!({"issuer": "https://idp.example", "subject": {"format": "opaque", "id": "u"}, "origin": 1, "binding": "dpop"});
        let presented = Presented::described(serde_json::from_value(told).unwrap());
        let Who::Described(description) = presented.who() else { panic!("it was described") };
        assert_eq!((presented.class(), description.binding), (BindingClass::Bearer, Binding::Bearer));
        let shown = Shown { proof: Some(VerifiedProof::of_tests("K1")), certificate: None };
        let confirmed = presented.clone().confirmed(&confirmation(&json!({"jkt": "K1"})), &shown);
        let Who::Described(description) = confirmed.who() else { panic!("it was described") };
        assert_eq!((confirmed.class(), description.binding), (BindingClass::Bound, Binding::Dpop));
    }

    #[test]
    fn a_confirmation_that_cannot_be_read_is_not_taken_for_none() {
        for cnf in [json!("K1"), json!([]), json!(null), json!({"jkt": 7}), json!({"x5t#S256": {}})] {
            assert!(Confirmation::of(json!({"cnf": cnf}).as_object().unwrap()).is_err(), "{cnf}");
        }
    }
}
