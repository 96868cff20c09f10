//! How large a subject may be. Strangers write them: nothing here recurses or allocates beyond these numbers.

use serde_json::{Map, Value};

use super::error::shown;
use super::{Fault, SubjectError};

/// The longest text of one member, and the largest value of one proprietary member, in bytes.
pub const MAX_TEXT: usize = 4_096;
/// The most members of a subject, aliases, and IP addresses.
pub const MAX_MEMBERS: usize = 32;
/// How deep the value of a proprietary member may be nested.
pub const MAX_DEPTH: usize = 8;

/// Refuses an object with too many members.
pub(super) fn check_count(entries: usize, member: &str) -> Result<(), SubjectError> {
    if entries > MAX_MEMBERS { Err(SubjectError::at(member, Fault::TooMany(MAX_MEMBERS))) } else { Ok(()) }
}

/// Refuses a text that is too long or that PostgreSQL cannot store.
pub(super) fn check_text(text: &str, member: &str) -> Result<(), SubjectError> {
    if text.len() > MAX_TEXT {
        Err(SubjectError::at(member, Fault::TooLong(MAX_TEXT)))
    } else if text.contains('\0') {
        Err(SubjectError::at(member, Fault::Nul))
    } else {
        Ok(())
    }
}

/// Refuses members of a proprietary format that are too long, too many or too deep.
pub(super) fn check_raw(members: &Map<String, Value>) -> Result<(), SubjectError> {
    members.iter().try_for_each(|(name, value)| {
        check_text(name, shown(name))?;
        let mut left = MAX_TEXT;
        spend(value, MAX_DEPTH, &mut left).map_err(|fault| SubjectError::at(shown(name), fault))
    })
}

/// Takes the size of `value` from `left`; never goes deeper than `depth`.
fn spend(value: &Value, depth: usize, left: &mut usize) -> Result<(), Fault> {
    spend_text(value.as_str().unwrap_or_default(), left)?;
    let inner = || depth.checked_sub(1).ok_or(Fault::TooDeep(MAX_DEPTH));
    match value {
        Value::Array(entries) => {
            let depth = inner()?;
            entries.iter().try_for_each(|entry| spend(entry, depth, left))
        }
        Value::Object(members) => {
            let depth = inner()?;
            members.iter().try_for_each(|(name, entry)| {
                spend_text(name, left)?;
                spend(entry, depth, left)
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn spend_text(text: &str, left: &mut usize) -> Result<(), Fault> {
    *left = left.checked_sub(1 + text.len()).ok_or(Fault::TooLong(MAX_TEXT))?;
    if text.contains('\0') { Err(Fault::Nul) } else { Ok(()) }
}
