//! HTTP towards transmitters: one request, one bounded answer. Called by discovery, tokens, keys and management calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use url::Url;

use crate::config::is_on_loopback;

/// A client that follows no redirect, for a redirect would carry credentials to whoever it names, and uses no proxy:
/// `HTTP_PROXY` and its like in the environment are not settings of ours, and over plain http (a transmitter on loopback)
/// a proxy would read tokens and SETs. Transmitters are reached directly.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    witness: Option<Arc<dyn Witness>>,
}

/// Sees every exchange as it is made, for people who want to look on. What it shows, it must mask itself.
pub trait Witness: fmt::Debug + Send + Sync {
    /// A request goes out.
    fn sending(&self, request: &reqwest::Request);
    /// Its answer has come, or will not.
    fn received(&self, answer: Result<&Answer, &FetchError>);
}

/// An answer that arrived whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// There is no answer, or none that may be read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The client could not be made.
    #[error("there is no HTTP client")]
    Client(#[source] reqwest::Error),
    /// The peer could not be talked to.
    #[error("the transmitter cannot be reached at {at}")]
    Unreachable {
        /// The URL, without credentials and query.
        at: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer did not come in time.
    #[error("the transmitter did not answer in time")]
    TimedOut,
    /// The answer is longer than anything a transmitter has to say.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// An endpoint that may not be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transmitter's `{member}` is not an https URL")]
pub struct EndpointError {
    /// The member of the metadata it came from.
    pub member: &'static str,
}

impl Http {
    /// A client whose answers come within `timeout`, unless a request says otherwise.
    pub fn new(timeout: Duration) -> Result<Self, FetchError> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(timeout)
            .connect_timeout(timeout.min(MAX_CONNECT))
            .tcp_nodelay(true)
            .user_agent(concat!("ssf-receiver/", env!("CARGO_PKG_VERSION")));
        let client = client.build().map_err(FetchError::Client)?;
        Ok(Self { client, witness: None })
    }

    /// The same, watched.
    #[must_use]
    pub fn watched_by(self, witness: Arc<dyn Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// A GET to be sent.
    pub(super) fn get(&self, url: Url) -> RequestBuilder {
        self.request(http::Method::GET, url)
    }

    /// A request to be sent.
    pub(super) fn request(&self, method: http::Method, url: Url) -> RequestBuilder {
        self.client.request(method, url).header(header::ACCEPT, "application/json")
    }

    /// Sends the request and reads an answer of at most `limit` bytes.
    pub(super) async fn send(&self, request: RequestBuilder, limit: usize) -> Result<Answer, FetchError> {
        let request = request.build().map_err(fault)?;
        if let Some(witness) = &self.witness {
            witness.sending(&request);
        }
        let answer = self.exchange(request, limit).await;
        if let Some(witness) = &self.witness {
            witness.received(answer.as_ref());
        }
        answer
    }

    async fn exchange(&self, request: reqwest::Request, limit: usize) -> Result<Answer, FetchError> {
        read(self.client.execute(request).await.map_err(fault)?, limit).await
    }
}

async fn read(mut response: reqwest::Response, limit: usize) -> Result<Answer, FetchError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(fault)? {
        if body.len() + chunk.len() > limit {
            return Err(FetchError::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), headers: response.headers().clone(), body: body.freeze() })
}

impl Answer {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// How long to wait before asking again, if the peer says so in seconds (RFC 9110 §10.2.3); at most a day.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(Duration::from_hours(24)))
    }
}

/// An endpoint the transmitter announced: https, or plain http on loopback if its issuer is so too.
pub(crate) fn endpoint(text: &str, member: &'static str, is_development: bool) -> Result<Url, EndpointError> {
    let allowed =
        |url: &Url| url.scheme() == "https" || (is_development && url.scheme() == "http" && is_on_loopback(url));
    text.parse().ok().filter(allowed).ok_or(EndpointError { member })
}

/// The URL is told as far as it cannot carry a secret.
fn fault(error: reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::TimedOut;
    }
    let at = error.url().map_or_else(|| "its endpoint".to_owned(), shown);
    FetchError::Unreachable { at, source: error.without_url() }
}

fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// Longer than the longest metadata, key set or stream list seen in the field, by far.
pub(super) const MAX_ANSWER: usize = 1024 * 1024;
const MAX_CONNECT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_cannot_be_reached_is_named_without_credentials_and_query() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://me:secret@{closed}/poll?key=secret").parse().unwrap();
        let http = Http::new(Duration::from_secs(5)).unwrap();
        let error = http.send(http.get(url), MAX_ANSWER).await.unwrap_err();
        assert_eq!(error.to_string(), format!("the transmitter cannot be reached at http://{closed}/poll"));
        assert!(!ssf_common::runtime::telemetry::chain(&error).contains("secret"));
    }
}
