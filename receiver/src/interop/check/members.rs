//! Members of a JSON object, each of the type it must have.

use serde_json::{Map, Value};

use super::super::Findings;

/// An object whose members are looked at, under the section that describes it.
pub(super) struct Members<'a> {
    pub(super) object: &'a Map<String, Value>,
    pub(super) section: &'static str,
    /// What stands before a member's name in findings, such as `delivery.`.
    pub(super) within: &'static str,
}

impl<'a> Members<'a> {
    /// A breach if there is no such member.
    pub(super) fn required(&self, name: &str, findings: &mut Findings) -> Option<&'a Value> {
        let found = self.object.get(name);
        if found.is_none() {
            self.breach(name, "is missing", findings);
        }
        found
    }

    /// A text that is not empty; a breach if it is anything else.
    pub(super) fn text(&self, name: &str, findings: &mut Findings) -> Option<&'a str> {
        let text = self.object.get(name)?.as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.breach(name, "must be a text that is not empty", findings);
        }
        text
    }

    /// An array of texts; a breach if it is anything else.
    pub(super) fn texts(&self, name: &str, findings: &mut Findings) -> Option<Vec<&'a str>> {
        let found = self.object.get(name)?;
        let texts = found.as_array().and_then(|values| values.iter().map(Value::as_str).collect());
        if texts.is_none() {
            self.breach(name, "must be an array of texts", findings);
        }
        texts
    }

    /// A whole number of seconds; a breach if it is anything else.
    pub(super) fn seconds(&self, name: &str, findings: &mut Findings) {
        if self.object.get(name).is_some_and(|found| found.as_u64().is_none()) {
            self.breach(name, "must be a whole number of seconds, not below 0", findings);
        }
    }

    /// An object; a breach if it is anything else.
    pub(super) fn object(&self, name: &str, findings: &mut Findings) -> Option<&'a Map<String, Value>> {
        let object = self.object.get(name)?.as_object();
        if object.is_none() {
            self.breach(name, "must be an object", findings);
        }
        object
    }

    /// This member is wrong.
    pub(super) fn breach(&self, name: &str, text: &str, findings: &mut Findings) {
        findings.breach(self.section, format!("`{}{name}` {text}", self.within));
    }
}
