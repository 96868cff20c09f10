//! What the log of a running transmitter must not say: secrets, SETs, and whom they are about, planted wherever they come in.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{SEALING_KEY, uris};
use ssf_harness::processes::{Process, free_port};
use ssf_harness::sink::{Answer, Sink};
use ssf_harness::{TestCluster, binaries};

use crate::folder::Folder;

/// A real transmitter that logs everything it can, a producer, and a receiver with a secret and a token.
struct House {
    folder: Folder,
    process: Process,
    http: reqwest::Client,
    producer: Value,
    rp: Value,
}

impl House {
    async fn start() -> Self {
        let (folder, port) = (Folder::new(), free_port().unwrap());
        let database = TestCluster::shared().await.scratch_database("logs").await.unwrap().url;
        let base = format!("http://127.0.0.1:{port}");
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\n[issuer]\nurl = \"{base}\"\nalgorithm = \"ES256\"\n\
             [push]\nretry_first = \"50ms\"\nretry_ceiling = \"100ms\"\n[log]\nfilter = \"trace,sqlx=debug\"\n\
             [database]\nurl = \"{database}\"\n[keys]\nsealing_key = \"{SEALING_KEY}\"\n"
        );
        let mut process = Process::new("transmitter", binaries::transmitter(), &folder.0, base, &config).unwrap();
        let add = |arguments: &[&str]| -> Value {
            let printed = process.command(&[&["client", "add", "--json"], arguments].concat()).unwrap();
            serde_json::from_str(printed.trim()).unwrap()
        };
        let producer = add(&["producer", "--producer"]);
        let rp = add(&[
            "rp",
            "--audience",
            "https://rp.example",
            "--max-streams",
            "2",
            "--auth-method",
            "client_secret_basic",
            "--token",
        ]);
        process.start().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        process.ready(&http).await.unwrap();
        Self { folder, process, http, producer, rp }
    }

    async fn call(&self, verb: Method, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let request = self.http.request(verb, format!("{}{path}", self.process.base)).bearer_auth(token).json(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// A push stream with a credential; its id.
    async fn stream(&self, sink: &Sink, events: &[&str]) -> String {
        let delivery = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": format!("{}?key=hush-query", sink.url),
                              "authorization_header": "Bearer hush-push"});
        let body = json!({"delivery": delivery, "events_requested": uris(events)});
        let (status, created) = self.call(Method::POST, "/ssf/streams", text(&self.rp, "token"), &body).await;
        assert_eq!(status, 201, "{created}");
        text(&created, "stream_id").to_owned()
    }

    /// Hands in a decision about the canary; its id.
    async fn decide(&self, kind: &str) -> String {
        let subject = json!({"format": "email", "email": "canary@example.com"});
        let body = json!({"type": kind, "subject": subject, "reason_admin": {"en": "canary was seen"}});
        let (status, recorded) = self.call(Method::POST, "/events", text(&self.producer, "token"), &body).await;
        assert_eq!(status, 202, "{recorded}");
        text(&recorded, "event_id").to_owned()
    }

    /// Waits until a decision has come to this.
    async fn until(&self, event: &str, outcome: &str) {
        let mut progress = Value::Null;
        for _ in 0..1_000 {
            let token = text(&self.producer, "token");
            progress = self.call(Method::GET, &format!("/events/{event}"), token, &Value::Null).await.1;
            if progress[outcome] == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not {outcome}: {progress}");
    }

    /// A token for this scope from the token endpoint.
    async fn granted(&self, scope: &str) -> String {
        let form = format!("grant_type=client_credentials&scope={scope}");
        let request = self.http.post(format!("{}/oauth2/token", self.process.base)).body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.basic_auth("rp", Some(text(&self.rp, "client_secret"))).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        text(&answer.json().await.unwrap(), "access_token").to_owned()
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no text {member}"))
}

#[tokio::test]
async fn a_running_transmitter_logs_neither_secrets_nor_sets_nor_whom_they_are_about() {
    let mut house = House::start().await;
    let (good, bad) = (Sink::start().await, Sink::start().await);
    let stream = house.stream(&good, &["session-revoked"]).await;
    house.stream(&bad, &["account-disabled"]).await;
    let reader = house.granted("ssf.read").await;
    let (status, shown) =
        house.call(Method::GET, &format!("/ssf/streams?stream_id={stream}"), &reader, &Value::Null).await;
    assert_eq!((status, &shown["delivery"]["method"]), (200, &json!("urn:ietf:rfc:8935")));
    assert!(shown["delivery"].get("authorization_header").is_none(), "who may read does not read that: {shown}");
    assert!(!shown.to_string().contains("hush-push"), "{shown}");

    house.until(&house.decide("session-revoked").await, "delivered").await;
    // it fails in every way, and its words are not to be trusted either
    let words = r#"{"err": "authentication_failed", "description": "canary@example.com is nobody here"}"#;
    bad.next([Answer::status(503).saying("canary"), Answer::status(400).saying(words), Answer::status(200)]);
    house.until(&house.decide("account-disabled").await, "delivered").await;
    let words = r#"{"err": "invalid_request", "description": "canary@example.com is nobody here"}"#;
    bad.next([Answer::status(400).saying(words)]);
    house.until(&house.decide("account-disabled").await, "refused").await;
    let words = r#"{"err": "canary@example.com", "description": "of its own"}"#;
    bad.next([Answer::status(400).saying(words)]);
    house.until(&house.decide("account-disabled").await, "refused").await;
    assert_eq!(bad.requests().len(), 5);
    for (path, token, body, status) in [
        ("/events", "hush-wrong", json!({}), 401),
        ("/events", &reader, json!({"type": "session-revoked", "subject": "canary"}), 403),
        ("/events", text(&house.producer, "token"), json!({"type": "canary", "subject": {"canary": "canary"}}), 400),
        (
            "/ssf/subjects/add",
            &reader,
            json!({"stream_id": stream, "subject": {"format": "email", "email": "canary"}}),
            403,
        ),
        (
            "/ssf/subjects/remove",
            text(&house.rp, "token"),
            json!({"stream_id": stream, "subject": {"format": "email", "email": "canary@example.com"}}),
            204,
        ),
    ] {
        assert_eq!(house.call(Method::POST, path, token, &body).await.0, status, "{path}");
    }
    assert!(house.process.stop().await.unwrap().unwrap().success());

    let log = std::fs::read_to_string(house.folder.0.join("transmitter.log")).unwrap();
    for said in ["DEBUG", "a stream was created", "a receiver fails", "the receiver refused a SET"] {
        assert!(log.contains(said), "the log does not say: {said}");
    }
    let sets: Vec<String> = good.requests().into_iter().chain(bad.requests()).map(|request| request.set).collect();
    let parts = sets.iter().flat_map(|set| set.split('.').skip(1)).map(ToOwned::to_owned);
    let secrets = [
        "canary",
        "hush-",
        SEALING_KEY,
        &reader,
        text(&house.rp, "token"),
        text(&house.rp, "client_secret"),
        text(&house.producer, "token"),
    ];
    let secrets: Vec<String> = secrets.into_iter().map(ToOwned::to_owned).chain(parts).collect();
    assert_eq!(secrets.len(), 7 + 2 * 6);
    for line in log.lines() {
        let found: Vec<&String> = secrets.iter().filter(|secret| line.contains(*secret)).collect();
        assert!(found.is_empty(), "{found:?} is in the log: {line}");
    }
}
