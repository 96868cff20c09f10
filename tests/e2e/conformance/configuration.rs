//! Stream configuration (SSF 1.0 §8.1.1).

use std::collections::HashSet;

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{opaque, uris};
use ssf_harness::sink::Sink;
use ssf_transmitter::admin::NewClient;

use super::{Answer, POLL, PUSH, Scene, text};

// SSF 1.0 §8.1.1.1: POST → 201 and the full configuration (MUST); not to be stored
#[tokio::test]
async fn a_creation_is_answered_with_the_whole_configuration() {
    let scene = Scene::start().await;
    let wanted = json!({
        "delivery": {"method": PUSH, "endpoint_url": "http://127.0.0.1:9/events"},
        "events_requested": uris(&["session-revoked", "credential-change"]),
        "description": "Stream for Receiver A",
    });
    let created = scene.configure(Method::POST, &wanted).await.assert_json(201);
    let members: HashSet<&str> = created.as_object().unwrap().keys().map(String::as_str).collect();
    for member in ["stream_id", "iss", "aud", "events_supported", "events_requested", "events_delivered", "delivery"] {
        assert!(members.contains(member), "{member} is missing in {created}");
    }
    for member in ["delivery", "events_requested", "description"] {
        assert_eq!(created[member], wanted[member], "{member}");
    }
    let read = scene.read(text(&created, "stream_id")).await.assert_json(200);
    assert_eq!(read, created);
}

// SSF 1.0 §8.1.1 `stream_id`: characters of RFC 3986 §2.3 (MUST), not to be guessed (ours)
#[tokio::test]
async fn a_stream_id_is_new_unreserved_and_long() {
    let scene = Scene::start().await;
    let mut seen = HashSet::new();
    for _ in 0..4 {
        let id = text(&scene.create(&json!({})).await, "stream_id").to_owned();
        assert!(id.len() >= 32 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)), "{id}");
        scene.delete(&id).await.assert_empty(204);
        assert!(seen.insert(id));
    }
}

// SSF 1.0 §8.1.1 `iss`, `aud`: the transmitter's, fixed for life (MUST)
#[tokio::test]
async fn issuer_and_audience_are_the_transmitters_and_never_change() {
    let scene = Scene::start().await;
    let created = scene.create(&json!({})).await;
    let fixed = (json!(scene.idp.issuer), json!("https://rp.example"));
    let id = &created["stream_id"];
    let patched = scene.configure(Method::PATCH, &json!({"stream_id": id, "description": "x"})).await.assert_json(200);
    let put = scene.configure(Method::PUT, &json!({"stream_id": id})).await.assert_json(200);
    for shown in [created, patched, put] {
        assert_eq!((&shown["iss"], &shown["aud"]), (&fixed.0, &fixed.1));
    }
    let several = NewClient { audience: vec!["web".into(), "mobile".into()], ..NewClient::receiver("two", "") };
    let two = scene.idp.add_client(NewClient { with_token: true, ..several }).await;
    let url = scene.endpoint("configuration_endpoint");
    let shown = scene.call(Method::POST, &url, &two.token, Some(&json!({}))).await.assert_json(201);
    assert_eq!(shown["aud"], json!(["web", "mobile"]));
}

// SSF 1.0 §8.1.1 `events_supported` (T): those for this receiver
#[tokio::test]
async fn supported_are_the_types_offered_to_this_receiver() {
    let scene = Scene::start().await;
    let all = scene.create(&json!({})).await["events_supported"].clone();
    for uri in uris(&["session-revoked", "credential-change", "device-compliance-change", "account-disabled"]) {
        assert!(all.as_array().unwrap().contains(&json!(uri)), "{uri}");
    }
    let offered = uris(&["session-revoked"]);
    let strict = NewClient { events_supported: Some(offered.clone()), ..NewClient::receiver("strict", "strict") };
    let strict = scene.idp.add_client(NewClient { with_token: true, ..strict }).await;
    let url = scene.endpoint("configuration_endpoint");
    let body = json!({"events_requested": all});
    let shown = scene.call(Method::POST, &url, &strict.token, Some(&body)).await.assert_json(201);
    assert_eq!((&shown["events_supported"], &shown["events_delivered"]), (&json!(offered), &json!(offered)));
}

