//! One push over HTTP (RFC 8935 §2.1): what goes out, and what is read of the answer.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret as _, SecretString};
use ssf_common::protocol::SetError;
use ssf_common::set::MEDIA_TYPE;

use super::Answer;

/// Sends SETs. Keeps connections open; follows no redirect, for the receiver registered one address.
#[derive(Clone, Debug)]
pub struct Sender(reqwest::Client);

impl Sender {
    /// A sender whose attempts take at most `timeout`.
    pub fn new(timeout: Duration) -> Result<Self, SenderError> {
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout.min(CONNECT_TIMEOUT))
            .redirect(Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .pool_idle_timeout(Some(Duration::from_mins(1)))
            .user_agent(concat!("ssf-transmitter/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(SenderError)
    }

    /// One attempt.
    pub async fn send(&self, endpoint: &str, authorization: Option<&SecretString>, set: String) -> Answer {
        let mut request =
            self.0.post(endpoint).header(CONTENT_TYPE, MEDIA_TYPE).header(ACCEPT, "application/json").body(set);
        if let Some(header) = authorization {
            let Ok(mut value) = HeaderValue::from_str(header.expose_secret()) else { return Answer::Unreachable };
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        match request.send().await {
            Ok(response) => read(response).await,
            Err(error) if error.is_timeout() => Answer::TimedOut,
            Err(_) => Answer::Unreachable,
        }
    }
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for pushes could not be built")]
pub struct SenderError(#[source] reqwest::Error);

async fn read(mut response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Answer::Status { status, error: None, retry_after };
        }
        body.extend_from_slice(&chunk);
    }
    let error = if matches!(status, 400 | 413) { serde_json::from_slice::<SetError>(&body).ok() } else { None };
    Answer::Status { status, error, retry_after }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 16 * 1024;
