//! Careful calls at careless peers.

use serde_json::{Value, json};
use ssf_common::runtime::Env;
use ssf_common::runtime::telemetry::chain;
use wiremock::matchers::{body_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::config::{ClientAuth, Credential, Delivery, UpstreamSettings};

/// A transmitter that answers as the test says, and our client for it.
struct Peer {
    server: MockServer,
    client: Client,
    metadata: Metadata,
}

impl Peer {
    async fn start() -> Self {
        let server = MockServer::start().await;
        let settings = UpstreamSettings::new(server.uri().into(), Delivery::Push);
        let http = Http::new(Duration::from_secs(5)).unwrap();
        let credential = Credential::Client { id: "rp".to_owned(), secret: "s".into(), auth: ClientAuth::Basic };
        let settings = UpstreamSettings { token_url: format!("{}/token", server.uri()), ..settings };
        let tokens = Tokens::new(&settings, credential, http.clone(), Env::system());
        let at = |path: &str| format!("{}{path}", server.uri());
        let metadata = serde_json::from_value(json!({
            "issuer": server.uri(),
            "configuration_endpoint": at("/streams"), "verification_endpoint": at("/verify"),
        }))
        .unwrap();
        let peer = Self { client: Client::new(http, tokens, true), metadata, server };
        let token = json!({"access_token": "good", "token_type": "Bearer", "expires_in": 3_600});
        peer.answers("POST", "/token", ResponseTemplate::new(200).set_body_json(token)).await;
        peer
    }

    async fn answers(&self, verb: &str, at: &str, response: ResponseTemplate) {
        Mock::given(method(verb)).and(path(at)).respond_with(response).mount(&self.server).await;
    }

    fn stream(&self, id: &str) -> Value {
        json!({
            "stream_id": id, "iss": self.server.uri(), "aud": "rp", "events_delivered": [],
            "delivery": {"method": "urn:ietf:rfc:8936", "endpoint_url": format!("{}/poll", self.server.uri())}
        })
    }
}

#[tokio::test]
async fn a_stream_is_read_from_whatever_success_carries_it() {
    let peer = Peer::start().await;
    let list = json!([peer.stream("a"), peer.stream("b")]);
    Mock::given(method("GET"))
        .and(path("/streams"))
        .and(query_param("stream_id", "b"))
        .and(header("authorization", "Bearer good"))
        .respond_with(ResponseTemplate::new(206).set_body_json(list))
        .mount(&peer.server)
        .await;
    assert_eq!(peer.client.read(&peer.metadata, &"b".into()).await.unwrap().stream_id, "b".into());
    let missing = peer.client.read(&peer.metadata, &"c".into()).await.unwrap_err();
    assert!(missing.is_not_found());
}

#[tokio::test]
async fn a_list_may_be_one_stream_or_nothing_at_all() {
    let peer = Peer::start().await;
    let one = ResponseTemplate::new(200).set_body_json(peer.stream("a"));
    peer.answers("GET", "/streams", one.clone()).await;
    assert_eq!(peer.client.list(&peer.metadata).await.unwrap().len(), 1);
    peer.server.reset().await;
    peer.answers("GET", "/streams", ResponseTemplate::new(404)).await;
    assert!(peer.client.list(&peer.metadata).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_401_gets_one_new_token_and_one_more_attempt() {
    let peer = Peer::start().await;
    let refused = Mock::given(method("POST")).and(path("/verify")).respond_with(ResponseTemplate::new(401));
    refused.up_to_n_times(1).expect(1).mount(&peer.server).await;
    let done = Mock::given(method("POST")).and(path("/verify")).respond_with(ResponseTemplate::new(200));
    done.expect(1).mount(&peer.server).await;
    let wanted = VerifyRequest { stream_id: "a".into(), state: Some("s".to_owned()) };
    peer.client.verify(&peer.metadata, &wanted).await.unwrap();
    let requests = peer.server.received_requests().await.unwrap();
    assert_eq!(requests.iter().filter(|request| request.url.path() == "/token").count(), 2);
}

#[tokio::test]
async fn a_refused_call_says_which_and_when_to_come_again() {
    let peer = Peer::start().await;
    peer.answers("POST", "/verify", ResponseTemplate::new(429).insert_header("retry-after", "17")).await;
    let wanted = VerifyRequest { stream_id: "a".into(), state: None };
    let error = peer.client.verify(&peer.metadata, &wanted).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "asking for a verification was answered with 429 Too Many Requests; ask again in 17 s"
    );
    assert_eq!(error.retry_after(), Some(Duration::from_secs(17)));
    let error = peer.client.status(&peer.metadata, &"a".into()).await.unwrap_err();
    assert_eq!(error.to_string(), "the transmitter does not announce a `status_endpoint`");
}

#[tokio::test]
async fn creation_sends_our_members_only_and_an_answer_without_the_stream_is_named() {
    let peer = Peer::start().await;
    let ours = json!({"events_requested": ["urn:x"], "delivery": {"method": "urn:ietf:rfc:8936"}, "description": "d"});
    Mock::given(method("POST"))
        .and(path("/streams"))
        .and(body_json(ours))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({"stream_id": "a"})))
        .mount(&peer.server)
        .await;
    let wanted = CreateStream {
        events_requested: Some(vec!["urn:x".to_owned()]),
        delivery: Some(ssf_common::protocol::Delivery::poll(None)),
        description: Some("d".to_owned()),
        aud: None,
        format: None,
    };
    let said = chain(&peer.client.create(&peer.metadata, &wanted).await.unwrap_err());
    assert!(said.starts_with("the answer to creating the stream lacks what it should say (missing field `"), "{said}");
}

#[tokio::test]
async fn of_an_answer_that_is_wrong_nothing_is_quoted() {
    let peer = Peer::start().await;
    let wrong =
        [json!("eyJsecret"), json!({"stream_id": "a", "status": "eyJsecret"}), json!({"status": ["eyJsecret"]})];
    for body in wrong {
        peer.server.reset().await;
        peer.answers("GET", "/status", ResponseTemplate::new(200).set_body_json(&body)).await;
        let token = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 60});
        peer.answers("POST", "/token", ResponseTemplate::new(200).set_body_json(token)).await;
        let metadata =
            Metadata { status_endpoint: Some(format!("{}/status", peer.server.uri())), ..peer.metadata.clone() };
        let said = chain(&peer.client.status(&metadata, &"a".into()).await.unwrap_err());
        assert!(said.contains("lacks what it should say") && !said.contains("eyJ"), "{said}");
    }
}

#[tokio::test]
async fn an_endpoint_without_https_is_not_called() {
    let peer = Peer::start().await;
    let metadata = Metadata { configuration_endpoint: Some("http://idp.example/streams".to_owned()), ..peer.metadata };
    let error = peer.client.list(&metadata).await.unwrap_err();
    assert_eq!(error.to_string(), "the transmitter's `configuration_endpoint` is not an https URL");
}
