//! [`Complex`]: named simple subjects which together identify one principal (SSF 1.0 §3.3).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::{WHOLE, shown};
use super::limits::check_count;
use super::{Fault, Simple, SubjectError};

/// The member names SSF 1.0 §3.3 defines. Further names are allowed.
pub const KNOWN_MEMBERS: &[&str] = &["user", "device", "session", "application", "tenant", "org_unit", "group"];

/// A complex subject: a conjunction, `{user U and device D}` is one principal, never two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Complex {
    members: BTreeMap<String, Simple>,
}

impl Complex {
    /// The value of `format`.
    pub const FORMAT: &str = "complex";

    /// From its members: at least one, none called `format`.
    pub fn new(members: BTreeMap<String, Simple>) -> Result<Self, SubjectError> {
        if members.is_empty() {
            return Err(SubjectError::at(WHOLE, Fault::Empty));
        }
        if members.contains_key("format") {
            return Err(SubjectError::at("format", Fault::NotA("a string")));
        }
        check_count(members.len(), WHOLE)?;
        Ok(Self { members })
    }

    /// The members by name, sorted; never empty.
    pub fn members(&self) -> &BTreeMap<String, Simple> {
        &self.members
    }

    /// See [`Subject::of_every_session`](super::Subject::of_every_session).
    pub(super) fn of_every_session(mut self, id: &str) -> Self {
        let means_every = |member: &Simple| matches!(member, Simple::Opaque { id: named } if named == id);
        if self.members.contains_key("user") && self.members.get("session").is_some_and(means_every) {
            self.members.remove("session");
        }
        self
    }

    /// As JSON: `format` first, then the members sorted by name.
    pub fn to_value(&self) -> Value {
        let mut object = Map::new();
        object.insert("format".to_owned(), Self::FORMAT.into());
        object.extend(self.members.iter().map(|(name, member)| (name.clone(), member.to_value())));
        Value::Object(object)
    }

    /// See [`Subject::check_critical`](super::Subject::check_critical).
    pub(super) fn check_critical(&self, critical: &[String], understood: &[&str]) -> Result<(), SubjectError> {
        let unmet = self
            .members
            .keys()
            .find(|name| critical.iter().any(|c| c == *name) && !understood.contains(&name.as_str()));
        match unmet {
            Some(name) => Err(SubjectError::at(shown(name), Fault::CriticalNotUnderstood)),
            None => Ok(()),
        }
    }
}
