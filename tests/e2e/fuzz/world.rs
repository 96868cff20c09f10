//! The service that is knocked at, what is asserted of each answer, and of the service afterwards.

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use serde_json::{Value, json};
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party};
use ssf_harness::sink::Sink;
use ssf_transmitter::admin::NewClient;
use ssf_transmitter::client::Authentication;

use super::doors::{Door, Who};
use super::json::CANARY;

/// A transmitter with a receiver that has a stream of each kind, a producer, and one event.
pub(super) struct World {
    pub(super) idp: Idp,
    /// A client that shows its secret in the body of a form.
    pub(super) poster: Party,
    rp: Party,
    pub(super) push: String,
    producer: Party,
    pair: Party,
    operator: Party,
    poll: String,
    event: String,
    http: reqwest::Client,
}

/// Runs so many cases (and as many times more as `PROPTEST_CASES` is more than 256) against one service, which must work as well at the end as at the beginning.
pub(super) fn property<S>(cases: u32, input: S, test: &impl AsyncFn(&World, S::Value) -> TestCaseResult)
where
    S: Strategy,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = runtime.block_on(World::open());
    let usual = Config::default();
    let cases = cases * usual.cases / 256;
    let config = Config { cases, source_file: Some(file!()), max_shrink_iters: 2_000, ..usual };
    let tried = TestRunner::new(config).run(&input, |value| runtime.block_on(test(&world, value)));
    if let Err(fault) = tried {
        panic!("{fault}");
    }
    runtime.block_on(world.assert_works());
}

impl World {
    pub(super) async fn open() -> Self {
        let idp = Idp::start_with(&[("poll.wait", "5ms"), ("push.timeout", "500ms")]).await;
        let rp = NewClient { with_token: true, max_streams: 10_000, ..NewClient::receiver("rp", "https://rp.example") };
        let (rp, producer) = (idp.add_client(rp).await, idp.add_producer().await);
        let pair =
            NewClient { with_token: true, max_streams: 2, ..NewClient::receiver("pair", "https://pair.example") };
        let pair = idp.add_client(pair).await;
        let poll = idp.poll_stream(&rp, &["session-revoked", "credential-change", "revalidate"]).await;
        let push = idp.push_stream(&rp, "http://127.0.0.1:9/push", &["session-revoked"]).await;
        let event = idp.revoke(&producer, "first").await;
        idp.fan_out().await;
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let operator = idp.add_operator().await;
        let new = NewClient { authentication: Authentication::SecretPost, ..NewClient::receiver("poster", "poster") };
        let poster = idp.add_client(new).await;
        Self { idp, poster, rp, push, producer, pair, operator, poll, event, http }
    }

    /// A path with ids in it.
    pub(super) fn filled(&self, path: &str) -> String {
        path.replace("{poll}", &self.poll)
            .replace("{push}", &self.push)
            .replace("{event}", &self.event)
            .replace("{issuer}", &self.idp.row.id.to_string())
            .replace("{client}", &self.pair.client_id)
    }

    /// Knocks at a door with this body and these headers; the answer must be without a fault.
    pub(super) async fn knock(&self, door: &Door, body: Vec<u8>, headers: &[(&str, &str)]) -> TestCaseResult {
        let shown = String::from_utf8_lossy(&body[..body.len().min(2_000)]).into_owned();
        let judged = self.judge(self.request(door, body, headers)).await;
        judged.map_err(|fault| TestCaseError::fail(format!("{} {} of {shown}: {fault}", door.verb, door.path)))
    }

    /// A request at a door with this body and these headers, and the credential that belongs to it.
    pub(super) fn request(&self, door: &Door, body: Vec<u8>, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut request = self.http.request(door.verb(), format!("{}{}", self.idp.base, self.filled(door.path)));
        match door.by {
            Who::Receiver => request = request.bearer_auth(&self.rp.token),
            Who::Producer => request = request.bearer_auth(&self.producer.token),
            Who::Operator => request = request.bearer_auth(&self.operator.token),
            Who::Nobody => {}
        }
        let usual = match door.body {
            super::Body::Form(_) => "application/x-www-form-urlencoded",
            super::Body::Lines(_) => "application/x-ndjson",
            super::Body::Json(_) => "application/json",
        };
        let given = headers.iter().any(|(name, _)| *name == "content-type");
        for (name, value) in headers.iter().copied().chain((!given).then_some(("content-type", usual))) {
            request = request.header(name, value);
        }
        request.body(body)
    }

    /// Asks for a path with a receiver's credential, or with this header instead; the answer must be without a fault.
    pub(super) async fn ask(&self, verb: &Method, path: &str, header: Option<(&str, &str)>) -> TestCaseResult {
        let mut request = self.http.request(verb.clone(), format!("{}{path}", self.idp.base));
        if header.is_none_or(|(name, _)| name != "authorization") {
            request = request.bearer_auth(&self.rp.token);
        }
        if let Some((name, value)) = header {
            request = request.header(name, value.as_bytes());
        }
        self.judge(request).await
    }

