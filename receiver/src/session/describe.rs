//! A session or token as the application describes it: who it belongs to, under which issuer, and since when.
//!
//! The body of `PUT /v1/sessions/{sid}` and the inline form of `POST /v1/check`. Text becomes types here; the subjects
//! are turned into keys and forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;
use ssf_common::moment::Moment;
use ssf_common::subject::{Fault as SubjectFault, Simple, Subject, SubjectError};

use super::key::{Keyring, SubjectKey, TooManyKeys};
use super::record::{Assertions, Binding};

/// The members of a session as a complex subject names them (`user`, `session`, `device`, `tenant`, …), each with every
/// identifier it is known by.
pub type Members = BTreeMap<String, Vec<Simple>>;

/// A session or token in the application's words.
///
/// ```json
/// {"issuer": "https://idp.example.com", "subject": {"format": "iss_sub", "iss": "…", "sub": "…"},
///  "session": "idp-session-id", "device": {"format": "opaque", "id": "…"}, "tenant": "…",
///  "origin": 1795000000, "validated": 1795000000.25, "expires_at": "2026-11-22T10:00:00Z", "binding": "dpop"}
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The issuer of the assertion that started it.
    pub issuer: IssuerUrl,
    /// Who it belongs to: a simple subject (the member `user`), a list of simple subjects that all name the same user,
    /// or a complex subject (its members as they are).
    pub subject: Value,
    /// The IdP's session: a simple subject, a list of them, or text, which is read as an opaque id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Value>,
    /// The device, written like `session`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Value>,
    /// The tenant, written like `session`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Value>,
    /// When the assertion that started it was made; everything minted from it inherits this.
    #[serde(deserialize_with = "moment")]
    pub origin: Moment,
    /// When its newest assertion was made; `origin` if absent.
    #[serde(default, deserialize_with = "optional_moment", skip_serializing_if = "Option::is_none")]
    pub validated: Option<Moment>,
    /// From then on it must be revalidated.
    #[serde(default, deserialize_with = "optional_moment", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Moment>,
    /// In a check: by which proof the application *verified on this very request* that the sender has the key the token is
    /// bound to; `bearer` if absent, or if nothing was verified. Nothing else is `dpop` or `mtls`: not the token's word
    /// alone, nor how a session was registered. In a registration: what its tokens are bound to, for the record.
    #[serde(default)]
    pub binding: Binding,
}

/// A session or token in our words: no subject is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The issuer of the assertion that started it.
    pub issuer: IssuerUrl,
    /// Every key an event may name it by.
    pub keys: Vec<SubjectKey>,
    /// When it was asserted.
    pub assertions: Assertions,
    /// From then on it must be revalidated.
    pub expires_at: Option<Timestamp>,
    /// What its tokens are bound to.
    pub binding: Binding,
}

/// What is wrong with a description: names the member, never quotes a subject.
#[derive(Debug, thiserror::Error)]
#[error("{member}: {fault}")]
pub struct DescriptionError {
    member: String,
    fault: Fault,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("must be {0}")]
    Shape(&'static str),
    #[error(transparent)]
    Subject(SubjectFault),
    #[error("the subject has this member already")]
    Twice,
    #[error("must not be empty")]
    Empty,
    #[error("must not contain NUL")]
    Nul,
    #[error("lies in the future by our clock")]
    Future,
    #[error(transparent)]
    TooManyKeys(#[from] TooManyKeys),
}

impl DescriptionError {
    fn new(member: &str, fault: Fault) -> Self {
        Self { member: member.to_owned(), fault }
    }

    /// A subject's own error names a path from the subject on; ours begins at the member it stands in.
    fn of_subject(member: &str, error: &SubjectError) -> Self {
        let member = if error.member == "sub_id" { member.to_owned() } else { format!("{member}.{}", error.member) };
        Self { member, fault: Fault::Subject(error.fault) }
    }
}

impl Description {
    /// Reads the subjects, derives the keys, and checks the times against the present.
    ///
    /// `origin` and `validated` may be ahead of `now` by a minute at most: a later one would outlive events to come.
    pub fn read(&self, keyring: &Keyring, now: Timestamp) -> Result<Described, DescriptionError> {
        if self.issuer.as_str().contains('\0') {
            return Err(DescriptionError::new("issuer", Fault::Nul));
        }
        let (session, device, tenant) = (self.session.as_ref(), self.device.as_ref(), self.tenant.as_ref());
        let keys = Naming { subject: &self.subject, session, device, tenant }.keys(&self.issuer, keyring)?;
        not_in_the_future("origin", self.origin, now)?;
        if let Some(validated) = self.validated {
            not_in_the_future("validated", validated, now)?;
        }
        Ok(Described {
            issuer: self.issuer.clone(),
            keys,
            assertions: Assertions::new(self.origin, self.validated),
            expires_at: self.expires_at.map(Moment::first),
            binding: self.binding,
        })
    }
}

/// Who something belongs to, in the words of a [`Description`].
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// As [`Description::subject`].
    pub subject: &'a Value,
    /// As [`Description::session`].
    pub session: Option<&'a Value>,
    /// As [`Description::device`].
    pub device: Option<&'a Value>,
    /// As [`Description::tenant`].
    pub tenant: Option<&'a Value>,
}

