//! One text per subject: JSON without white space, members sorted, with what standards call equal made equal.
//!
//! The text is the input of hashes that outlive the process. It must never change for a subject that is stored.

use std::collections::BTreeSet;

use serde_json::Value;

use super::syntax::{address, phone_digits};
use super::{Complex, Simple};

impl Simple {
    /// One text per subject identifier, equal if and only if it is the same.
    ///
    /// Equal are: the domain of an e-mail address and of an `acct:` URI in any case (ASCII); a phone number with and
    /// without visual separators; IP addresses in any spelling and order; aliases in any order. Everything else is
    /// compared byte for byte.
    pub fn canonical(&self) -> String {
        let mut members = vec![("format".to_owned(), text(self.format()))];
        let mut put = |name: &str, json: String| members.push((name.to_owned(), json));
        match self {
            Self::Account { uri } => put("uri", text(&account(uri))),
            Self::Email { email } => put("email", text(&lower_domain(email))),
            Self::IssSub { iss, sub } => {
                put("iss", text(iss));
                put("sub", text(sub));
            }
            Self::Opaque { id } => put("id", text(id)),
            Self::PhoneNumber { phone_number } => put("phone_number", text(&phone_digits(phone_number))),
            Self::Did { url } => put("url", text(url)),
            Self::Uri { uri } => put("uri", text(uri)),
            Self::Aliases { identifiers } => put("identifiers", set(identifiers.iter().map(Self::canonical))),
            Self::JwtId { iss, jti } => {
                put("iss", text(iss));
                put("jti", text(jti));
            }
            Self::SamlAssertionId { issuer, assertion_id } => {
                put("issuer", text(issuer));
                put("assertion_id", text(assertion_id));
            }
            Self::IpAddresses { ip_addresses } => {
                put("ip-addresses", set(ip_addresses.iter().map(|a| text(&address(a).unwrap_or_else(|| a.clone())))));
            }
            Self::Proprietary { members: raw, .. } => {
                for (name, value) in raw {
                    put(name, json(value));
                }
            }
        }
        object(members)
    }
}

impl Complex {
    /// One text per complex subject, equal if and only if it is the same.
    pub fn canonical(&self) -> String {
        let members = self.members().iter().map(|(name, member)| (name.clone(), member.canonical()));
        object(members.chain([("format".to_owned(), text(Self::FORMAT))]).collect())
    }
}

/// An `acct:` URI with scheme and host in lower case (RFC 7565 §4, RFC 3986 §6.2.2.1).
fn account(uri: &str) -> String {
    match uri.split_once(':') {
        Some((scheme, rest)) => format!("{}:{}", scheme.to_ascii_lowercase(), lower_domain(rest)),
        None => uri.to_owned(),
    }
}

/// What follows the last `@`, in lower case.
fn lower_domain(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
        None => address.to_owned(),
    }
}

/// A JSON value with the members of every object sorted.
fn json(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        Value::Array(entries) => array(entries.iter().map(json)),
        Value::Object(members) => object(members.iter().map(|(name, value)| (name.clone(), json(value))).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A JSON string, quoted and escaped.
fn text(string: &str) -> String {
    Value::from(string).to_string()
}

/// A JSON array of entries that are JSON already, sorted and each once.
fn set(entries: impl Iterator<Item = String>) -> String {
    array(entries.collect::<BTreeSet<_>>().into_iter())
}

/// A JSON array of entries that are JSON already.
fn array(entries: impl Iterator<Item = String>) -> String {
    format!("[{}]", entries.collect::<Vec<_>>().join(","))
}

/// A JSON object of values that are JSON already, sorted by name.
fn object(mut members: Vec<(String, String)>) -> String {
    members.sort_unstable();
    let members: Vec<_> = members.into_iter().map(|(name, value)| format!("{}:{value}", text(&name))).collect();
    format!("{{{}}}", members.join(","))
}
