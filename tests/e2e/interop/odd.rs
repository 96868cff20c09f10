//! A transmitter that answers as a story says, and how a breach is looked for in what a command says of it.

use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Desk, Said};

/// A command, what it is answered with and where, and how the breach is told.
pub(super) type Case<'a> = (&'a [&'a str], &'a str, &'a str, ResponseTemplate, &'a str);

/// A transmitter that answers as the test says, and a desk.
pub(super) struct Odd {
    pub(super) server: MockServer,
    pub(super) desk: Desk,
    /// Of the next answer: the lowest goes first.
    priority: AtomicU8,
}

impl Odd {
    pub(super) async fn start() -> Self {
        let server = MockServer::start().await;
        let odd = Self { server, desk: Desk::new(), priority: AtomicU8::new(u8::MAX) };
        odd.announces(&odd.metadata()).await;
        odd
    }

    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.server.uri())
    }

    pub(super) fn metadata(&self) -> Value {
        json!({
            "issuer": self.server.uri(), "spec_version": "1_0", "jwks_uri": self.at("/jwks"),
            "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
            "configuration_endpoint": self.at("/streams"), "status_endpoint": self.at("/status"),
            "add_subject_endpoint": self.at("/add"), "remove_subject_endpoint": self.at("/remove"),
            "verification_endpoint": self.at("/verify"),
            "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
        })
    }

    pub(super) fn stream(&self) -> Value {
        json!({
            "stream_id": "s-1", "iss": self.server.uri(), "aud": "rp", "events_supported": ["urn:a"],
            "events_requested": ["urn:a"], "events_delivered": ["urn:a"],
            "delivery": {"method": "urn:ietf:rfc:8936", "endpoint_url": self.at("/poll")},
        })
    }

    /// The stream with one member replaced.
    pub(super) fn with(&self, member: &str, value: Value) -> Value {
        let mut stream = self.stream();
        stream[member] = value;
        stream
    }

    pub(super) async fn announces(&self, metadata: &Value) {
        self.answers("GET", "/.well-known/ssf-configuration", ResponseTemplate::new(200).set_body_json(metadata)).await;
    }

    /// Newer answers take the place of older ones.
    pub(super) async fn answers(&self, verb: &str, at: &str, response: ResponseTemplate) {
        let priority = self.priority.fetch_sub(1, Ordering::Relaxed);
        Mock::given(method(verb))
            .and(path(at))
            .respond_with(response)
            .with_priority(priority)
            .mount(&self.server)
            .await;
    }

    /// Each is caught, in these words.
    pub(super) async fn breaks<'a>(&self, cases: impl IntoIterator<Item = Case<'a>>) {
        for (command, verb, at, response, text) in cases {
            self.answers(verb, at, response).await;
            let said = self.run(command).await;
            assert!(said.err.lines().any(|line| line.starts_with(&format!("breach: {text}"))), "{text}: {said:?}");
            assert_eq!(said.code, 3, "{text}: {said:?}");
        }
    }

    pub(super) async fn run(&self, arguments: &[&str]) -> Said {
        let issuer = self.server.uri();
        let peer = ["--issuer", issuer.as_str(), "--token", "t0ken-0"];
        let said = self.desk.run(&[arguments, &peer[..]].concat()).await;
        assert!(!format!("{}{}", said.out, said.err).contains("t0ken-0"), "{said:?}");
        said
    }
}

pub(super) fn good(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("cache-control", "no-store")
}