impl Naming<'_> {
    /// Every key by which an event of this issuer may name it.
    pub fn keys(&self, issuer: &IssuerUrl, keyring: &Keyring) -> Result<Vec<SubjectKey>, DescriptionError> {
        let mut members = subject_members(self.subject)?;
        for (member, given) in [("session", self.session), ("device", self.device), ("tenant", self.tenant)] {
            let Some(given) = given else { continue };
            let previous = members.insert(member.to_owned(), identifiers(member, given)?);
            if previous.is_some() {
                return Err(DescriptionError::new(member, Fault::Twice));
            }
        }
        keyring.of_session(issuer, &members).map_err(|e| DescriptionError::new("subject", e.into()))
    }
}

/// Refuses a time that lies ahead of `now` by more than the clocks of two companies may differ.
pub fn not_in_the_future(member: &'static str, at: Moment, now: Timestamp) -> Result<(), DescriptionError> {
    if at.first() > now.plus(CLOCKS_DIFFER_BY) {
        return Err(DescriptionError::new(member, Fault::Future));
    }
    Ok(())
}

/// A time told by the application, refused in words of the application's.
pub fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
    Moment::deserialize(Value::deserialize(deserializer)?)
        .map_err(|_| D::Error::custom("must be a time: seconds since 1970 as a number, or RFC 3339 text"))
}

/// The same where it may be absent.
pub fn optional_moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Moment>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        Some(told) => moment(told).map(Some).map_err(D::Error::custom),
        None => Ok(None),
    }
}

fn subject_members(given: &Value) -> Result<Members, DescriptionError> {
    let member = "subject";
    if given.is_array() {
        return Ok(Members::from([("user".to_owned(), identifiers(member, given)?)]));
    }
    if !given.is_object() {
        let fault = Fault::Shape("a subject identifier (RFC 9493) or a list of simple ones");
        return Err(DescriptionError::new(member, fault));
    }
    match Subject::parse(given).map_err(|e| DescriptionError::of_subject(member, &e))? {
        Subject::Simple(simple) => Ok(Members::from([("user".to_owned(), flattened(simple))])),
        Subject::Complex(complex) => {
            Ok(complex.members().iter().map(|(name, simple)| (name.clone(), flattened(simple.clone()))).collect())
        }
    }
}

fn identifiers(member: &'static str, given: &Value) -> Result<Vec<Simple>, DescriptionError> {
    let ids = match given {
        Value::Array(list) => {
            let each: Result<Vec<_>, _> = list.iter().map(|one| simple(member, one)).collect();
            each?.into_iter().flatten().collect()
        }
        one => simple(member, one)?,
    };
    if ids.is_empty() { Err(DescriptionError::new(member, Fault::Empty)) } else { Ok(ids) }
}

