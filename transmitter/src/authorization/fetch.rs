//! Calls to authorization servers and to clients' key sets: bounded in time and size, without redirects, https only.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::ACCEPT;
use reqwest::RequestBuilder;
use ssf_common::runtime::outgoing::{CallError, Client, Limits, Outgoing, OutgoingError};
use url::Url;

use crate::config::may_be_called;

/// The HTTP client of this stage. It follows no redirect, for that would carry credentials to whoever it names, uses no
/// proxy of the environment, and calls nobody whom its guard does not let through.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client,
    is_development: bool,
}

/// There is no answer that may be used.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The client could not be made.
    #[error("the HTTP client for authorization servers could not be built")]
    Client(#[from] OutgoingError),
    /// The address may not be called.
    #[error("it is not at an https URL")]
    Insecure,
    /// Nobody answered in time.
    #[error("it cannot be reached")]
    Unreachable(#[from] CallError),
    /// Another answer than 200.
    #[error("it answered with {0}")]
    Status(http::StatusCode),
    /// More than anybody has to say, or less than it began to.
    #[error("its answer is longer than {MAX_ANSWER} bytes, or broke off")]
    TooLong,
    /// Not what was asked for.
    #[error("its answer is not {0}")]
    Malformed(&'static str),
    /// It failed a moment ago, and it is too early to try again.
    #[error("it could not be read a moment ago")]
    TooEarly,
    /// Too many calls are under way.
    #[error("too many calls to it are under way")]
    Busy,
}

impl Fetcher {
    /// One whose calls take at most `timeout`; in development plain http on loopback may be called too.
    pub fn new(outgoing: &Outgoing, timeout: Duration, is_development: bool) -> Result<Self, FetchError> {
        let client = outgoing.client(&Limits { timeout, idle_per_host: IDLE_PER_HOST })?;
        Ok(Self { client, is_development })
    }

    /// Reads a document.
    pub(super) async fn get(&self, url: &Url) -> Result<Bytes, FetchError> {
        self.answer(self.request(Method::GET, url)?).await
    }

    /// Sends a form as this client (RFC 6749 §2.3.1: both halves form-encoded).
    pub(super) async fn post(
        &self,
        url: &Url,
        client: (&str, &str),
        form: &[(&str, &str)],
    ) -> Result<Bytes, FetchError> {
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let request = self.request(Method::POST, url)?;
        self.answer(request.basic_auth(encoded(client.0), Some(encoded(client.1))).form(form)).await
    }

    fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, FetchError> {
        if !may_be_called(url, self.is_development) {
            return Err(FetchError::Insecure);
        }
        Ok(self.client.request(method, url.as_str())?)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Bytes, FetchError> {
        let response = Client::send(request.header(ACCEPT, "application/json")).await?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        Client::body(response, MAX_ANSWER).await.map(Bytes::from).ok_or(FetchError::TooLong)
    }
}

/// Longer than any key set or metadata seen in the field.
const MAX_ANSWER: usize = 256 * 1024;
const IDLE_PER_HOST: usize = 4;