// SSF 1.0 §8.1.1 `events_requested` (R): unknown URIs are ignored, an empty list is not refused (SHOULD NOT be sent)
#[tokio::test]
async fn unknown_types_are_kept_as_requested_and_not_delivered() {
    let scene = Scene::start().await;
    let requested = json!([uris(&["session-revoked"])[0], "urn:example:secevent:events:type_2", "not even a URI"]);
    let created = scene.create(&json!({"events_requested": requested})).await;
    assert_eq!(created["events_requested"], requested);
    assert_eq!(created["events_delivered"], json!(uris(&["session-revoked"])));
    let none = scene.create(&json!({"events_requested": []})).await;
    assert_eq!(none["events_delivered"], json!([]));
}

// SSF 1.0 §8.1.1 `events_delivered`: a subset of supported ∩ requested (MUST), and what is sent obeys it
#[tokio::test]
async fn delivered_is_what_is_supported_and_requested_and_nothing_else_is_sent() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked", "account-disabled"]).await;
    let [supported, requested, delivered] = ["events_supported", "events_requested", "events_delivered"]
        .map(|member| -> HashSet<String> { serde_json::from_value(stream[member].clone()).unwrap() });
    let both: HashSet<String> = supported.intersection(&requested).cloned().collect();
    assert_eq!(delivered, both);
    for kind in ["session-revoked", "account-enabled", "account-disabled"] {
        scene.idp.emit(&scene.producer, &json!({"type": kind, "subject": opaque("s")})).await;
    }
    let mut sent = Vec::new();
    let mut more = json!({});
    while let Some((jti, set)) = scene.polled(&stream, &more).await.first() {
        sent.extend(ssf_harness::idp::claims(set)["events"].as_object().unwrap().keys().cloned());
        more = json!({"ack": [jti]});
    }
    assert_eq!(sent, uris(&["session-revoked", "account-disabled"]));
}

// SSF 1.0 §6.1.2, §8.1.1.1 `delivery`: no delivery means poll (MUST); the poll address is the transmitter's, unique per
// stream of a receiver, and stands in the creation's answer already (MUST)
#[tokio::test]
async fn without_delivery_a_stream_is_polled_at_an_address_of_its_own() {
    let scene = Scene::start().await;
    let silent = scene.create(&json!({"events_requested": uris(&["session-revoked"])})).await;
    let asked = scene.create(&json!({"delivery": {"method": POLL}})).await;
    let mut addresses = HashSet::new();
    for stream in [&silent, &asked] {
        assert_eq!(stream["delivery"]["method"], POLL);
        let address = text(&stream["delivery"], "endpoint_url").to_owned();
        assert!(address.starts_with(scene.origin()), "{address}");
        assert_eq!(scene.poll(stream, &json!({})).await.assert_json(200), json!({"sets": {}}));
        assert!(addresses.insert(address), "unique per stream");
    }
}

// SSF 1.0 §8.1.1 `min_verification_interval`, `inactivity_timeout` (T, seconds), `description` (R)
#[tokio::test]
async fn intervals_are_whole_seconds_and_the_description_is_the_receivers_own() {
    let scene = Scene::start_with(&[("streams.inactivity_timeout", "1h")]).await;
    let created = scene.create(&json!({"description": "ü, and \"quotes\""})).await;
    assert_eq!(created["min_verification_interval"].as_u64(), Some(10));
    assert_eq!(created["inactivity_timeout"].as_u64(), Some(3_600));
    assert_eq!(created["description"], "ü, and \"quotes\"");
    let silent = scene.create(&json!({})).await;
    assert!(silent.get("description").is_none());
}

// SSF 1.0 §8.1.1.1: 400 for what cannot be parsed, is invalid, or asks for a method that is not offered (MUST)
#[tokio::test]
async fn a_creation_that_cannot_be_understood_is_400_and_creates_nothing() {
    let scene = Scene::start().await;
    let (at, bearer) = (scene.endpoint("configuration_endpoint"), format!("Bearer {}", scene.rp.token));
    for body in ["", "{\"delivery\": ", "[]", "null", "7", "\"text\"", "{}{}", "{\"description\": 7}", "\u{feff}{}"] {
        let answer = scene.send(Method::POST, &at, &[("authorization", &bearer)], body).await;
        answer.assert_refused(400, "invalid_request");
    }
    let push = |endpoint: Value| json!({"delivery": {"method": PUSH, "endpoint_url": endpoint}});
    let invalid = [
        (json!({"delivery": {"method": "urn:ietf:rfc:1149"}}), "method"),
        (json!({"delivery": {"method": PUSH}}), "endpoint_url"),
        (json!({"delivery": {}}), "member"),
        (json!({"delivery": "push"}), "member"),
        (push(json!("not a url")), "endpoint_url"),
        (push(json!("ftp://rp.example/")), "endpoint_url"),
        (push(json!("https://rp.example/#fragment")), "endpoint_url"),
        (push(json!("https://user:password@rp.example/")), "endpoint_url"),
        (push(json!(7)), "member"),
        (json!({"events_requested": "all"}), "member"),
        (json!({"events_requested": [7]}), "member"),
        (json!({"aud": "https://other.example"}), "aud"),
    ];
    for (body, names) in invalid {
        let said = scene.configure(Method::POST, &body).await.assert_refused(400, "invalid_request");
        assert!(said.contains(names), "{body}: {said}");
    }
    assert_eq!(scene.get(&at).await.assert_json(200), json!([]));
}