    /// Sends it. What is answered before its body was read may lose its connection, and is asked again.
    async fn judge(&self, request: reqwest::RequestBuilder) -> TestCaseResult {
        // what cannot be built, not even a client would send
        let Ok(request) = request.build() else { return Ok(()) };
        let mut fault = None;
        for _ in 0..3 {
            match self.http.execute(request.try_clone().unwrap()).await {
                Ok(answer) => return judge(answer).await,
                Err(error) => fault = Some(error),
            }
        }
        Err(TestCaseError::fail(format!("no answer: {fault:?}")))
    }

    /// Delivers a decision to two receivers whose answers arrive together; the event's id. The streams of the last time are
    /// deleted first.
    pub(super) async fn push_to_both(&self, one: &Sink, other: &Sink) -> String {
        let streams = self.idp.get("/ssf/streams", &self.pair).await.body;
        for stream in streams.as_array().unwrap() {
            let at = format!("/ssf/streams?stream_id={}", stream["stream_id"].as_str().unwrap());
            assert_eq!(self.idp.call(Method::DELETE, &at, &self.pair.token, None).await.status, 204);
        }
        for sink in [one, other] {
            self.idp.push_stream(&self.pair, &sink.url, &["session-revoked"]).await;
            sink.hold();
        }
        let event = self.idp.revoke(&self.producer, "both").await;
        self.idp.fan_out().await;
        self.idp.transmitter.push.tick().await.unwrap();
        for sink in [one, other] {
            sink.arrivals(1).await;
        }
        for sink in [one, other] {
            sink.release();
        }
        self.idp.transmitter.push.idle().await;
        event
    }

    /// How an event stands.
    pub(super) async fn progress(&self, event: &str) -> Value {
        self.idp.progress(&self.producer, event).await
    }

    /// The workers tick without an error, and what is right is done: a new receiver creates a stream, and a decision is
    /// delivered to it.
    pub(super) async fn assert_works(&self) {
        while self.idp.transmitter.fan_out.tick().await.unwrap() > 0 {}
        self.idp.transmitter.push.tick().await.unwrap();
        self.idp.transmitter.push.idle().await;
        self.idp.transmitter.maintenance.tick().await.unwrap();
        let mut acked: Vec<String> = Vec::new();
        loop {
            // whatever was let in can be signed and handed out
            let polled = self.idp.poll(&self.rp, &self.poll, &json!({"ack": acked})).await;
            assert_eq!(polled.status, 200, "{}", polled.body);
            acked = polled.body["sets"].as_object().unwrap().keys().cloned().collect();
            if acked.is_empty() {
                break;
            }
        }
        assert_eq!(self.idp.count("select count(*) from dead_letter where error_code = 'unsendable'").await, 0);
        let (late, sink) = (self.idp.add_receiver("late").await, Sink::start().await);
        let stream = self.idp.push_stream(&late, &sink.url, &["session-revoked"]).await;
        let event = self.idp.revoke(&self.producer, "last").await;
        self.idp.fan_out().await;
        while sink.requests().is_empty() {
            self.idp.transmitter.push.tick().await.unwrap();
            self.idp.transmitter.push.idle().await;
        }
        let [request] = sink.requests().try_into().unwrap();
        assert_eq!(request.subject(), "last", "of {stream}");
        assert_eq!(self.idp.progress(&self.producer, &event).await["state"], "fanned_out");
    }
}

/// A good answer, or a 4xx in JSON that says what is wrong and quotes nothing.
async fn judge(answer: reqwest::Response) -> TestCaseResult {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.map_err(|fault| TestCaseError::fail(fault.to_string()))?;
    let shown = String::from_utf8_lossy(&body);
    prop_assert!(!status.is_server_error(), "{status}: {shown}");
    prop_assert!(!status.is_redirection() && !status.is_informational(), "{status}: {shown}");
    if status.is_success() {
        prop_assert!(
            body.is_empty() || serde_json::from_slice::<Value>(&body).is_ok() || !is_json(&headers),
            "{shown}"
        );
        return Ok(());
    }
    prop_assert!(is_json(&headers), "{status} {headers:?}: {shown}");
    let said: Value = serde_json::from_slice(&body).map_err(|_| TestCaseError::fail(format!("{status}: {shown}")))?;
    for member in ["error", "error_description"] {
        prop_assert!(said[member].as_str().is_some_and(|text| text.trim().len() > 3), "{status}: {shown}");
    }
    prop_assert!(!shown.contains(CANARY), "{status} quotes: {shown}");
    Ok(())
}

fn is_json(headers: &http::HeaderMap) -> bool {
    headers.get("content-type").is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}
