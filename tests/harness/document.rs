//! The transmitter's OpenAPI document as a judge: what a test gets back over HTTP must be what the document says. It is
//! strict: a member that is not described is as wrong as one that is missing.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "whatever goes wrong here fails the test")]

use std::sync::LazyLock;

use http::Method;
use serde_json::{Map, Value};

/// The document.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(ssf_transmitter::api::document);

/// Every documented operation: its method and its path with placeholders.
pub fn operations() -> Vec<(Method, String)> {
    let mut operations = Vec::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for verb in item.as_object().unwrap().keys() {
            operations.push((verb.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    operations
}

/// What is wrong with an answer. Paths that are not documented, and methods that a path does not take, must be refused.
pub fn fault(method: &Method, path: &str, status: u16, content_type: &str, body: &Value) -> Option<String> {
    let path = path.split('?').next().unwrap();
    let Some(template) = template(path) else {
        return (![400, 404].contains(&status)).then(|| format!("{path} is not documented and answers {status}"));
    };
    let verb = method.as_str().to_lowercase();
    let Some(operation) = DOCUMENT["paths"][&template].get(&verb) else {
        // axum answers HEAD for every GET
        let is_fine = *method == Method::HEAD || [400, 404, 405, 413].contains(&status);
        return (!is_fine).then(|| format!("{verb} {template} is not documented and answers {status}"));
    };
    let responses = &operation["responses"];
    let response = responses.get(status.to_string()).or_else(|| responses.get("default"))?;
    let documented = response.get("content").and_then(Value::as_object);
    let media = content_type.split(';').next().unwrap().trim();
    let at = format!("{method} {template} {status}");
    match documented {
        None if body.is_null() => None,
        None => Some(format!("{at}: a body where none is documented")),
        Some(_) if (200..300).contains(&status) && responses.get(status.to_string()).is_none() => {
            Some(format!("{at}: a success that is not documented"))
        }
        Some(media_types) => match media_types.get(media) {
            None => Some(format!("{at}: {media} is not documented")),
            Some(_) if media != "application/json" => None,
            Some(content) => against(&content["schema"], body, &at).err(),
        },
    }
}

/// The documented path that this one is an instance of; an issuer's own path may stand before it, or behind a well-known
/// one. Names win over placeholders.
fn template(path: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("/.well-known/") {
        let name = rest.split('/').next().unwrap();
        let path = format!("/.well-known/{name}");
        return DOCUMENT["paths"].get(&path).map(|_| path);
    }
    let mut rest = path;
    loop {
        let fitting = DOCUMENT["paths"].as_object().unwrap().keys().filter(|template| is_instance(rest, template));
        if let Some(best) = fitting.min_by_key(|template| template.matches('{').count()) {
            return Some(best.clone());
        }
        rest = &rest[rest.get(1..)?.find('/')? + 1..];
    }
}

fn is_instance(path: &str, template: &str) -> bool {
    let (path, template): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), template.split('/').collect());
    path.len() == template.len()
        && path.iter().zip(&template).all(|(part, named)| part == named || (named.starts_with('{') && !part.is_empty()))
}

/// Whether `value` is what `schema` describes.
pub fn against(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = resolved(schema);
    let words = schema.as_object().ok_or_else(|| format!("{at}: not a schema"))?;
    for word in words.keys() {
        assert!(KNOWN.contains(&word.as_str()), "{at}: this judge does not know the keyword {word}");
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let faults: Vec<String> = choices.iter().filter_map(|choice| against(choice, value, at).err()).collect();
        return match choices.len() - faults.len() {
            0 => Err(format!("{at}: fits none of {faults:?}")),
            1 => Ok(()),
            n => Err(format!("{at}: fits {n} of the choices at once")),
        };
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
        return if allowed.contains(value) { Ok(()) } else { Err(format!("{at}: {value} is none of {allowed:?}")) };
    }
    if schema.get("allOf").is_some() {
        return object(schema, value, at);
    }
    let types: Vec<&str> = match schema.get("type") {
        None => return Ok(()),
        Some(Value::String(one)) => vec![one],
        Some(several) => several.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect(),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_fine = types.contains(&is) || (is == "integer" && types.contains(&"number"));
    if !is_fine {
        return Err(format!("{at}: {is} instead of {types:?}"));
    }
    match value {
        Value::Number(number) => {
            let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
            let number = number.as_f64().unwrap();
            let fits = bound("minimum").is_none_or(|least| number >= least)
                && bound("maximum").is_none_or(|most| number <= most);
            if fits { Ok(()) } else { Err(format!("{at}: {number} is out of bounds")) }
        }
        Value::String(text) => match schema.get("format").and_then(Value::as_str) {
            Some("uuid") => text.parse::<uuid::Uuid>().map(drop).map_err(|_| format!("{at}: not a UUID")),
            Some("date-time") => {
                text.parse::<ssf_common::clock::Timestamp>().map(drop).map_err(|_| format!("{at}: not a time"))
            }
            _ => Ok(()),
        },
        Value::Array(items) => {
            let of = &schema["items"];
            items.iter().enumerate().try_for_each(|(n, item)| against(of, item, &format!("{at}[{n}]")))
        }
        Value::Object(_) => object(schema, value, at),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

/// An object: what it must have, and nothing that nobody described.
fn object(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let members = value.as_object().ok_or_else(|| format!("{at}: not an object"))?;
    let mut described = Map::new();
    let mut rest = None;
    collect(schema, &mut described, &mut rest, members, at)?;
    if described.is_empty() && rest.is_none() {
        // any object
        return Ok(());
    }
    for (name, member) in members {
        let at = format!("{at}.{name}");
        match (described.get(name), &rest) {
            (Some(schema), _) => against(schema, member, &at)?,
            (None, Some(schema)) if schema.is_object() => against(schema, member, &at)?,
            _ => return Err(format!("{at}: not described")),
        }
    }
    Ok(())
}

fn collect(
    schema: &Value,
    described: &mut Map<String, Value>,
    rest: &mut Option<Value>,
    members: &Map<String, Value>,
    at: &str,
) -> Result<(), String> {
    let schema = resolved(schema);
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        collect(part, described, rest, members, at)?;
    }
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            return Err(format!("{at}: {name} is missing"));
        }
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        described.extend(properties.clone());
    }
    if let Some(others) = schema.get("additionalProperties") {
        *rest = Some(others.clone());
    }
    Ok(())
}

fn resolved(schema: &Value) -> &Value {
    let Some(name) = schema.get("$ref").and_then(Value::as_str) else { return schema };
    let name = name.strip_prefix("#/components/schemas/").unwrap();
    let named = &DOCUMENT["components"]["schemas"][name];
    assert!(named.is_object(), "{name} is not among the components");
    resolved(named)
}

const KNOWN: [&str; 15] = [
    "$ref",
    "additionalProperties",
    "allOf",
    "description",
    "enum",
    "format",
    "items",
    "maximum",
    "minimum",
    "oneOf",
    "properties",
    "propertyNames",
    "required",
    "type",
    "writeOnly",
];
