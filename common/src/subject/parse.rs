//! From JSON to a subject: the one door, with the limits and the syntax of every format.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::{WHOLE, shown};
use super::limits::{check_count, check_raw, check_text};
use super::{Complex, Fault, Simple, Subject, SubjectError, syntax};

/// Which shapes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// RFC 9493 and SSF 1.0.
    Standard,
    /// Also what came before them.
    Legacy,
}

/// A subject of any kind.
pub(super) fn subject(value: &Value, dialect: Dialect) -> Result<Subject, SubjectError> {
    let object = as_object(value)?;
    if format_of(object, dialect)? == Complex::FORMAT {
        complex(object, dialect).map(Subject::Complex)
    } else {
        simple(value, dialect).map(Subject::Simple)
    }
}

/// A subject identifier.
pub(super) fn simple(value: &Value, dialect: Dialect) -> Result<Simple, SubjectError> {
    let object = as_object(value)?;
    let format = format_of(object, dialect)?;
    let text = |member| text_of(object, member);
    let checked = |member, check: fn(&str) -> bool, what| {
        text(member).and_then(|t| if check(&t) { Ok(t) } else { Err(SubjectError::at(member, Fault::Syntax(what))) })
    };
    let phone = |member| checked(member, syntax::is_phone_number, "an E.164 number");
    Ok(match standard_name(format, dialect).as_str() {
        "account" => Simple::Account { uri: checked("uri", syntax::is_account, "an acct: URI")? },
        "email" => Simple::Email { email: checked("email", syntax::is_email, "an e-mail address")? },
        "iss_sub" => Simple::IssSub { iss: text("iss")?, sub: text("sub")? },
        "opaque" => Simple::Opaque { id: text("id")? },
        "phone_number" if dialect == Dialect::Legacy && !object.contains_key("phone_number") => {
            Simple::PhoneNumber { phone_number: phone("phone")? }
        }
        "phone_number" => Simple::PhoneNumber { phone_number: phone("phone_number")? },
        "did" => Simple::Did { url: checked("url", syntax::is_did, "a DID URL")? },
        "uri" => Simple::Uri { uri: checked("uri", syntax::is_uri, "a URI")? },
        "aliases" => Simple::Aliases { identifiers: aliases(object, dialect)? },
        "jwt_id" => Simple::JwtId { iss: text("iss")?, jti: text("jti")? },
        "saml_assertion_id" => Simple::SamlAssertionId { issuer: text("issuer")?, assertion_id: text("assertion_id")? },
        "ip-addresses" => Simple::IpAddresses { ip_addresses: ip_addresses(object)? },
        "id_token_claims" if dialect == Dialect::Legacy => {
            if object.contains_key("sub") {
                Simple::IssSub { iss: text("iss")?, sub: text("sub")? }
            } else if object.contains_key("email") {
                Simple::Email { email: checked("email", syntax::is_email, "an e-mail address")? }
            } else {
                Simple::PhoneNumber { phone_number: phone("phone_number")? }
            }
        }
        Complex::FORMAT => return Err(SubjectError::at(WHOLE, Fault::NotHere(Complex::FORMAT))),
        _ => proprietary(object, format, dialect)?,
    })
}

fn complex(object: &Map<String, Value>, dialect: Dialect) -> Result<Complex, SubjectError> {
    let members = object
        .iter()
        .filter(|(name, _)| !is_format_member(name, dialect))
        .map(|(name, value)| {
            check_text(name, shown(name))?;
            let member = simple(value, dialect).map_err(|error| error.within(shown(name)))?;
            Ok((name.clone(), member))
        })
        .collect::<Result<BTreeMap<_, _>, SubjectError>>()?;
    Complex::new(members)
}

