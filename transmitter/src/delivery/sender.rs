//! One push over HTTP (RFC 8935 §2.1): what goes out, and what is read of the answer.

use std::time::Duration;

use http::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use ssf_common::clock::Timestamp;
use ssf_common::protocol::SetError;
use ssf_common::runtime::outgoing::{CallError, Client, Limits, Outgoing, OutgoingError, retry_after};
use ssf_common::set::MEDIA_TYPE;

use super::Answer;

/// Sends SETs. Keeps connections open; follows no redirect, for the receiver registered one address; and calls none that
/// the guard does not let through.
#[derive(Clone, Debug)]
pub struct Sender(Client);

impl Sender {
    /// A sender whose attempts take at most `timeout`, and which keeps at most `idle_per_host` idle connections to a host.
    pub fn new(outgoing: &Outgoing, timeout: Duration, idle_per_host: usize) -> Result<Self, SenderError> {
        outgoing.client(&Limits { timeout, idle_per_host }).map(Self).map_err(SenderError)
    }

    /// One attempt, begun at `now`.
    pub async fn send(
        &self,
        endpoint: &str,
        authorization: Option<&SecretString>,
        set: String,
        now: Timestamp,
    ) -> Answer {
        match self.attempt(endpoint, authorization, set).await {
            Ok(response) => read(response, now).await,
            Err(NotSent::Call(CallError::TimedOut)) => Answer::TimedOut,
            Err(NotSent::Call(CallError::Unreachable(_))) => Answer::Unreachable,
            Err(refused) => Answer::NotCalled { reason: refused.to_string() },
        }
    }

    async fn attempt(
        &self,
        endpoint: &str,
        authorization: Option<&SecretString>,
        set: String,
    ) -> Result<reqwest::Response, NotSent> {
        let request = self.0.request(Method::POST, endpoint)?;
        let mut request = request.header(CONTENT_TYPE, MEDIA_TYPE).header(ACCEPT, "application/json").body(set);
        if let Some(header) = authorization {
            let mut value = HeaderValue::from_str(header.expose_secret()).map_err(|_| NotSent::Header)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        Ok(Client::send(request).await?)
    }
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for pushes could not be built")]
pub struct SenderError(#[source] OutgoingError);

/// Why there is no answer. The texts name neither address nor header.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the authorization header cannot be sent")]
    Header,
}

async fn read(response: reqwest::Response, now: Timestamp) -> Answer {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers(), now);
    let is_error = matches!(status, 400 | 413);
    // the status says all but the error; the rest of the body is read only so that the connection can be used again
    let patience = if is_error { MAX_READING } else { MAX_DRAINING };
    let body = tokio::time::timeout(patience, Client::body(response, MAX_ANSWER)).await.ok().flatten();
    let error = body.filter(|_| is_error).and_then(|body| serde_json::from_slice::<SetError>(&body).ok());
    Answer::Status { status, error, retry_after }
}

const MAX_ANSWER: usize = 16 * 1024;
const MAX_READING: Duration = Duration::from_secs(5);
const MAX_DRAINING: Duration = Duration::from_millis(500);
