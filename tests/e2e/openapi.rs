//! Stories about the OpenAPI document and the page to try it.

use http::Method;
use serde_json::Value;
use ssf_harness::document::{DOCUMENT, against, operations};
use ssf_harness::idp::Idp;

/// A path with something in place of each placeholder.
fn filled(template: &str) -> String {
    let part = |part: &str| {
        if part.starts_with('{') { "00000000-0000-7000-8000-000000000000".to_owned() } else { part.to_owned() }
    };
    template.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_documented_operation_is_routed_and_no_other_method_is() {
    let idp = Idp::start().await;
    let operations = operations();
    assert!(operations.len() > 35, "the whole surface: {operations:?}");
    for (_, path) in &operations {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            // without a credential: an operation answers by its own rules, everything else with 405
            let status = idp.send(method.clone(), &filled(path), &[], "").await.status;
            let is_documented = operations.contains(&(method.clone(), path.clone()));
            assert_eq!(status != 405, is_documented, "{method} {path}: {status}");
            assert_ne!(status, 404, "{method} {path}");
            assert!(status < 500, "{method} {path}: {status}");
        }
    }
}

#[test]
fn every_route_is_in_the_one_list_that_the_document_is_made_from() {
    let mut open = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../transmitter/src"))];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let past = [".route(", ".route_service(", ".nest_service("];
            let past = past.iter().any(|word| code.iter().any(|line| line.contains(word)));
            found.extend(past.then(|| path.display().to_string()));
        }
    }
    assert!(found.is_empty(), "write `.routes(routes!(…))`, so that it is documented: {found:?}");
}

#[tokio::test]
async fn operations_that_need_a_credential_say_so_and_the_others_answer_without_one() {
    let idp = Idp::start().await;
    for (method, path) in operations() {
        let operation = &DOCUMENT["paths"][&path][method.as_str().to_lowercase()];
        let needs = operation
            .get("security")
            .and_then(Value::as_array)
            .is_some_and(|ways| ways.iter().all(|way| way != &Value::Object(serde_json::Map::new())));
        let reply = idp.send(method.clone(), &filled(&path), &[], "").await;
        assert_eq!(
            reply.status == 401 && reply.header("www-authenticate").starts_with("Bearer "),
            needs,
            "{method} {path}: {}",
            reply.status
        );
        let scopes = operation["security"][0]["bearer"].as_array();
        let admin = scopes.is_some_and(|scopes| scopes.contains(&"ssf.admin".into()));
        assert_eq!(admin, path.starts_with("/admin/") || path == "/metrics", "{path}");
    }
}

#[test]
fn every_operation_explains_itself_under_a_name_of_its_own() {
    let mut names = std::collections::HashSet::new();
    for (method, path) in operations() {
        let operation = &DOCUMENT["paths"][&path][method.as_str().to_lowercase()];
        let text = |name: &str| operation[name].as_str().unwrap_or_else(|| panic!("{method} {path} has no {name}"));
        assert!(names.insert(text("operationId").to_owned()), "two operations are called {}", text("operationId"));
        assert!(text("summary").len() > 5 && !text("summary").ends_with('.'), "{path}: {}", text("summary"));
        let placeholders = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for name in placeholders {
            let described =
                parameters.iter().any(|one| one["name"] == name && one["in"] == "path" && one["required"] == true);
            assert!(described, "{path} does not describe {name}");
        }
        assert!(parameters.iter().all(|one| one["description"].is_string()), "{path}");
        assert!(operation["responses"]["default"].is_object(), "{path}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_a_schema() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member.as_str() {
                        Some(reference) if name == "$ref" => found.push(reference.to_owned()),
                        _ => references(member, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    assert_eq!(DOCUMENT["openapi"], "3.1.0");
    let mut found = Vec::new();
    references(&DOCUMENT, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(DOCUMENT.pointer(pointer).is_some_and(Value::is_object), "{reference}");
    }
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        // panics at a keyword that is none; what it says of null does not matter
        let _ = against(schema, &Value::Null, name);
    }
}

#[test]
fn the_judge_of_answers_is_strict() {
    let status = serde_json::json!({"$ref": "#/components/schemas/StatusBody"});
    let good = serde_json::json!({"stream_id": "x", "status": "paused"});
    assert_eq!(against(&status, &good, "it"), Ok(()));
    for (bad, says) in [
        (serde_json::json!({"stream_id": "x"}), "\"status\" is missing"),
        (serde_json::json!({"stream_id": "x", "status": "asleep"}), "is none of"),
        (serde_json::json!({"stream_id": 1, "status": "paused"}), "integer instead of"),
        (serde_json::json!({"stream_id": "x", "status": "paused", "mood": "good"}), "it.mood: not described"),
        (serde_json::json!([]), "array instead of"),
    ] {
        let fault = against(&status, &bad, "it").unwrap_err();
        assert!(fault.contains(says), "{fault}");
    }
}

#[tokio::test]
async fn the_document_is_served_without_a_credential_and_says_where_the_issuer_is() {
    let idp = Idp::start().await;
    let reply = idp.send(Method::GET, "/openapi.json", &[], "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["servers"][0]["url"], idp.issuer.as_str());
    assert_eq!(reply.body["paths"], DOCUMENT["paths"]);
}

#[tokio::test]
async fn the_page_is_whole_in_itself_and_its_policy_lets_nothing_else_run() {
    use base64::Engine as _;
    let idp = Idp::start().await;
    let page = reqwest::get(format!("{}/docs", idp.base)).await.unwrap();
    assert_eq!(page.status(), 200);
    let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
    assert!(header("content-type").starts_with("text/html"));
    let policy = header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'") && policy.contains("connect-src 'self'") && !policy.contains("unsafe")
    );
    let html = page.text().await.unwrap();
    for element in ["style", "script"] {
        let inside =
            html.split(&format!("<{element}>")).nth(1).unwrap().split(&format!("</{element}>")).next().unwrap();
        let digest = base64::prelude::BASE64_STANDARD.encode(openssl::sha::sha256(inside.as_bytes()));
        assert!(policy.contains(&format!("'sha256-{digest}'")), "the policy names the {element} by its digest");
    }
    let elsewhere: Vec<&str> =
        html.match_indices("://").map(|(at, _)| &html[at.saturating_sub(6)..(at + 20).min(html.len())]).collect();
    assert!(elsewhere.is_empty(), "nothing is loaded from anywhere: {elsewhere:?}");
    assert!(!html.contains("innerHTML") && !html.contains("src=") && !html.contains("<link"));
}

/// Values that are often not thought of.
fn odd(random: &mut impl FnMut(usize) -> usize, depth: usize) -> Value {
    let texts = [
        "",
        "x",
        "session-revoked",
        "a\u{0}b",
        "\u{feff}ü𝄞",
        "../..",
        "00000000-0000-7000-8000-000000000000",
        "2026-11-24T10:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "https://idp.example",
        "ssf.admin",
    ];
    match random(if depth > 3 { 9 } else { 12 }) {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => (-1).into(),
        3 => 1e308.into(),
        4 => u64::MAX.into(),
        5 => "x".repeat(5_000).into(),
        6 => i64::MIN.into(),
        7 | 8 => texts[random(texts.len())].into(),
        9 => (0..random(3)).map(|_| odd(random, depth + 1)).collect(),
        10 => serde_json::json!({"format": "opaque", "id": odd(random, depth + 1)}),
        _ => serde_json::json!({"": odd(random, depth + 1), "format": odd(random, depth + 1)}),
    }
}

/// The members a schema names, each left out, fit, or odd.
fn body(schema: &Value, random: &mut impl FnMut(usize) -> usize) -> Value {
    let schema = schema["$ref"].as_str().map_or(schema, |reference| DOCUMENT.pointer(&reference[1..]).unwrap());
    if let Some(choices) = schema["oneOf"].as_array() {
        return body(&choices[random(choices.len())], random);
    }
    let mut members = serde_json::Map::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        members.extend(body(part, random).as_object().cloned().unwrap_or_default());
    }
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        match random(4) {
            0 => {}
            1 => drop(members.insert(name.clone(), odd(random, 0))),
            _ if of["type"] == "array" => drop(members.insert(name.clone(), Value::Array(vec![odd(random, 0)]))),
            _ if of["type"] == "boolean" => drop(members.insert(name.clone(), Value::Bool(random(2) == 0))),
            _ => drop(members.insert(name.clone(), odd(random, 3))),
        }
    }
    Value::Object(members)
}

#[tokio::test]
async fn no_body_no_query_and_no_path_gives_a_500() {
    use ssf_common::random::Random as _;
    let idp = Idp::start().await;
    let everything = ["ssf.read", "ssf.manage", "ssf.emit", "ssf.admin"];
    let new = ssf_transmitter::admin::NewClient {
        scopes: ssf_transmitter::client::Scopes::from_words(everything),
        is_operator: true,
        with_token: true,
        max_streams: 10,
        ..ssf_transmitter::admin::NewClient::receiver("everything", "aud")
    };
    let all_powerful = idp.add_client(new).await;
    let seeded = ssf_common::random::SeededRandom::new(20_261_124);
    let mut random = |below: usize| {
        let mut byte = [0; 2];
        seeded.fill(&mut byte);
        usize::from(u16::from_le_bytes(byte)) % below
    };
    let headers = [("authorization", format!("Bearer {}", all_powerful.token))];
    let headers = [(headers[0].0, headers[0].1.as_str())];
    for (method, path) in operations() {
        let operation = &DOCUMENT["paths"][&path][method.as_str().to_lowercase()];
        for round in 0..30 {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let sent = match round {
                0 => "{".to_owned(),
                1 => "[".repeat(5_000),
                2 => "\u{0}".to_owned(),
                _ if schema.is_object() => body(schema, &mut random).to_string(),
                _ => odd(&mut random, 0).to_string(),
            };
            let part = ["x", "%00", "%FF", "00000000-0000-7000-8000-000000000000", "%F0%9D%84%9E"][random(5)];
            let mut at: String = path
                .split('/')
                .map(|name| if name.starts_with('{') { part } else { name })
                .collect::<Vec<_>>()
                .join("/");
            for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query")
            {
                let value = [
                    "",
                    "x",
                    "%00",
                    "-1",
                    "1",
                    "2026-11-24T10:00:00Z",
                    "9999-12-31T23:59:59Z",
                    "0001-01-01T00:00:00Z",
                    "1.1.00000000-0000-7000-8000-000000000000",
                    "session-revoked",
                    "00000000-0000-7000-8000-000000000000",
                    "%F0%9D",
                ][random(12)];
                if random(3) > 0 {
                    at.push(if at.contains('?') { '&' } else { '?' });
                    at.push_str(parameter["name"].as_str().unwrap());
                    at.push('=');
                    at.push_str(value);
                }
            }
            let reply = idp.send(method.clone(), &at, &headers, sent.clone()).await;
            assert!(reply.status < 500, "{method} {at} {sent}: {} {}", reply.status, reply.body);
        }
    }
}
