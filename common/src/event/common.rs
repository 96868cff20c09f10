//! [`Common`]: the members every CAEP event may have (CAEP 1.0 §2).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::members::{MAX_MEMBERS, Members, Written, text_of};
use super::{EventError, EventType, Fault, InitiatingEntity};
use crate::moment::Moment;

/// What every CAEP event may say about itself.
///
/// RISC and SSF do not define these members (but for credential-compromise, which has three of them). Where a payload
/// of theirs carries one that is well formed, it is read all the same; otherwise it is a member we do not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// When what the event tells of happened.
    pub event_timestamp: Option<Moment>,
    /// Who brought it about.
    pub initiating_entity: Option<InitiatingEntity>,
    /// Why, for logs and auditors.
    pub reason_admin: Option<LocalizedText>,
    /// Why, for the user.
    pub reason_user: Option<LocalizedText>,
}

impl Common {
    /// Reads the members as the type defines them.
    pub(super) fn read(members: &mut Members<'_>, event_type: &EventType) -> Result<Self, EventError> {
        let mut read = Reader { members, strict: defines_common_members(event_type) };
        Ok(Self {
            event_timestamp: read.member(EVENT_TIMESTAMP, Members::moment)?,
            initiating_entity: read.member("initiating_entity", Members::word)?,
            reason_admin: read.member("reason_admin", LocalizedText::read)?,
            reason_user: read.member("reason_user", LocalizedText::read)?,
        })
    }

    /// Writes the members that are there.
    pub(super) fn write(&self, payload: &mut Written) {
        payload.put(EVENT_TIMESTAMP, self.event_timestamp.map(numeric_date));
        payload.put("initiating_entity", self.initiating_entity);
        payload.put("reason_admin", self.reason_admin.as_ref().map(LocalizedText::to_value));
        payload.put("reason_user", self.reason_user.as_ref().map(LocalizedText::to_value));
    }
}

struct Reader<'m, 'a> {
    members: &'m mut Members<'a>,
    strict: bool,
}

impl<'a> Reader<'_, 'a> {
    fn member<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Members<'a>, &'static str) -> Result<Option<T>, EventError>,
    ) -> Result<Option<T>, EventError> {
        read(self.members, name).or_else(|error| {
            self.members.forget(name);
            if self.strict { Err(error) } else { Ok(None) }
        })
    }
}

/// Whether the standard of this type defines the common members.
fn defines_common_members(event_type: &EventType) -> bool {
    matches!(
        event_type,
        EventType::SessionRevoked
            | EventType::TokenClaimsChange
            | EventType::CredentialChange
            | EventType::AssuranceLevelChange
            | EventType::DeviceComplianceChange
            | EventType::SessionEstablished
            | EventType::SessionPresented
            | EventType::RiskLevelChange
            | EventType::CredentialCompromise
            | EventType::Revalidate
    )
}

/// One text in one or more languages: never empty, by language tag (BCP 47).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalizedText(BTreeMap<String, String>);

impl LocalizedText {
    /// From texts by language tag; `member` is what an error calls it.
    pub fn new(texts: BTreeMap<String, String>, member: &'static str) -> Result<Self, EventError> {
        let refuse = |fault| Err(EventError::at(member, fault));
        if texts.is_empty() {
            refuse(Fault::Empty)
        } else if texts.len() > MAX_MEMBERS {
            refuse(Fault::TooMany(MAX_MEMBERS))
        } else if !texts.keys().all(|tag| is_language_tag(tag)) {
            refuse(Fault::NotALanguageTag)
        } else {
            Ok(Self(texts))
        }
    }

    /// A text in English.
    pub fn english(text: impl Into<String>) -> Self {
        Self(BTreeMap::from([("en".to_owned(), text.into())]))
    }

    /// The texts by language tag, sorted; never empty.
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// As JSON: an object of tag and text.
    pub fn to_value(&self) -> Value {
        self.0.iter().map(|(tag, text)| (tag.clone(), Value::from(text.as_str()))).collect::<Map<_, _>>().into()
    }

    fn read(members: &mut Members<'_>, member: &'static str) -> Result<Option<Self>, EventError> {
        let Some(value) = members.value(member) else { return Ok(None) };
        let object = value.as_object().ok_or(EventError::at(member, Fault::NotA("an object")))?;
        let texts = object.iter().map(|(tag, text)| Ok((tag.clone(), text_of(text, member)?)));
        Self::new(texts.collect::<Result<_, EventError>>()?, member).map(Some)
    }
}

/// A time as a number, by its precision.
fn numeric_date(at: Moment) -> Value {
    serde_json::to_value(at).expect("a moment is a number, and writing a number cannot fail")
}

/// Whether it looks like a language tag: subtags of 1 to 8 letters or digits, the first of letters (RFC 5646 §2.1).
fn is_language_tag(tag: &str) -> bool {
    tag.len() <= 64
        && tag.starts_with(|c: char| c.is_ascii_alphabetic())
        && tag.split('-').next().is_some_and(|first| first.chars().all(|c| c.is_ascii_alphabetic()))
        && tag.split('-').all(|s| (1..=8).contains(&s.len()) && s.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// The member that says when it happened.
pub(super) const EVENT_TIMESTAMP: &str = "event_timestamp";
