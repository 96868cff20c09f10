//! Calls to authorization servers and to clients' key sets: bounded in time and size, without redirects, https only.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::ACCEPT;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use url::Url;

use crate::config::may_be_called;

/// The one HTTP client of this stage. It follows no redirect, for that would carry credentials to whoever it names, and
/// uses no proxy of the environment.
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
    Client(#[source] reqwest::Error),
    /// The address may not be called.
    #[error("it is not at an https URL")]
    Insecure,
    /// Nobody answered in time.
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// Another answer than 200.
    #[error("it answered with {0}")]
    Status(http::StatusCode),
    /// More than anybody has to say.
    #[error("its answer is longer than {MAX_ANSWER} bytes")]
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
    pub fn new(timeout: Duration, is_development: bool) -> Result<Self, FetchError> {
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .user_agent(concat!("ssf-transmitter/", env!("CARGO_PKG_VERSION")));
        Ok(Self { client: client.build().map_err(FetchError::Client)?, is_development })
    }

    /// Reads a document.
    pub(super) async fn get(&self, url: &Url) -> Result<Bytes, FetchError> {
        self.answer(url, self.client.get(url.clone())).await
    }

    /// Sends a form as this client (RFC 6749 §2.3.1: both halves form-encoded).
    pub(super) async fn post(
        &self,
        url: &Url,
        client: (&str, &str),
        form: &[(&str, &str)],
    ) -> Result<Bytes, FetchError> {
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let request = self.client.post(url.clone()).basic_auth(encoded(client.0), Some(encoded(client.1))).form(form);
        self.answer(url, request).await
    }

    async fn answer(&self, url: &Url, request: RequestBuilder) -> Result<Bytes, FetchError> {
        if !may_be_called(url, self.is_development) {
            return Err(FetchError::Insecure);
        }
        let failed = |error: reqwest::Error| FetchError::Unreachable(error.without_url());
        let mut response = request.header(ACCEPT, "application/json").send().await.map_err(failed)?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// Longer than any key set or metadata seen in the field.
const MAX_ANSWER: usize = 256 * 1024;
