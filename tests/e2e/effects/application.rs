//! An application that is called back: a little server on loopback that keeps what it hears and answers as it is told.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::Value;
use ssf_common::clock::Timestamp;
use ssf_receiver::signature::{self, Headers, NotVerified, Secret};

/// What the receiver and the application both know.
pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One callback as it came.
#[derive(Clone, Debug)]
pub(super) struct Callback {
    pub(super) headers: HeaderMap,
    pub(super) raw: Vec<u8>,
    pub(super) body: Value,
}

impl Callback {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(super) fn sid(&self) -> &str {
        self.body["data"]["sid"].as_str().unwrap()
    }

    /// As an application in Rust does it.
    pub(super) fn verify(&self, secret: &str, now: Timestamp) -> Result<(), NotVerified> {
        let headers = Headers {
            id: self.header(signature::ID_HEADER),
            timestamp: self.header(signature::TIMESTAMP_HEADER),
            signature: self.header(signature::SIGNATURE_HEADER),
        };
        signature::verify(&headers, &self.raw, &[Secret::parse(secret).unwrap()], now)
    }
}

type Answers = Box<dyn Fn(&Callback) -> Response + Send>;

/// The application.
#[derive(Clone)]
pub(super) struct Application {
    pub(super) url: String,
    heard: Arc<Mutex<Vec<Callback>>>,
    answers: Arc<Mutex<Answers>>,
}

impl Application {
    /// One that takes everything.
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ssf", listener.local_addr().unwrap());
        let taken: Answers = Box::new(|_| StatusCode::NO_CONTENT.into_response());
        let this = Self { url, heard: Arc::default(), answers: Arc::new(Mutex::new(taken)) };
        let hear = |State(this): State<Self>, headers, raw: Bytes| async move { this.hear(headers, &raw) };
        let router = Router::new().route("/ssf", post(hear)).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        this
    }

    /// From now on it answers so.
    pub(super) fn answer(&self, answers: impl Fn(&Callback) -> Response + Send + 'static) {
        *self.answers.lock().unwrap() = Box::new(answers);
    }

    /// From now on it answers everything with this status.
    pub(super) fn answer_with(&self, status: StatusCode) {
        self.answer(move |_| status.into_response());
    }

    /// Everything heard so far.
    pub(super) fn heard(&self) -> Vec<Callback> {
        self.heard.lock().unwrap().clone()
    }

    /// The sessions heard of so far, in order.
    pub(super) fn sids(&self) -> Vec<String> {
        self.heard().iter().map(|callback| callback.sid().to_owned()).collect()
    }

    fn hear(&self, headers: HeaderMap, raw: &[u8]) -> Response {
        let body = serde_json::from_slice(raw).unwrap();
        let callback = Callback { headers, raw: raw.to_vec(), body };
        let answer = self.answers.lock().unwrap()(&callback);
        self.heard.lock().unwrap().push(callback);
        answer
    }
}
