//! The commands at transmitters that break the specifications: each fault is told with its section and ends with 3;
//! leniently, what peers in the field are known for is only warned of.

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::odd::{Case, Odd, good};

const CREATE: [&str; 4] = ["stream", "create", "--events", "urn:a"];
const READ: [&str; 4] = ["stream", "read", "--stream-id", "s-1"];
const DELETE: [&str; 4] = ["stream", "delete", "--stream-id", "s-1"];
const PAUSE: [&str; 6] = ["stream", "status", "set", "paused", "--stream-id", "s-1"];
const ADD: [&str; 5] = ["subject", "add", "--stream-id", "s-1", r#"{"format":"opaque","id":"u"}"#];
const REMOVE: [&str; 5] = ["subject", "remove", "--stream-id", "s-1", r#"{"format":"opaque","id":"u"}"#];
const VERIFY: [&str; 3] = ["verify", "--stream-id", "s-1"];

// SSF 1.0 §8.1.2.2, §8.1.3.2, §8.1.3.3: what is sent, and a good answer.
#[tokio::test]
async fn status_and_subjects_are_sent_as_the_framework_says() {
    let odd = Odd::start().await;
    let paused = json!({"stream_id": "s-1", "status": "paused", "reason": "night"});
    odd.answers("POST", "/status", good(200).set_body_json(&paused)).await;
    odd.answers("POST", "/add", good(200)).await;
    odd.answers("POST", "/remove", good(204)).await;
    let set = odd.run(&[&PAUSE[..], &["--reason", "night"]].concat()).await;
    assert_eq!((set.code, set.json()), (0, paused.clone()), "{set:?}");
    let added = odd.run(&[&ADD[..], &["--verified", "true"]].concat()).await;
    assert_eq!((added.code, added.out.as_str(), added.err.as_str()), (0, "", "200 OK\n"));
    let removed = odd.run(&REMOVE).await;
    assert_eq!((removed.code, removed.out.as_str(), removed.err.as_str()), (0, "", "204 No Content\n"));
    let subject = json!({"format": "opaque", "id": "u"});
    let expected = [
        ("/status", paused),
        ("/add", json!({"stream_id": "s-1", "subject": subject, "verified": true})),
        ("/remove", json!({"stream_id": "s-1", "subject": subject})),
    ];
    let requests = odd.server.received_requests().await.unwrap();
    for (at, body) in expected {
        let request = requests.iter().find(|request| request.url.path() == at).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), body, "{at}");
        assert_eq!(request.headers["content-type"], "application/json");
    }
}

// SSF 1.0 §8.1.1
#[tokio::test]
async fn a_configuration_that_breaks_the_framework_ends_with_3_and_the_section() {
    let odd = Odd::start().await;
    let issuer = format!("{}/", odd.server.uri());
    let cases: [Case; 11] = [
        (
            &CREATE,
            "POST",
            "/streams",
            good(200).set_body_json(odd.stream()),
            "SSF 1.0 §8.1.1.1: the status must be 201, and is 200",
        ),
        (&CREATE, "POST", "/streams", good(201), "SSF 1.0 §8.1.1.1: the body must be JSON, and is empty"),
        (
            &CREATE,
            "POST",
            "/streams",
            good(201).set_body_string("<html>"),
            "SSF 1.0 §8.1.1.1: the body must be JSON, and is not",
        ),
        (
            &CREATE,
            "POST",
            "/streams",
            good(201).set_body_json(json!({"stream_id": "s-1"})),
            "SSF 1.0 §8.1.1: `iss` is missing",
        ),
        (
            &CREATE,
            "POST",
            "/streams",
            good(201).set_body_json(odd.with("iss", json!(issuer))),
            "SSF 1.0 §8.1.1: `iss` must be identical to the `issuer`",
        ),
        (
            &CREATE,
            "POST",
            "/streams",
            good(201).set_body_json(odd.with("events_delivered", json!(["urn:a", "urn:b"]))),
            "SSF 1.0 §8.1.1: `events_delivered` must be a subset of what was requested",
        ),
        (
            &READ,
            "GET",
            "/streams",
            good(200).set_body_json(odd.with("stream_id", json!("s-2"))),
            "SSF 1.0 §8.1.1.2: `stream_id` is not that of the stream",
        ),
        (
            &READ,
            "GET",
            "/streams",
            good(200).set_body_json(json!([odd.stream()])),
            "SSF 1.0 §8.1.1.2: the configuration must be an object",
        ),
        (
            &["stream", "list"],
            "GET",
            "/streams",
            good(200).set_body_json(odd.stream()),
            "SSF 1.0 §8.1.1.2: the body must be an array",
        ),
        (&DELETE, "DELETE", "/streams", good(200), "SSF 1.0 §8.1.1.5: the status must be 204, and is 200"),
        (
            &DELETE,
            "DELETE",
            "/streams",
            good(302).insert_header("location", "https://x.example/"),
            "SSF 1.0 §8.1.1.5: the status must be 204, and is 302",
        ),
    ];
    odd.breaks(cases).await;
}

