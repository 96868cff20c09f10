//! A stream's configuration, as it is answered (SSF 1.0 §8.1.1).

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::Value;
use ssf_common::id::{IssuerUrl, StreamId};
use ssf_common::protocol::DeliveryMethod;

use super::super::{Findings, Weight};
use super::answer::Rule;
use super::members::Members;
use crate::upstream::{Answer, endpoint};

/// What was asked, against which the answer is held.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The issuer of the transmitter.
    pub issuer: &'a IssuerUrl,
    /// Plain http on loopback is allowed.
    pub is_development: bool,
    /// The stream that was named.
    pub stream_id: Option<&'a StreamId>,
    /// The body that was sent.
    pub sent: Option<&'a Value>,
}

/// Creating (SSF 1.0 §8.1.1.1).
pub fn create(answer: &Answer, asked: Asked<'_>) -> Findings {
    whole(answer, asked, Rule::new(StatusCode::CREATED, "SSF 1.0 §8.1.1.1"), Weight::Warning)
}

/// Reading one (SSF 1.0 §8.1.1.2).
pub fn read(answer: &Answer, asked: Asked<'_>) -> Findings {
    whole(answer, asked, Rule::new(StatusCode::OK, "SSF 1.0 §8.1.1.2"), Weight::Warning)
}

/// Changing some members (SSF 1.0 §8.1.1.3).
pub fn update(answer: &Answer, asked: Asked<'_>) -> Findings {
    whole(answer, asked, Rule::new(StatusCode::OK, "SSF 1.0 §8.1.1.3").or_later(), Weight::Breach)
}

/// Replacing them all (SSF 1.0 §8.1.1.4): what was not sent is gone.
pub fn replace(answer: &Answer, asked: Asked<'_>) -> Findings {
    let rule = Rule::new(StatusCode::OK, "SSF 1.0 §8.1.1.4").or_later();
    let mut findings = whole(answer, asked, rule, Weight::Breach);
    let (Ok(Value::Object(found)), Some(sent)) = (answer.json(), asked.sent) else { return findings };
    let is_empty = |value: &Value| value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
    for name in ["description", "events_requested"] {
        if sent.get(name).is_none() && found.get(name).is_some_and(|value| !is_empty(value)) {
            findings.breach(rule.section, format!("`{name}` was left out of the request, and is still there"));
        }
    }
    findings
}

/// Reading all (SSF 1.0 §8.1.1.2): an array, also of one or none.
pub fn list(answer: &Answer, asked: Asked<'_>) -> Findings {
    let rule = Rule::new(StatusCode::OK, "SSF 1.0 §8.1.1.2");
    let mut findings = Findings::default();
    rule.head(answer, &mut findings);
    match rule.json(answer, &mut findings) {
        Some(Value::Array(streams)) => {
            let mut ids = BTreeSet::new();
            for stream in &streams {
                configuration(stream, asked, rule.section, Weight::Warning, &mut findings);
                if let Some(id) = stream.get("stream_id").and_then(Value::as_str)
                    && !ids.insert(id)
                {
                    findings.breach(rule.section, "two streams have the same `stream_id`");
                }
            }
        }
        Some(one @ Value::Object(_)) => {
            findings.known(rule.section, "the body must be an array, and is a single object");
            configuration(&one, asked, rule.section, Weight::Warning, &mut findings);
        }
        Some(_) => findings.breach(rule.section, "the body must be an array"),
        None => {}
    }
    findings
}

/// One whole configuration; `echo` is how much it weighs if it is not what was sent.
fn whole(answer: &Answer, asked: Asked<'_>, rule: Rule, echo: Weight) -> Findings {
    let mut findings = Findings::default();
    if rule.head(answer, &mut findings)
        && let Some(found) = rule.json(answer, &mut findings)
    {
        configuration(&found, asked, rule.section, echo, &mut findings);
    }
    findings
}

