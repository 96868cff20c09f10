//! JSON bodies, read so that a fault in them names the member and quotes nothing.

use std::fmt::Write as _;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_path_to_error::Segment;

use super::error::ApiError;

/// A JSON object; a caller may have forgotten the content type.
pub(super) fn json_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // serde would read an array as the members in their order
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::invalid("the body must be a JSON object"));
    }
    json(body)
}

/// A JSON object that says nothing, or no body at all.
pub(super) fn nothing(body: &[u8]) -> Result<(), ApiError> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    json_body::<Nothing>(body).map(|Nothing {}| ())
}

/// The same for any JSON.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader);
    // serde_json says of some wrong kinds of value that they are no JSON
    let is_json = || serde_json::from_slice::<IgnoredAny>(body).is_ok();
    let read = read.map_err(|error| ApiError::Invalid(fault(&member_of(error.path()), error.inner(), is_json())));
    read.and_then(|read| reader.end().map(|()| read).map_err(|error| ApiError::Invalid(fault("", &error, false))))
}

fn fault(member: &str, error: &serde_json::Error, is_json: bool) -> String {
    let place = format!("line {} column {}", error.line(), error.column());
    let said = error.to_string();
    match if is_json { Category::Data } else { error.classify() } {
        Category::Data if said.starts_with("missing field") && member.is_empty() => {
            format!("the body lacks a member: {said}")
        }
        Category::Data if said.starts_with("missing field") => format!("the body lacks a member in {member}: {said}"),
        Category::Data if said.starts_with("unknown field") && !member.is_empty() => {
            format!("the body has a member that is not known here: {member}")
        }
        Category::Data if !member.is_empty() => format!("the member {member} is not as specified, at {place}"),
        Category::Data => format!("the body's members are not as specified, at {place}"),
        _ => format!("the body is not JSON, at {place}"),
    }
}

/// The way to a member, such as `delivery.endpoint_url`, by names that look like ours; a stranger's word is not quoted.
fn member_of(path: &serde_path_to_error::Path) -> String {
    let mut way = String::new();
    for segment in path {
        match segment {
            Segment::Map { key } if is_name(key) => {
                if !way.is_empty() {
                    way.push('.');
                }
                way.push_str(key);
            }
            Segment::Seq { index } => {
                let _ = write!(way, "[{index}]");
            }
            _ => return way,
        }
    }
    way
}

fn is_name(key: &str) -> bool {
    (1..=40).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use ssf_common::protocol::CreateStream;

    use super::*;

    #[test]
    fn a_fault_names_the_member_and_quotes_nothing() {
        for (body, names) in [
            (r#"{"delivery": {"method": 7}}"#, "member delivery"),
            (r#"{"delivery": {}}"#, "in delivery: missing field"),
            (r#"{"events_requested": ["a", 7]}"#, "member events_requested[1]"),
            (r#"{"description": {"secret": "s3cret"}}"#, "member description"),
            (r#"{"description": "a"} trailing"#, "not JSON, at line 1"),
            (r#"{"description": "#, "not JSON, at line 1"),
            ("[]", "must be a JSON object"),
        ] {
            let Err(ApiError::Invalid(said)) = json_body::<CreateStream>(body.as_bytes()) else { panic!("{body}") };
            assert!(said.contains(names) && !said.contains("s3cret"), "{body}: {said}");
        }
    }

    #[test]
    fn nothing_is_no_body_or_an_empty_object() {
        for body in ["", " \n", "{}", " { } "] {
            assert!(nothing(body.as_bytes()).is_ok(), "{body}");
        }
        for body in ["[]", "null", "{\"state\": \"x\"}", "{", "{}{}"] {
            assert!(nothing(body.as_bytes()).is_err(), "{body}");
        }
    }
}
