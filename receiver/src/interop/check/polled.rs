//! The answer to a poll (RFC 8936 §2.3).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::Value;
use ssf_common::protocol::PollRequest;

use super::super::Findings;
use super::answer::{Rule, media_type};
use crate::upstream::Answer;

/// Its form; whether the SETs in it are good is not looked at.
pub fn polled(answer: &Answer, asked: &PollRequest) -> Findings {
    let rule = Rule::new(StatusCode::OK, SECTION);
    let mut findings = Findings::default();
    rule.head(answer, &mut findings);
    if answer.body.is_empty() {
        findings.known(SECTION, "the body must be a JSON object also if there is nothing, and is empty");
        return findings;
    }
    if media_type(answer) != "application/json" {
        findings.known(SECTION, "the `Content-Type` must be application/json");
    }
    let Ok(found) = answer.json::<Value>() else {
        findings.breach(SECTION, "the body must be JSON, and is not");
        return findings;
    };
    let Some(object) = found.as_object() else {
        findings.breach(SECTION, "the body must be an object");
        return findings;
    };
    match object.get("moreAvailable") {
        None | Some(Value::Bool(_)) => {}
        Some(_) => findings.breach(SECTION, "`moreAvailable` must be true or false"),
    }
    match object.get("sets") {
        None => findings.breach(SECTION, "`sets` is missing; it must be there also if it is empty"),
        Some(Value::Object(sets)) => {
            if asked.max_events.is_some_and(|most| sets.len() > most as usize) {
                findings.breach("RFC 8936 §2.2", "`sets` has more SETs than `maxEvents` allows");
            }
            if sets.values().any(|set| !set.is_string()) {
                findings.breach(SECTION, "every member of `sets` must be a text");
            }
            let is_other = |(jti, set): (&String, &Value)| {
                set.as_str()
                    .and_then(claims)
                    .is_some_and(|claims| claims.get("jti") != Some(&Value::from(jti.as_str())))
            };
            if sets.iter().any(is_other) {
                findings.breach(SECTION, "a SET stands in `sets` under another name than its `jti`");
            }
        }
        Some(_) => findings.breach(SECTION, "`sets` must be an object"),
    }
    findings
}

/// The claims of a compact SET as they were written, whoever wrote them.
pub(in super::super) fn claims(set: &str) -> Option<Value> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(set.trim().split('.').nth(1)?).ok()?).ok()
}

const SECTION: &str = "RFC 8936 §2.3";
