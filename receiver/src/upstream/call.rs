//! [`Call`]: one exchange with a transmitter before it is made. Which URL, verb and body each call of SSF 1.0 §8.1 and
//! RFC 8936 has is said here, once: for the tolerant [`Client`](super::client::Client) that keeps a stream, and for people
//! who drive one by hand and want to see every deviation.

use std::time::Duration;

use http::{Method, StatusCode};
use reqwest::RequestBuilder;
use serde::Serialize;
use serde_json::Value;
use ssf_common::id::StreamId;
use ssf_common::protocol::{Metadata, PollRequest, Receipts};
use url::Url;

use super::client::CallError;
use super::fetch::{self, EndpointError, Http, MAX_ANSWER};

/// One exchange to be made, any number of times.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it does, as errors say it.
    pub name: &'static str,
    /// The verb.
    pub method: Method,
    /// The JSON that is sent. It may hold a credential (`delivery.authorization_header`).
    pub body: Option<Value>,
    url: Url,
    timeout: Option<Duration>,
    limit: usize,
    due: &'static [StatusCode],
}

/// The calls a transmitter announces endpoints for.
#[derive(Clone, Copy, Debug)]
pub struct Calls<'a> {
    at: &'a Metadata,
    is_development: bool,
}

impl<'a> Calls<'a> {
    /// At the transmitter of this metadata; `is_development` allows plain http on loopback.
    pub const fn at(at: &'a Metadata, is_development: bool) -> Self {
        Self { at, is_development }
    }

    /// Creates a stream (§8.1.1.1).
    pub fn create(self, wanted: &impl Serialize) -> Result<Call, CallError> {
        Ok(Call::new("creating the stream", Method::POST, self.configuration()?).due(CREATED).with(wanted))
    }

    /// Reads one stream (§8.1.1.2).
    pub fn read(self, stream: &StreamId) -> Result<Call, CallError> {
        Ok(Call::new("reading the stream", Method::GET, of(self.configuration()?, stream)))
    }

    /// Reads all our streams (§8.1.1.2).
    pub fn list(self) -> Result<Call, CallError> {
        Ok(Call::new("listing the streams", Method::GET, self.configuration()?))
    }

    /// Changes our members of a stream, those that are named (§8.1.1.3).
    pub fn update(self, change: &impl Serialize) -> Result<Call, CallError> {
        Ok(Call::new("changing the stream", Method::PATCH, self.configuration()?).due(OK_OR_LATER).with(change))
    }

    /// Replaces all our members of a stream (§8.1.1.4).
    pub fn replace(self, change: &impl Serialize) -> Result<Call, CallError> {
        Ok(Call::new("replacing the stream's configuration", Method::PUT, self.configuration()?)
            .due(OK_OR_LATER)
            .with(change))
    }

    /// Deletes a stream (§8.1.1.5).
    pub fn delete(self, stream: &StreamId) -> Result<Call, CallError> {
        Ok(Call::new("deleting the stream", Method::DELETE, of(self.configuration()?, stream)).due(NO_CONTENT))
    }

    /// Reads a stream's status (§8.1.2.1).
    pub fn status(self, stream: &StreamId) -> Result<Call, CallError> {
        let url = self.announced(self.at.status_endpoint.as_deref(), "status_endpoint")?;
        Ok(Call::new("reading the stream's status", Method::GET, of(url, stream)))
    }

    /// Changes a stream's status (§8.1.2.2).
    pub fn set_status(self, wanted: &impl Serialize) -> Result<Call, CallError> {
        let url = self.announced(self.at.status_endpoint.as_deref(), "status_endpoint")?;
        Ok(Call::new("changing the stream's status", Method::POST, url).due(OK_OR_LATER).with(wanted))
    }

    /// Adds a subject to a stream (§8.1.3.2).
    pub fn add_subject(self, wanted: &impl Serialize) -> Result<Call, CallError> {
        let url = self.announced(self.at.add_subject_endpoint.as_deref(), "add_subject_endpoint")?;
        Ok(Call::new("adding the subject", Method::POST, url).with(wanted))
    }

    /// Removes a subject from a stream (§8.1.3.3).
    pub fn remove_subject(self, wanted: &impl Serialize) -> Result<Call, CallError> {
        let url = self.announced(self.at.remove_subject_endpoint.as_deref(), "remove_subject_endpoint")?;
        Ok(Call::new("removing the subject", Method::POST, url).due(NO_CONTENT).with(wanted))
    }

    /// Asks for a verification event (§8.1.4.2).
    pub fn verify(self, wanted: &impl Serialize) -> Result<Call, CallError> {
        let url = self.announced(self.at.verification_endpoint.as_deref(), "verification_endpoint")?;
        Ok(Call::new("asking for a verification", Method::POST, url).due(NO_CONTENT).with(wanted))
    }

    /// Tells what is enforced here; a call of ours that no specification has.
    pub fn tell(self, receipts: &Receipts) -> Result<Call, CallError> {
        let endpoint = self.at.enforcement_receipts_endpoint.as_deref();
        let url = self.announced(endpoint, "enforcement_receipts_endpoint")?;
        Ok(Call::new("telling what is enforced", Method::POST, url).with(receipts))
    }

    fn configuration(self) -> Result<Url, CallError> {
        self.announced(self.at.configuration_endpoint.as_deref(), "configuration_endpoint")
    }

    fn announced(self, endpoint: Option<&str>, member: &'static str) -> Result<Url, CallError> {
        let text = endpoint.ok_or(CallError::NotAnnounced(member))?;
        Ok(fetch::endpoint(text, member, self.is_development)?)
    }
}

impl Call {
    /// Polls `endpoint` (RFC 8936 §2). The answer may take `timeout`; it is read up to `limit` bytes.
    pub fn poll(
        endpoint: &str,
        asked: &PollRequest,
        timeout: Duration,
        limit: usize,
        is_development: bool,
    ) -> Result<Self, EndpointError> {
        let url = fetch::endpoint(endpoint, "delivery.endpoint_url", is_development)?;
        Ok(Self { timeout: Some(timeout), limit, ..Self::new("polling", Method::POST, url) }.with(asked))
    }

    /// The request, without a token.
    pub(super) fn request(&self, http: &Http) -> RequestBuilder {
        let mut request = http.request(self.method.clone(), self.url.clone());
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        match &self.body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    /// The longest answer that is read, in bytes.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the section names this status for a success; others do well with any 2xx.
    pub(super) fn is_due(&self, status: StatusCode) -> bool {
        self.due.contains(&status)
    }

    const fn new(name: &'static str, method: Method, url: Url) -> Self {
        Self { name, method, url, body: None, timeout: None, limit: MAX_ANSWER, due: OK }
    }

    fn due(self, due: &'static [StatusCode]) -> Self {
        Self { due, ..self }
    }

    fn with(self, body: &impl Serialize) -> Self {
        let body =
            serde_json::to_value(body).expect("what is sent are objects with text members, which are always JSON");
        Self { body: Some(body), ..self }
    }
}

fn of(mut url: Url, stream: &StreamId) -> Url {
    url.query_pairs_mut().append_pair("stream_id", stream.as_str());
    url
}

const OK: &[StatusCode] = &[StatusCode::OK];
const CREATED: &[StatusCode] = &[StatusCode::CREATED];
const OK_OR_LATER: &[StatusCode] = &[StatusCode::OK, StatusCode::ACCEPTED];
const NO_CONTENT: &[StatusCode] = &[StatusCode::NO_CONTENT];