// SSF 1.0 §8.1.1.1: 401, 403 (MUST); 409 if this receiver may have no further stream (MUST)
#[tokio::test]
async fn who_may_create_no_further_stream_is_told_409() {
    let scene = Scene::start().await;
    let at = scene.endpoint("configuration_endpoint");
    scene.call(Method::POST, &at, "wrong", Some(&json!({}))).await.assert_refused(401, "invalid_token");
    scene
        .call(Method::POST, &at, &scene.producer.token, Some(&json!({})))
        .await
        .assert_refused(403, "insufficient_scope");
    let first = scene.create(&json!({})).await;
    let second = scene.create(&json!({})).await;
    assert_ne!(first["stream_id"], second["stream_id"], "a new id for each (§8.1.1.1)");
    scene.configure(Method::POST, &json!({})).await.assert_refused(409, "conflict");
    scene.delete(text(&first, "stream_id")).await.assert_empty(204);
    scene.create(&json!({})).await;
}

// SSF 1.0 §8.1.1.2: `GET ?stream_id=` → 200 and the object (MUST); 401, 403, 404
#[tokio::test]
async fn one_stream_is_read_as_an_object() {
    let scene = Scene::start().await;
    let (one, two) = (scene.create(&json!({})).await, scene.create(&json!({})).await);
    for stream in [&one, &two] {
        assert_eq!(scene.read(text(stream, "stream_id")).await.assert_json(200), *stream);
    }
    let at = scene.about("configuration_endpoint", text(&one, "stream_id"));
    scene.call(Method::GET, &at, "wrong", None).await.assert_refused(401, "invalid_token");
    scene.call(Method::GET, &at, &scene.producer.token, None).await.assert_refused(403, "insufficient_scope");
    for unknown in ["f67e39a0a4d34d56b3aa1bc4cff0069f", "018f0000-0000-4000-8000-000000000000", "%00", ""] {
        scene.read(unknown).await.assert_refused(404, "not_found");
    }
    scene.delete(text(&one, "stream_id")).await.assert_empty(204);
    scene.read(text(&one, "stream_id")).await.assert_refused(404, "not_found");
}

// SSF 1.0 §8.1.1.2: `GET` without `stream_id` → 200 and an array, empty if there is none (MUST)
#[tokio::test]
async fn all_streams_are_read_as_an_array_also_none_and_one() {
    let scene = Scene::start().await;
    let at = scene.endpoint("configuration_endpoint");
    assert_eq!(scene.get(&at).await.assert_json(200), json!([]));
    let one = scene.create(&json!({})).await;
    assert_eq!(scene.get(&at).await.assert_json(200), json!([one]));
    let two = scene.create(&json!({})).await;
    let both = scene.get(&at).await.assert_json(200);
    assert!(both.as_array().unwrap().len() == 2 && both.as_array().unwrap().contains(&two), "{both}");
    scene.call(Method::GET, &at, "wrong", None).await.assert_refused(401, "invalid_token");
    scene.call(Method::GET, &at, &scene.producer.token, None).await.assert_refused(403, "insufficient_scope");
}

// SSF 1.0 §8.1.1.3: PATCH changes what is present, leaves what is missing, answers with everything (MUST)
#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let scene = Scene::start().await;
    let created = scene.create_push("http://127.0.0.1:9/events", &["session-revoked"]).await;
    let id = &created["stream_id"];
    let untouched = scene.configure(Method::PATCH, &json!({"stream_id": id})).await.assert_json(200);
    assert_eq!(untouched, created);
    let described =
        scene.configure(Method::PATCH, &json!({"stream_id": id, "description": "B"})).await.assert_json(200);
    let expected = with(&created, "description", json!("B"));
    assert_eq!(described, expected);
    let requested = json!({"stream_id": id, "events_requested": uris(&["account-disabled", "session-revoked"])});
    let asked = scene.configure(Method::PATCH, &requested).await.assert_json(200);
    assert_eq!((&asked["description"], &asked["delivery"]), (&json!("B"), &created["delivery"]));
    let delivered: HashSet<&str> =
        asked["events_delivered"].as_array().unwrap().iter().map(|uri| uri.as_str().unwrap()).collect();
    assert_eq!(delivered, uris(&["account-disabled", "session-revoked"]).iter().map(String::as_str).collect());
    let moved = json!({"stream_id": id, "delivery": {"method": POLL}});
    let moved = scene.configure(Method::PATCH, &moved).await.assert_json(200);
    assert_eq!((&moved["delivery"]["method"], &moved["description"]), (&json!(POLL), &json!("B")));
    assert_eq!(scene.read(text(&created, "stream_id")).await.json(), moved, "and it is kept");
}