// SSF 1.0 §8.1.2, §8.1.3, §8.1.4; RFC 8936 §2.3
#[tokio::test]
async fn other_answers_that_break_a_specification_end_with_3_and_the_section() {
    let odd = Odd::start().await;
    let set = json!({"sets": {"b": "e30.eyJqdGkiOiJhIn0.x"}});
    let poll = ["poll", "--return-immediately", "--endpoint-url", &odd.at("/poll")];
    let cases: [Case; 8] = [
        (
            &PAUSE,
            "POST",
            "/status",
            good(200).set_body_json(json!({"stream_id": "s-1", "status": "enabled"})),
            "SSF 1.0 §8.1.2.2: `status` is not the one that was asked for",
        ),
        (
            &PAUSE,
            "POST",
            "/status",
            good(200).set_body_json(json!({"status": "paused"})),
            "SSF 1.0 §8.1.2.2: `stream_id` is missing",
        ),
        (&ADD, "POST", "/add", good(204), "SSF 1.0 §8.1.3.2: the status must be 200, and is 204"),
        (
            &REMOVE,
            "POST",
            "/remove",
            good(200).set_body_string("{}"),
            "SSF 1.0 §8.1.3.3: the body must be empty, and is not",
        ),
        (&VERIFY, "POST", "/verify", good(202), "SSF 1.0 §8.1.4.2: the status must be 204, and is 202"),
        (
            &poll,
            "POST",
            "/poll",
            good(200).set_body_json(json!({"moreAvailable": false})),
            "RFC 8936 §2.3: `sets` is missing",
        ),
        (
            &poll,
            "POST",
            "/poll",
            good(200).set_body_json(json!({"sets": {}, "moreAvailable": "no"})),
            "RFC 8936 §2.3: `moreAvailable` must be true or false",
        ),
        (
            &poll,
            "POST",
            "/poll",
            good(200).set_body_json(set),
            "RFC 8936 §2.3: a SET stands in `sets` under another name",
        ),
    ];
    odd.breaks(cases).await;
}

// SSF 1.0 §7.1, §7.2.3
#[tokio::test]
async fn metadata_that_cannot_be_gone_on_with_end_it() {
    let odd = Odd::start().await;
    odd.answers("GET", "/streams", good(200).set_body_json(json!([]))).await;
    let cases = [
        (
            "issuer",
            json!(format!("{}/", odd.server.uri())),
            "breach: SSF 1.0 §7.2.3: the transmitter's metadata is that of another issuer",
        ),
        ("default_subjects", json!("SOME"), "breach: SSF 1.0 §7.1: `default_subjects` must be ALL or NONE"),
        (
            "configuration_endpoint",
            json!("http://idp.example/s"),
            "breach: SSF 1.0 §7.1: `configuration_endpoint` must be an https URL",
        ),
        ("jwks_uri", json!("http://idp.example/k"), "breach: SSF 1.0 §7.1: `jwks_uri` must be an https URL"),
    ];
    for (member, value, text) in cases {
        let mut metadata = odd.metadata();
        metadata[member] = value;
        odd.announces(&metadata).await;
        let said = odd.run(&["stream", "list"]).await;
        assert!(said.code == 3 && said.err.contains(text), "{said:?}");
    }
    let mut metadata = odd.metadata();
    metadata.as_object_mut().unwrap().remove("status_endpoint");
    odd.announces(&metadata).await;
    let said = odd.run(&PAUSE).await;
    assert_eq!(said.code, 1, "it is optional: {said:?}");
    assert!(said.err.contains("the transmitter does not announce a `status_endpoint`"), "{said:?}");
}

