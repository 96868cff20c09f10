//! A stream's status, as it is answered (SSF 1.0 §8.1.2).

use http::StatusCode;
use serde_json::Value;
use ssf_common::id::StreamId;

use super::super::Findings;
use super::answer::Rule;
use super::members::Members;
use crate::upstream::Answer;

/// Reading it (SSF 1.0 §8.1.2.1).
pub fn status(answer: &Answer, stream: &StreamId) -> Findings {
    checked(answer, stream, None, Rule::new(StatusCode::OK, "SSF 1.0 §8.1.2.1"))
}

/// Changing it (SSF 1.0 §8.1.2.2): the answer has the new one.
pub fn set_status(answer: &Answer, stream: &StreamId, wanted: &str) -> Findings {
    checked(answer, stream, Some(wanted), Rule::new(StatusCode::OK, "SSF 1.0 §8.1.2.2").or_later())
}

fn checked(answer: &Answer, stream: &StreamId, wanted: Option<&str>, rule: Rule) -> Findings {
    let mut findings = Findings::default();
    if !rule.head(answer, &mut findings) {
        return findings;
    }
    let Some(found) = rule.json(answer, &mut findings) else { return findings };
    let Some(object) = found.as_object() else {
        findings.breach(rule.section, "the body must be an object");
        return findings;
    };
    let members = Members { object, section: rule.section, within: "" };
    for name in ["stream_id", "status"] {
        members.required(name, &mut findings);
    }
    if members.text("stream_id", &mut findings).is_some_and(|id| id != stream.as_str()) {
        members.breach("stream_id", "is not that of the stream that was asked for", &mut findings);
    }
    if let Some(said) = members.text("status", &mut findings) {
        if !STATUSES.contains(&said) {
            members.breach("status", "must be enabled, paused or disabled", &mut findings);
        } else if wanted.is_some_and(|wanted| wanted != said) {
            members.breach("status", "is not the one that was asked for", &mut findings);
        }
    }
    if object.get("reason").is_some_and(|reason: &Value| !reason.is_string()) {
        members.breach("reason", "must be a text", &mut findings);
    }
    findings
}

const STATUSES: [&str; 3] = ["enabled", "paused", "disabled"];
