//! The transmitter's metadata (SSF 1.0 §7.1), and what the CAEP interoperability profile asks of it beyond (§2.3 there).

use http::StatusCode;
use serde_json::Value;
use ssf_common::protocol::DeliveryMethod;

use super::super::Findings;
use super::answer::media_type;
use super::members::Members;
use crate::upstream::{Answer, endpoint};

/// The document, but for whose it is: that is checked before anything is done with it.
pub fn metadata(answer: &Answer, is_development: bool) -> Findings {
    let mut findings = Findings::default();
    if answer.status != StatusCode::OK {
        findings.known("SSF 1.0 §7.2.2", format!("the status must be 200, and is {}", answer.status.as_u16()));
    }
    if media_type(answer) != "application/json" {
        findings.known("SSF 1.0 §7.2.2", "the `Content-Type` must be application/json");
    }
    // What is no object is refused where it is read.
    let Ok(Value::Object(object)) = answer.json() else { return findings };
    let members = Members { object: &object, section: MEMBERS, within: "" };
    for name in ENDPOINTS {
        if members.text(name, &mut findings).is_some_and(|url| endpoint(url, name, is_development).is_err()) {
            members.breach(name, "must be an https URL", &mut findings);
        }
    }
    if let Some(methods) = members.texts("delivery_methods_supported", &mut findings) {
        for urn in methods {
            match DeliveryMethod::from_urn(urn) {
                Some(method) if method.urn() == urn => {}
                Some(_) => findings.known(MEMBERS, "`delivery_methods_supported` has a URI of an old draft"),
                None => findings.warning(MEMBERS, "`delivery_methods_supported` has a method that is not known here"),
            }
        }
    }
    members.texts("critical_subject_members", &mut findings);
    if members.text("default_subjects", &mut findings).is_some_and(|said| !["ALL", "NONE"].contains(&said)) {
        members.breach("default_subjects", "must be ALL or NONE", &mut findings);
    }
    let schemes = object.get("authorization_schemes");
    let has_urn = |scheme: &Value| scheme.get("spec_urn").is_some_and(Value::is_string);
    if schemes.is_some_and(|schemes| !schemes.as_array().is_some_and(|all| all.iter().all(has_urn))) {
        findings.breach("SSF 1.0 §7.1.1", "`authorization_schemes` must be an array of objects with a `spec_urn`");
    }
    interop(&members, &mut findings);
    findings
}

/// All of it is optional in SSF itself.
fn interop(members: &Members<'_>, findings: &mut Findings) {
    if members.object.get("spec_version").and_then(Value::as_str) != Some("1_0") {
        findings.warning("CAEP interop §2.3.1", "`spec_version` should be 1_0");
    }
    for (name, section) in PROFILED {
        if !members.object.contains_key(name) {
            findings.warning(section, format!("`{name}` should be there"));
        }
    }
}

const MEMBERS: &str = "SSF 1.0 §7.1";
const ENDPOINTS: [&str; 6] = [
    "jwks_uri",
    "configuration_endpoint",
    "status_endpoint",
    "add_subject_endpoint",
    "remove_subject_endpoint",
    "verification_endpoint",
];
const PROFILED: [(&str, &str); 6] = [
    ("delivery_methods_supported", "CAEP interop §2.3.2"),
    ("jwks_uri", "CAEP interop §2.3.3"),
    ("configuration_endpoint", "CAEP interop §2.3.4"),
    ("status_endpoint", "CAEP interop §2.3.5"),
    ("verification_endpoint", "CAEP interop §2.3.6"),
    ("authorization_schemes", "CAEP interop §2.3.7"),
];
