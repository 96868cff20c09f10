//! [`Members`] reads the members of a payload one by one and knows in the end which ones nobody asked for; [`Written`]
//! writes them.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::{EventError, Fault, UnknownWord};
use crate::moment::Moment;

/// The members of a JSON object, read by name.
///
/// A member that is `null` counts as absent: many libraries write absence that way.
pub(super) struct Members<'a> {
    object: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Members<'a> {
    /// The members of an object of acceptable size; `whole` is what errors call it.
    pub(super) fn of(value: &'a Value, whole: &'static str) -> Result<Self, EventError> {
        let object = value.as_object().ok_or(EventError::at(whole, Fault::NotA("an object")))?;
        if object.len() > MAX_MEMBERS {
            return Err(EventError::at(whole, Fault::TooMany(MAX_MEMBERS)));
        }
        object.iter().try_for_each(|(name, value)| {
            check_storable(name, value, MAX_DEPTH).map_err(|fault| EventError::at(whole, fault))
        })?;
        Ok(Self { object, known: Vec::new() })
    }

    /// The value of a member, if it is there.
    pub(super) fn value(&mut self, member: &'static str) -> Option<&'a Value> {
        self.known.push(member);
        self.object.get(member).filter(|value| !value.is_null())
    }

    /// A text.
    pub(super) fn text(&mut self, member: &'static str) -> Result<Option<String>, EventError> {
        self.value(member).map(|value| text_of(value, member)).transpose()
    }

    /// A text that must be there and say something.
    pub(super) fn required_text(&mut self, member: &'static str) -> Result<String, EventError> {
        let text = required(self.text(member)?, member)?;
        if text.is_empty() { Err(EventError::at(member, Fault::Empty)) } else { Ok(text) }
    }

    /// A word of a closed list.
    pub(super) fn word<W: FromStr<Err = UnknownWord>>(
        &mut self,
        member: &'static str,
    ) -> Result<Option<W>, EventError> {
        let text = self.text(member)?;
        text.map(|word| word.parse().map_err(|error| EventError::at(member, Fault::UnknownWord(error)))).transpose()
    }

    /// A word of a closed list that must be there.
    pub(super) fn required_word<W: FromStr<Err = UnknownWord>>(
        &mut self,
        member: &'static str,
    ) -> Result<W, EventError> {
        required(self.word(member)?, member)
    }

    /// An array of texts. A single text is read as an array of one, as CAEP's own drafts wrote `amr`.
    pub(super) fn texts(&mut self, member: &'static str) -> Result<Option<Vec<String>>, EventError> {
        match self.value(member) {
            None => Ok(None),
            Some(Value::String(_)) => Ok(self.text(member)?.map(|text| vec![text])),
            Some(Value::Array(entries)) if entries.len() > MAX_MEMBERS => {
                Err(EventError::at(member, Fault::TooMany(MAX_MEMBERS)))
            }
            Some(Value::Array(entries)) => {
                entries.iter().map(|entry| text_of(entry, member)).collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Err(EventError::at(member, Fault::NotA("an array of strings"))),
        }
    }

    /// A count, such as a number of seconds.
    pub(super) fn count(&mut self, member: &'static str) -> Result<Option<u64>, EventError> {
        self.value(member)
            .map(|value| value.as_u64().ok_or(EventError::at(member, Fault::NotA("a whole number"))))
            .transpose()
    }

    /// A time as a number (NumericDate, RFC 7519 §2).
    pub(super) fn moment(&mut self, member: &'static str) -> Result<Option<Moment>, EventError> {
        match self.value(member) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                Moment::from_number(number).map(Some).ok_or(EventError::at(member, Fault::NotATime))
            }
            Some(_) => Err(EventError::at(member, Fault::NotA("a number"))),
        }
    }

    /// The members that nobody has asked for, in the order they came.
    pub(super) fn rest(self) -> Map<String, Value> {
        let unknown = self.object.iter().filter(|(name, _)| !self.known.contains(&name.as_str()));
        unknown.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// As if nobody had asked for a member: it belongs to the [`rest`](Self::rest).
    pub(super) fn forget(&mut self, member: &'static str) {
        self.known.retain(|known| *known != member);
    }
}

/// The members of a JSON object in the making.
#[derive(Default)]
pub(super) struct Written(Map<String, Value>);

impl Written {
    /// Adds a member if there is one.
    pub(super) fn put(&mut self, member: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.insert(member.to_owned(), value.into());
        }
    }

    /// Adds members that are kept as they came; what is there already takes precedence.
    pub(super) fn put_rest(&mut self, rest: &Map<String, Value>) {
        for (name, value) in rest {
            self.0.entry(name.as_str()).or_insert_with(|| value.clone());
        }
    }
}

impl From<Written> for Value {
    fn from(written: Written) -> Self {
        Self::Object(written.0)
    }
}

/// What must be there.
pub(super) fn required<T>(value: Option<T>, member: &'static str) -> Result<T, EventError> {
    value.ok_or(EventError::at(member, Fault::Missing))
}

/// A text within the limit.
pub(super) fn text_of(value: &Value, member: &'static str) -> Result<String, EventError> {
    match value {
        Value::String(text) if text.len() > MAX_TEXT => Err(EventError::at(member, Fault::TooLong(MAX_TEXT))),
        Value::String(text) => Ok(text.clone()),
        _ => Err(EventError::at(member, Fault::NotA("a string"))),
    }
}

/// Refuses what would blow the stack or could not be stored; never goes deeper than `depth`.
fn check_storable(name: &str, value: &Value, depth: usize) -> Result<(), Fault> {
    if name.contains('\0') {
        return Err(Fault::Nul);
    }
    let inner = || depth.checked_sub(1).ok_or(Fault::TooDeep(MAX_DEPTH));
    match value {
        Value::String(text) if text.contains('\0') => Err(Fault::Nul),
        Value::Array(entries) => {
            let depth = inner()?;
            entries.iter().try_for_each(|entry| check_storable("", entry, depth))
        }
        Value::Object(members) => {
            let depth = inner()?;
            members.iter().try_for_each(|(name, entry)| check_storable(name, entry, depth))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// The longest text of a member we know, in bytes.
pub(super) const MAX_TEXT: usize = 4_096;
/// The most members of a payload, languages of a reason, and entries of a list.
pub(super) const MAX_MEMBERS: usize = 64;
/// How deep a payload may be nested.
const MAX_DEPTH: usize = 32;