fn simple(member: &'static str, given: &Value) -> Result<Vec<Simple>, DescriptionError> {
    match given {
        Value::String(id) if id.is_empty() => Err(DescriptionError::new(member, Fault::Empty)),
        Value::String(id) if member != "subject" => Ok(vec![Simple::Opaque { id: id.clone() }]),
        Value::Object(_) => Simple::parse(given).map(flattened).map_err(|e| DescriptionError::of_subject(member, &e)),
        _ if member == "subject" => {
            Err(DescriptionError::new(member, Fault::Shape("a simple subject identifier (RFC 9493) in each place")))
        }
        _ => {
            let fault = Fault::Shape("text, a simple subject identifier (RFC 9493), or a list of these");
            Err(DescriptionError::new(member, fault))
        }
    }
}

/// Aliases are several names of one subject (RFC 9493 §3.2.8).
fn flattened(simple: Simple) -> Vec<Simple> {
    match simple {
        Simple::Aliases { identifiers } => identifiers,
        one => vec![one],
    }
}

/// A time told to us may be ahead of our clock by this much.
pub const CLOCKS_DIFFER_BY: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_000_000);

    fn read(mut body: Value) -> Result<Described, String> {
        let defaults = json!({"issuer": "https://idp.example", "origin": 1_794_999_000});
        for (member, value) in defaults.as_object().unwrap() {
            body.as_object_mut().unwrap().entry(member).or_insert(value.clone());
        }
        let description: Description = serde_json::from_value(body).map_err(|e| e.to_string())?;
        description.read(&Keyring::new(&b"root".to_vec().into()), NOW).map_err(|e| e.to_string())
    }

    fn mail() -> Value {
        json!({"format": "email", "email": "alice@example.com"})
    }

    #[test]
    fn members_may_be_given_beside_the_subject_or_in_it() {
        let beside =
            read(json!({"subject": mail(), "session": "s", "device": {"format": "opaque", "id": "d"}})).unwrap();
        let within = json!({"format": "complex", "user": mail(), "session": {"format": "opaque", "id": "s"},
                            "device": {"format": "opaque", "id": "d"}});
        assert_eq!(beside.keys, read(json!({"subject": within})).unwrap().keys);
        assert_eq!(beside.keys.len(), 7 + 3);
    }

    #[test]
    fn several_identifiers_of_one_user_may_be_a_list_or_aliases() {
        let sub = json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "7"});
        let list = read(json!({"subject": [mail(), sub]})).unwrap();
        let aliases = read(json!({"subject": {"format": "aliases", "identifiers": [mail(), sub]}})).unwrap();
        assert_eq!((list.keys.len(), &list.keys), (4, &aliases.keys));
    }

    #[test]
    fn times_default_to_the_origin_and_the_binding_to_bearer() {
        let told = read(json!({"subject": mail()})).unwrap();
        assert_eq!(told.assertions.origin, told.assertions.validated);
        assert_eq!((told.expires_at, told.binding), (None, Binding::Bearer));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_member_and_never_quoted() {
        let canary = "alice@example.com";
        let wrong = [
            (json!({"subject": canary}), "subject: must be"),
            (json!({"subject": [canary]}), "subject: must be"),
            (json!({"subject": []}), "subject: must not be empty"),
            (json!({"subject": {"format": "email", "email": {"at": canary}}}), "subject.email: "),
            (json!({"subject": mail(), "device": {"format": "email", "email": 7}}), "device.email: "),
            (json!({"subject": mail(), "device": 7}), "device: must be text"),
            (json!({"subject": mail(), "session": ""}), "session: must not be empty"),
            (
                json!({"subject": {"format": "complex", "user": mail(), "tenant": mail()}, "tenant": "t"}),
                "tenant: the subject has",
            ),
            (json!({"subject": mail(), "origin": 1_795_000_061}), "origin: lies in the future"),
            (json!({"subject": mail(), "validated": 1_795_000_061}), "validated: lies in the future"),
            (json!({"subject": mail(), "issuer": "a\0"}), "issuer: must not contain NUL"),
            (json!({"subject": mail(), "surprise": 1}), "unknown field `surprise`"),
            (
                json!({"subject": (0..40).map(|n| json!({"format": "opaque", "id": n.to_string()})).collect::<Vec<_>>()}),
                "subject: 80 combinations",
            ),
        ];
        for (body, expected) in wrong {
            let error = read(body.clone()).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains(canary), "{body}: {error}");
        }
    }
}