// SSF 1.0 §8.1.1.3, §8.1.1.4: the transmitter's members only as they are, `events_delivered` as before the change (MUST)
#[tokio::test]
async fn the_transmitters_members_may_be_sent_back_only_as_they_are() {
    let scene = Scene::start().await;
    let created = scene.create_poll(&["session-revoked"]).await;
    let id = &created["stream_id"];
    for verb in [Method::PATCH, Method::PUT] {
        let back = scene.configure(verb.clone(), &created).await.assert_json(200);
        assert_eq!(back, created, "{verb}");
        for (member, other) in [
            ("iss", json!("https://other.example")),
            ("aud", json!("https://other.example")),
            ("aud", json!(["https://rp.example", "https://other.example"])),
            ("events_supported", json!(["urn:a"])),
            ("events_delivered", json!([])),
            ("min_verification_interval", json!(1)),
            ("inactivity_timeout", json!(1)),
            ("delivery", json!({"method": POLL, "endpoint_url": "https://other.example/"})),
        ] {
            let refused = scene.configure(verb.clone(), &json!({"stream_id": id, member: other})).await;
            let said = refused.assert_refused(400, "invalid_request");
            assert!(said.contains(member), "{verb} {member}: {said}");
        }
        let before = json!({"stream_id": id, "events_requested": [], "events_delivered": created["events_delivered"]});
        assert_eq!(scene.configure(verb.clone(), &before).await.assert_json(200)["events_delivered"], json!([]));
        let again = json!({"stream_id": id, "events_requested": created["events_requested"], "events_delivered": []});
        assert_eq!(scene.configure(verb, &again).await.assert_json(200), created);
    }
}

// SSF 1.0 §8.1.1.4: PUT replaces; the receiver's members that are missing are deleted, so that no delivery means poll (MUST)
#[tokio::test]
async fn a_put_deletes_what_it_does_not_name() {
    let scene = Scene::start().await;
    let created = scene.create_push("http://127.0.0.1:9/events", &["session-revoked"]).await;
    let id = &created["stream_id"];
    let full = json!({
        "stream_id": id,
        "delivery": {"method": PUSH, "endpoint_url": "http://127.0.0.1:9/other"},
        "events_requested": uris(&["account-disabled"]),
        "description": "C",
    });
    let replaced = scene.configure(Method::PUT, &full).await.assert_json(200);
    for member in ["delivery", "events_requested", "description"] {
        assert_eq!(replaced[member], full[member], "{member}");
    }
    let bare = scene.configure(Method::PUT, &json!({"stream_id": id})).await.assert_json(200);
    assert!(bare.get("description").is_none() && bare.get("events_requested").is_none(), "{bare}");
    assert_eq!((&bare["delivery"]["method"], &bare["events_delivered"]), (&json!(POLL), &json!([])));
    assert_eq!(scene.read(text(&created, "stream_id")).await.json(), bare, "and it is kept");
}