fn configuration(found: &Value, asked: Asked<'_>, section: &'static str, echo: Weight, findings: &mut Findings) {
    let Some(object) = found.as_object() else {
        findings.breach(section, "the configuration must be an object");
        return;
    };
    let members = Members { object, section: MEMBERS, within: "" };
    for name in ["stream_id", "iss", "aud", "events_delivered", "delivery"] {
        members.required(name, findings);
    }
    if let Some(id) = members.text("stream_id", findings) {
        if asked.stream_id.is_some_and(|named| named.as_str() != id) {
            findings.breach(section, "`stream_id` is not that of the stream that was asked for");
        }
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
            members.breach("stream_id", "must have unreserved characters only (RFC 3986 §2.3)", findings);
        }
    }
    if members.text("iss", findings).is_some_and(|iss| iss != asked.issuer.as_str()) {
        members.breach("iss", "must be identical to the `issuer` of the metadata", findings);
    }
    if let Some(aud) = object.get("aud") {
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        if !is_text(aud) && !aud.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_text)) {
            members.breach("aud", "must be a text or an array of texts, not empty", findings);
        }
    }
    events(&members, asked, section, echo, findings);
    for name in ["min_verification_interval", "inactivity_timeout"] {
        members.seconds(name, findings);
    }
    let description = object.get("description");
    if description.is_some_and(|text| !text.is_string()) {
        members.breach("description", "must be a text", findings);
    }
    let sent = |name: &str| asked.sent.and_then(|sent| sent.get(name));
    if sent("description").is_some_and(|sent| Some(sent) != description) {
        findings.note(echo, section, "`description` is not the one that was sent");
    }
    if let Some(object) = members.object("delivery", findings) {
        let delivery = Members { object, section: "SSF 1.0 §6.1", within: "delivery." };
        self::delivery(&delivery, sent("delivery"), asked, section, findings);
    }
}

fn events(members: &Members<'_>, asked: Asked<'_>, section: &'static str, echo: Weight, findings: &mut Findings) {
    let supported = members.texts("events_supported", findings);
    let requested = members.texts("events_requested", findings);
    let sent = asked.sent.and_then(|sent| sent.get("events_requested")).and_then(Value::as_array);
    let sent: Option<BTreeSet<&str>> = sent.map(|uris| uris.iter().filter_map(Value::as_str).collect());
    let requested: Option<BTreeSet<&str>> = requested.map(|uris| uris.into_iter().collect());
    if let (Some(sent), Some(requested)) = (&sent, &requested)
        && sent != requested
    {
        findings.note(echo, section, "`events_requested` is not what was sent");
    }
    let Some(delivered) = members.texts("events_delivered", findings) else { return };
    if supported.is_some_and(|supported| delivered.iter().any(|uri| !supported.contains(uri))) {
        members.breach("events_delivered", "must be a subset of `events_supported`", findings);
    }
    if sent.or(requested).is_some_and(|wanted| delivered.iter().any(|uri| !wanted.contains(uri))) {
        members.breach("events_delivered", "must be a subset of what was requested", findings);
    }
}

fn delivery(
    members: &Members<'_>,
    sent: Option<&Value>,
    asked: Asked<'_>,
    section: &'static str,
    findings: &mut Findings,
) {
    let of_sent = |name: &str| sent.and_then(|sent| sent.get(name)).and_then(Value::as_str);
    members.required("method", findings);
    let Some(urn) = members.text("method", findings) else { return };
    let Some(method) = DeliveryMethod::from_urn(urn) else {
        members.breach("method", "is not a delivery method of this specification", findings);
        return;
    };
    if method.urn() != urn && of_sent("method") != Some(urn) {
        findings.known(members.section, "`delivery.method` is the URI of an old draft");
    }
    if of_sent("method").and_then(DeliveryMethod::from_urn).is_some_and(|sent| sent != method) {
        findings.breach(section, "`delivery.method` is not the one that was asked for");
    }
    members.required("endpoint_url", findings);
    let Some(url) = members.text("endpoint_url", findings) else { return };
    match method {
        DeliveryMethod::Push if of_sent("endpoint_url").is_some_and(|sent| sent != url) => {
            findings.breach(section, "`delivery.endpoint_url` is not the one that was sent");
        }
        DeliveryMethod::Poll if endpoint(url, "delivery.endpoint_url", asked.is_development).is_err() => {
            members.breach("endpoint_url", "must be an https URL", findings);
        }
        DeliveryMethod::Push | DeliveryMethod::Poll => {}
    }
}

const MEMBERS: &str = "SSF 1.0 §8.1.1";
