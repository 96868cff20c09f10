//! The specification row by row, from outside: a transmitter known by its metadata only, asked over HTTP, its answers
//! read whole. One file per section; ARCHITECTURE.md §10 says which test shows which row, and `table` guards that.

mod authorization;
mod configuration;
mod metadata;
mod openid_delivery;
mod openid_plan;
mod openid_suite;
mod peers;
mod poll;
mod push;
mod secure;
mod sets;
mod status;
mod subjects;
mod table;
mod verification;

use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::{Value, json};
use ssf_harness::idp::{Idp, Party, uris};
use ssf_transmitter::admin::NewClient;

/// A transmitter, a receiver that may have two streams, and a producer.
struct Scene {
    idp: Idp,
    rp: Party,
    producer: Party,
    metadata: Value,
    http: reqwest::Client,
}

/// An answer as it came.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Scene {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(overrides: &[(&str, &str)]) -> Self {
        let idp = Idp::start_with(overrides).await;
        let new = NewClient { with_token: true, max_streams: 2, ..NewClient::receiver("rp", "https://rp.example") };
        let (rp, producer) = (idp.add_client(new).await, idp.add_producer().await);
        let http = client();
        let mut scene = Self { idp, rp, producer, metadata: Value::Null, http };
        scene.metadata = scene.document("ssf-configuration").await.json();
        scene
    }

    /// A document of the issuer, where its name and the rules of the well-known place put it (RFC 8615, SSF 1.0 §7.2.1).
    async fn document(&self, name: &str) -> Answer {
        let issuer: url::Url = self.idp.issuer.as_str().parse().unwrap();
        let path = issuer.path().trim_end_matches('/');
        self.send(Method::GET, &format!("{}/.well-known/{name}{path}", self.origin()), &[], "").await
    }

    /// Where it listens.
    fn origin(&self) -> &str {
        &self.idp.base
    }

    /// An address from the metadata.
    fn endpoint(&self, member: &str) -> String {
        let address = self.metadata[member].as_str();
        address.unwrap_or_else(|| panic!("the metadata have no {member}: {}", self.metadata)).to_owned()
    }

    /// An address from the metadata, about one stream.
    fn about(&self, member: &str, stream: &str) -> String {
        format!("{}?stream_id={stream}", self.endpoint(member))
    }

    /// One request with exactly these headers and this body.
    async fn send(&self, verb: Method, url: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        let mut request = self.http.request(verb, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
    }

    /// One request of a receiver that is content with the usual headers.
    async fn call(&self, verb: Method, url: &str, token: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("authorization", bearer.as_str())];
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        self.send(verb, url, &headers, body.map(Value::to_string).unwrap_or_default()).await
    }

    /// Reads as the receiver.
    async fn get(&self, url: &str) -> Answer {
        self.call(Method::GET, url, &self.rp.token, None).await
    }

    /// Posts as the receiver.
    async fn post(&self, url: &str, body: &Value) -> Answer {
        self.call(Method::POST, url, &self.rp.token, Some(body)).await
    }

    /// Asks the configuration endpoint as the receiver.
    async fn configure(&self, verb: Method, body: &Value) -> Answer {
        self.call(verb, &self.endpoint("configuration_endpoint"), &self.rp.token, Some(body)).await
    }

    /// Creates a stream; its configuration.
    async fn create(&self, body: &Value) -> Value {
        let created = self.configure(Method::POST, body).await;
        assert_eq!(created.status, 201, "{created}");
        created.json()
    }

    /// Creates a poll stream for these types; its configuration.
    async fn create_poll(&self, events: &[&str]) -> Value {
        self.create(&json!({"delivery": {"method": POLL}, "events_requested": uris(events)})).await
    }

    /// Creates a push stream to `endpoint` for these types; its configuration.
    async fn create_push(&self, endpoint: &str, events: &[&str]) -> Value {
        let delivery = json!({"method": PUSH, "endpoint_url": endpoint});
        self.create(&json!({"delivery": delivery, "events_requested": uris(events)})).await
    }

    /// Reads a stream.
    async fn read(&self, stream: &str) -> Answer {
        self.get(&self.about("configuration_endpoint", stream)).await
    }

    /// Deletes a stream.
    async fn delete(&self, stream: &str) -> Answer {
        self.call(Method::DELETE, &self.about("configuration_endpoint", stream), &self.rp.token, None).await
    }

    /// Asks for a verification event with this state, a minimal interval after the last one.
    async fn verify(&self, stream: &str, state: &str) {
        self.idp.advance(Duration::from_secs(10));
        let body = json!({"stream_id": stream, "state": state});
        let asked = self.post(&self.endpoint("verification_endpoint"), &body).await;
        assert_eq!((asked.status, asked.bytes.len()), (204, 0), "{asked}");
    }

    /// Polls a stream at once, with these members besides.
    async fn poll(&self, stream: &Value, more: &Value) -> Answer {
        let mut body = json!({"returnImmediately": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.post(stream["delivery"]["endpoint_url"].as_str().unwrap(), &body).await
    }

    /// The SETs that a poll hands out, as `(jti, SET)`.
    async fn polled(&self, stream: &Value, more: &Value) -> Vec<(String, String)> {
        self.idp.fan_out().await;
        let answer = self.poll(stream, more).await;
        assert_eq!(answer.status, 200, "{answer}");
        let sets = answer.json()["sets"].as_object().unwrap().clone();
        sets.into_iter().map(|(jti, set)| (jti, set.as_str().unwrap().to_owned())).collect()
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {self}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that it is this status with nothing in the body, and not to be stored.
    fn assert_empty(&self, status: u16) {
        assert_eq!((self.status, self.bytes.len(), self.header("cache-control")), (status, 0, "no-store"), "{self}");
    }

    /// Asserts that it is this status with JSON in the body, not to be stored; the body.
    fn assert_json(&self, status: u16) -> Value {
        let seen = (self.status, self.header("content-type"), self.header("cache-control"));
        assert_eq!(seen, (status, "application/json", "no-store"), "{self}");
        self.json()
    }

    /// Asserts that it refuses with this status and code, in a sentence for people; the sentence.
    fn assert_refused(&self, status: u16, code: &str) -> String {
        let body = self.assert_json(status);
        let sentence = body["error_description"].as_str().unwrap_or_default().to_owned();
        assert!(body["error"] == code && sentence.len() > 5, "{self}");
        sentence
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.bytes))
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// A text member.
fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no text {member} in {value}"))
}

/// The header of a compact SET as it was written.
fn header_of(set: &str) -> Value {
    use base64::Engine as _;
    let header = set.split('.').next().unwrap();
    serde_json::from_slice(&base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

const PUSH: &str = "urn:ietf:rfc:8935";
const POLL: &str = "urn:ietf:rfc:8936";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
