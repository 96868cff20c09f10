//! What is true of every answer: its status, its caching, its body or that it has none.

use http::{StatusCode, header};
use serde_json::Value;

use super::super::Findings;
use crate::upstream::Answer;

/// What one call is answered with, and where that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// The status of a success.
    due: StatusCode,
    /// The section.
    pub(super) section: &'static str,
    /// Whether 202 may say that it is not done yet.
    may_wait: bool,
}

/// Deleting (SSF 1.0 §8.1.1.5).
pub fn delete(answer: &Answer) -> Findings {
    empty(answer, Rule::new(StatusCode::NO_CONTENT, "SSF 1.0 §8.1.1.5"))
}

/// Adding a subject (SSF 1.0 §8.1.3.2).
pub fn add_subject(answer: &Answer) -> Findings {
    empty(answer, Rule::new(StatusCode::OK, "SSF 1.0 §8.1.3.2"))
}

/// Removing a subject (SSF 1.0 §8.1.3.3).
pub fn remove_subject(answer: &Answer) -> Findings {
    empty(answer, Rule::new(StatusCode::NO_CONTENT, "SSF 1.0 §8.1.3.3"))
}

/// Asking for a verification (SSF 1.0 §8.1.4.2).
pub fn verify(answer: &Answer) -> Findings {
    empty(answer, Rule::new(StatusCode::NO_CONTENT, "SSF 1.0 §8.1.4.2"))
}

impl Rule {
    pub(super) const fn new(due: StatusCode, section: &'static str) -> Self {
        Self { due, section, may_wait: false }
    }

    pub(super) const fn or_later(self) -> Self {
        Self { may_wait: true, ..self }
    }

    /// Checks status and caching. `false`: the answer says that it is not done yet, and its body says nothing.
    pub(super) fn head(self, answer: &Answer, findings: &mut Findings) -> bool {
        let (status, due) = (answer.status, self.due.as_u16());
        if self.may_wait && status == StatusCode::ACCEPTED {
            findings.warning(self.section, "the request is accepted and not carried out yet (202); ask again later");
            return false;
        }
        if status != self.due && status.is_success() {
            findings.known(self.section, format!("the status must be {due}, and is {}", status.as_u16()));
        } else if status != self.due {
            findings.breach(self.section, format!("the status must be {due}, and is {}", status.as_u16()));
        }
        no_store(answer, self.section, findings);
        true
    }

    /// The body as JSON, if it is.
    pub(super) fn json(self, answer: &Answer, findings: &mut Findings) -> Option<Value> {
        if answer.body.trim_ascii().is_empty() {
            findings.breach(self.section, "the body must be JSON, and is empty");
            return None;
        }
        if media_type(answer) != "application/json" {
            findings.warning(self.section, "the `Content-Type` of JSON should be application/json");
        }
        let json = answer.json().ok();
        if json.is_none() {
            findings.breach(self.section, "the body must be JSON, and is not");
        }
        json
    }
}

/// The text before the parameters, in lower case.
pub(super) fn media_type(answer: &Answer) -> String {
    let text = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn empty(answer: &Answer, rule: Rule) -> Findings {
    let mut findings = Findings::default();
    rule.head(answer, &mut findings);
    if !answer.body.is_empty() {
        findings.known(rule.section, "the body must be empty, and is not");
    }
    findings
}

fn no_store(answer: &Answer, section: &'static str, findings: &mut Findings) {
    let said = answer.headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    if !said.flat_map(|value| value.split(',')).any(|directive| directive.trim().eq_ignore_ascii_case("no-store")) {
        findings.warning(section, "the answer should be `Cache-Control: no-store`");
    }
}
