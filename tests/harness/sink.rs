//! A push receiver that answers as the test says: it records every request in order and can hold its answers back.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "whatever goes wrong here fails the test")]

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::idp::claims;

/// The receiver. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Where it takes SETs.
    pub url: String,
    state: Arc<Inner>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, a compact SET.
    pub set: String,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    delay: Duration,
}

struct Inner {
    requests: Mutex<Vec<Received>>,
    queue: Mutex<VecDeque<Answer>>,
    script: Mutex<Arc<Script>>,
    arrived: watch::Sender<usize>,
    is_open: watch::Sender<bool>,
}

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

impl Received {
    /// Its claims, unverified.
    pub fn claims(&self) -> Value {
        claims(&self.set)
    }

    /// Its `jti`.
    pub fn jti(&self) -> String {
        self.claims()["jti"].as_str().unwrap().to_owned()
    }

    /// `sub_id.id`, for opaque subjects.
    pub fn subject(&self) -> String {
        self.claims()["sub_id"]["id"].as_str().unwrap().to_owned()
    }

    /// A header's text, if it was sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Answer {
    /// Just a status.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), delay: Duration::ZERO }
    }

    /// 400 with an RFC 8935 §2.3 body.
    pub fn refusal(code: &str) -> Self {
        let body = json!({"err": code, "description": "said the sink"}).to_string();
        Self { body, ..Self::status(400) }.with("content-type", "application/json")
    }

    /// This body, whatever it is.
    #[must_use]
    pub fn saying(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self }
    }

    /// One header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Only after a while, as a network has it.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

impl Sink {
    /// A receiver that accepts everything.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/push", listener.local_addr().unwrap());
        let state = Arc::new(Inner {
            requests: Mutex::default(),
            queue: Mutex::default(),
            script: Mutex::new(Arc::new(|_: &Received| Answer::status(202))),
            arrived: watch::Sender::new(0),
            is_open: watch::Sender::new(true),
        });
        let router = Router::new().fallback(receive).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state }
    }

    /// Answers by this from now on.
    pub fn script(&self, script: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        *self.state.script.lock().unwrap() = Arc::new(script);
    }

    /// Answers the next requests so, one each, before the script has its say.
    pub fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.queue.lock().unwrap().extend(answers);
    }

    /// Keeps every answer back until [`release`](Self::release).
    pub fn hold(&self) {
        self.state.is_open.send_replace(false);
    }

    /// Lets the answers go.
    pub fn release(&self) {
        self.state.is_open.send_replace(true);
    }

    /// Waits until at least so many requests have arrived.
    pub async fn arrivals(&self, count: usize) {
        self.state.arrived.subscribe().wait_for(|arrived| *arrived >= count).await.unwrap();
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<Received> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The `sub_id.id` of every request so far, in order.
    pub fn subjects(&self) -> Vec<String> {
        self.requests().iter().map(Received::subject).collect()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("requests", &self.requests.lock().unwrap().len()).finish_non_exhaustive()
    }
}

async fn receive(State(sink): State<Arc<Inner>>, headers: HeaderMap, set: String) -> Response {
    let received = Received { headers, set };
    let (queued, script) = (sink.queue.lock().unwrap().pop_front(), Arc::clone(&sink.script.lock().unwrap()));
    let answer = queued.unwrap_or_else(|| script(&received));
    sink.requests.lock().unwrap().push(received);
    sink.arrived.send_modify(|count| *count += 1);
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    sink.is_open.subscribe().wait_for(|is_open| *is_open).await.unwrap();
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    response.body(answer.body.into()).unwrap()
}