fn aliases(object: &Map<String, Value>, dialect: Dialect) -> Result<Vec<Simple>, SubjectError> {
    let refuse_nested = |value: &Value, at: &str| {
        let nested = value.as_object().and_then(|inner| format_of(inner, dialect).ok()) == Some("aliases");
        if nested { Err(SubjectError::at(at, Fault::NotHere("aliases"))) } else { Ok(()) }
    };
    array_of(object, "identifiers")?
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let at = format!("identifiers[{index}]");
            refuse_nested(value, &at)?;
            simple(value, dialect).map_err(|error| error.within(&at))
        })
        .collect()
}

fn ip_addresses(object: &Map<String, Value>) -> Result<Vec<String>, SubjectError> {
    array_of(object, "ip-addresses")?
        .iter()
        .map(|value| {
            let text = value.as_str().ok_or(SubjectError::at("ip-addresses", Fault::NotA("an array of strings")))?;
            check_text(text, "ip-addresses")?;
            match syntax::address(text) {
                Some(_) => Ok(text.to_owned()),
                None => Err(SubjectError::at("ip-addresses", Fault::Syntax("an IP address"))),
            }
        })
        .collect()
}

fn proprietary(object: &Map<String, Value>, format: &str, dialect: Dialect) -> Result<Simple, SubjectError> {
    let members: Map<_, _> = object
        .iter()
        .filter(|(name, _)| !is_format_member(name, dialect))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    check_raw(&members)?;
    Ok(Simple::Proprietary { format: format.to_owned(), members })
}

/// The object, within the limit of members.
fn as_object(value: &Value) -> Result<&Map<String, Value>, SubjectError> {
    let object = value.as_object().ok_or(SubjectError::at(WHOLE, Fault::NotA("an object")))?;
    check_count(object.len(), WHOLE)?;
    Ok(object)
}

/// The name of the format, as it is written.
fn format_of(object: &Map<String, Value>, dialect: Dialect) -> Result<&str, SubjectError> {
    let member =
        if dialect == Dialect::Legacy && !object.contains_key("format") { LEGACY_FORMAT_MEMBER } else { "format" };
    match object.get(member) {
        None => Err(SubjectError::at("format", Fault::Missing)),
        Some(Value::String(name)) if name.is_empty() => Err(SubjectError::at(member, Fault::Empty)),
        Some(Value::String(name)) => check_text(name, member).map(|()| name.as_str()),
        Some(_) => Err(SubjectError::at(member, Fault::NotA("a string"))),
    }
}

fn is_format_member(name: &str, dialect: Dialect) -> bool {
    name == "format" || (dialect == Dialect::Legacy && name == LEGACY_FORMAT_MEMBER)
}

/// The name the standards use now for a format.
fn standard_name(format: &str, dialect: Dialect) -> String {
    match (dialect, format) {
        (Dialect::Standard, _) | (Dialect::Legacy, "ip-addresses") => format.to_owned(),
        (Dialect::Legacy, "phone") => "phone_number".to_owned(),
        (Dialect::Legacy, _) => format.replace('-', "_"),
    }
}

/// A required text: not empty, within the limit.
fn text_of(object: &Map<String, Value>, member: &'static str) -> Result<String, SubjectError> {
    match object.get(member) {
        None => Err(SubjectError::at(member, Fault::Missing)),
        Some(Value::String(text)) if text.is_empty() => Err(SubjectError::at(member, Fault::Empty)),
        Some(Value::String(text)) => check_text(text, member).map(|()| text.clone()),
        Some(_) => Err(SubjectError::at(member, Fault::NotA("a string"))),
    }
}

/// A required array: not empty, within the limit.
fn array_of<'a>(object: &'a Map<String, Value>, member: &'static str) -> Result<&'a [Value], SubjectError> {
    match object.get(member) {
        None => Err(SubjectError::at(member, Fault::Missing)),
        Some(Value::Array(entries)) if entries.is_empty() => Err(SubjectError::at(member, Fault::Empty)),
        Some(Value::Array(entries)) => check_count(entries.len(), member).map(|()| entries.as_slice()),
        Some(_) => Err(SubjectError::at(member, Fault::NotA("an array"))),
    }
}

const LEGACY_FORMAT_MEMBER: &str = "subject_type";