#[tokio::test]
async fn leniently_what_peers_are_known_for_is_a_warning_and_the_rest_is_not() {
    let odd = Odd::start().await;
    let legacy = "https://schemas.openid.net/secevent/risc/delivery-method/poll";
    let delivery = json!({"method": legacy, "endpoint_url": odd.at("/poll")});
    odd.answers("POST", "/streams", good(201).set_body_json(odd.with("delivery", delivery))).await;
    odd.answers("DELETE", "/streams", ResponseTemplate::new(200).set_body_string("{}")).await;
    odd.answers("GET", "/streams", good(200).set_body_json(odd.stream())).await;
    odd.answers("POST", "/verify", good(200)).await;
    odd.answers("POST", "/remove", good(200)).await;
    for command in [&CREATE[..], &DELETE, &["stream", "list"], &VERIFY, &REMOVE] {
        let strict = odd.run(command).await;
        assert_eq!(strict.code, 3, "{command:?}: {strict:?}");
        let lenient = odd.run(&[command, &["--lenient"]].concat()).await;
        assert_eq!(lenient.code, 0, "{command:?}: {lenient:?}");
        assert!(lenient.err.contains("warning: SSF 1.0 §") && !lenient.err.contains("breach"), "{lenient:?}");
    }
    let said = odd.run(&[&DELETE[..], &["--lenient"]].concat()).await;
    assert!(said.err.contains("warning: SSF 1.0 §8.1.1.5: the answer should be `Cache-Control: no-store`"), "{said:?}");
    odd.answers("POST", "/streams", good(200).set_body_json(odd.with("iss", json!("https://other.example")))).await;
    assert_eq!(odd.run(&[&CREATE[..], &["--lenient"]].concat()).await.code, 3, "whose SETs come is no trifle");
}

// SSF 1.0 §8.1.1.3: 202 is allowed, and says that it is not done yet.
#[tokio::test]
async fn a_change_that_is_accepted_for_later_is_good() {
    let odd = Odd::start().await;
    odd.answers("PATCH", "/streams", good(202)).await;
    let said = odd.run(&["stream", "update", "--stream-id", "s-1", "--events", "urn:a"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.err.contains("warning: SSF 1.0 §8.1.1.3: the request is accepted and not carried out yet"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_peer_that_echoes_credentials_or_steers_terminals_does_neither_here() {
    let odd = Odd::start().await;
    let token = json!({"access_token": "acc3ss-token", "token_type": "Bearer", "refresh_token": "refr3sh-token"});
    odd.answers("POST", "/token", good(200).set_body_json(token)).await;
    let echo = json!({"error": "invalid_token", "error_description": "no acc3ss-token \u{1b}[2J of cl1ent-secret"});
    odd.answers("GET", "/streams", good(401).set_body_json(echo)).await;
    let push = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": "https://rp.example/", "authorization_header": "Custom p-ush-key"});
    odd.answers("POST", "/streams", good(201).set_body_json(odd.with("delivery", push))).await;
    let header = odd.desk.secret("header", "Custom p-ush-key");
    let secret = odd.desk.secret("secret", "cl1ent-secret");
    let (issuer, endpoint) = (odd.server.uri(), odd.at("/token"));
    let peer = ["--issuer", &issuer, "--client-id", "rp", "--client-secret-file", &secret, "--token-url", &endpoint];
    let create =
        ["--delivery", "push", "--endpoint-url", "https://rp.example/", "--authorization-header-file", &header];
    for (command, code) in [(&["stream", "list"][..], 1), (&[&CREATE[..], &create].concat(), 0)] {
        let said = odd.desk.run(&[command, &peer, &["--trace"]].concat()).await;
        assert_eq!(said.code, code, "{said:?}");
        let text = format!("{}{}", said.out, said.err);
        for secret in ["acc3ss-token", "refr3sh-token", "cl1ent-secret", "p-ush-key", "\u{1b}"] {
            assert!(!text.contains(secret), "{secret:?}: {text}");
        }
    }
}