// SSF 1.0 §8.1.1.3, §8.1.1.4, tables 3 and 4: 400, 401, 403, 404 (MUST)
#[tokio::test]
async fn a_change_that_cannot_be_made_is_refused() {
    let scene = Scene::start().await;
    let created = scene.create_push("http://127.0.0.1:9/events", &["session-revoked"]).await;
    let (at, bearer) = (scene.endpoint("configuration_endpoint"), format!("Bearer {}", scene.rp.token));
    let id = created["stream_id"].clone();
    for verb in [Method::PATCH, Method::PUT] {
        for body in ["", "{", "[]", "null", "{}", "{\"stream_id\": null}", "{\"stream_id\": 7}"] {
            let answer = scene.send(verb.clone(), &at, &[("authorization", &bearer)], body).await;
            answer.assert_refused(400, "invalid_request");
        }
        for body in [
            json!({"stream_id": id, "delivery": {"method": "urn:ietf:rfc:1149"}}),
            json!({"stream_id": id, "delivery": {"method": PUSH}}),
            json!({"stream_id": id, "description": "x".repeat(1_001)}),
        ] {
            scene.configure(verb.clone(), &body).await.assert_refused(400, "invalid_request");
        }
        let change = json!({"stream_id": id, "description": "x"});
        scene.call(verb.clone(), &at, "wrong", Some(&change)).await.assert_refused(401, "invalid_token");
        let producer = &scene.producer.token;
        scene.call(verb.clone(), &at, producer, Some(&change)).await.assert_refused(403, "insufficient_scope");
        let unknown = json!({"stream_id": "018f0000-0000-4000-8000-000000000000", "description": "x"});
        scene.configure(verb, &unknown).await.assert_refused(404, "not_found");
    }
    assert_eq!(scene.read(text(&created, "stream_id")).await.json(), created, "and nothing changed");
}

// SSF 1.0 §8.1.1.5: `DELETE ?stream_id=` → 204, empty (MUST); 401, 403, 404; 400 without `stream_id` (ours)
#[tokio::test]
async fn a_deleted_stream_is_gone() {
    let scene = Scene::start().await;
    let created = scene.create_poll(&["session-revoked"]).await;
    let (id, at) = (text(&created, "stream_id"), scene.endpoint("configuration_endpoint"));
    let about = scene.about("configuration_endpoint", id);
    scene.call(Method::DELETE, &about, "wrong", None).await.assert_refused(401, "invalid_token");
    scene.call(Method::DELETE, &about, &scene.producer.token, None).await.assert_refused(403, "insufficient_scope");
    scene.call(Method::DELETE, &at, &scene.rp.token, None).await.assert_refused(400, "invalid_request");
    scene.idp.revoke(&scene.producer, "s").await;
    assert_eq!(scene.polled(&created, &json!({})).await.len(), 1);
    scene.delete(id).await.assert_empty(204);
    let gone: [Answer; 4] = [
        scene.delete(id).await,
        scene.read(id).await,
        scene.poll(&created, &json!({})).await,
        scene.post(&scene.endpoint("verification_endpoint"), &json!({"stream_id": id})).await,
    ];
    for answer in gone {
        answer.assert_refused(404, "not_found");
    }
}

// SSF 1.0 §6.1.1 `authorization_header`: sent verbatim with every push, never shown again; without one none is sent, and
// an old one never goes to a new address (ours)
#[tokio::test]
async fn the_authorization_header_is_sent_as_it_is_and_shown_to_nobody() {
    let scene = Scene::start().await;
    let (first, second) = (Sink::start().await, Sink::start().await);
    let secret = "Bearer  hunter2: with words";
    let push = |url: &str| json!({"method": PUSH, "endpoint_url": url, "authorization_header": secret});
    let body = json!({"delivery": push(&first.url), "events_requested": uris(&["session-revoked"])});
    let created = scene.configure(Method::POST, &body).await;
    let id = text(&created.json(), "stream_id").to_owned();
    let shown = [
        created,
        scene.read(&id).await,
        scene.get(&scene.endpoint("configuration_endpoint")).await,
        scene.configure(Method::PATCH, &json!({"stream_id": id, "description": "x"})).await,
        scene.configure(Method::PATCH, &json!({"stream_id": id, "delivery": push("no url")})).await,
    ];
    for answer in shown {
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }
    scene.idp.revoke(&scene.producer, "one").await;
    scene.idp.drain().await;
    assert_eq!(first.requests()[0].header("authorization"), Some(secret), "a change of something else keeps it");
    let moved = json!({"stream_id": id, "delivery": {"method": PUSH, "endpoint_url": second.url}});
    assert_eq!(scene.configure(Method::PATCH, &moved).await.status, 200);
    scene.idp.revoke(&scene.producer, "two").await;
    scene.idp.drain().await;
    assert_eq!(second.requests()[0].header("authorization"), None, "delivery is replaced whole");
    for smuggled in ["a\r\nX-Other: b", "ü", "\0"] {
        let delivery = json!({"method": PUSH, "endpoint_url": first.url, "authorization_header": smuggled});
        let refused = scene.configure(Method::PATCH, &json!({"stream_id": id, "delivery": delivery})).await;
        refused.assert_refused(400, "invalid_request");
    }
}

fn with(value: &Value, member: &str, other: Value) -> Value {
    let mut value = value.clone();
    value[member] = other;
    value
}
