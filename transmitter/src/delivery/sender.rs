//! One push over HTTP (RFC 8935 §2.1): what goes out, and what is read of the answer.

use std::time::Duration;

use http::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret as _, SecretString};
use ssf_common::clock::Timestamp;
use ssf_common::protocol::SetError;
use ssf_common::runtime::outgoing::{CallError, Client, Limits, Outgoing, OutgoingError};
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

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date, which is measured by the receiver's own clock if the answer says
/// what that shows.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let wish = text(RETRY_AFTER)?;
    if let Ok(seconds) = wish.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let theirs = text(DATE).and_then(Timestamp::from_http_date).unwrap_or(now);
    Some(Timestamp::from_http_date(wish)?.since(theirs))
}

const MAX_ANSWER: usize = 16 * 1024;
const MAX_READING: Duration = Duration::from_secs(5);
const MAX_DRAINING: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_wait_is_read_in_seconds_and_as_a_date() {
        let now = Timestamp::from_unix_seconds(784_111_777);
        let wish = |retry_after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            super::retry_after(&headers, now).map(|wish| wish.as_secs())
        };
        assert_eq!(wish(" 7 ", None), Some(7));
        assert_eq!(wish("Sun, 06 Nov 1994 08:49:47 GMT", None), Some(10), "by our clock");
        let date = Some("Sun, 06 Nov 1994 08:49:44 GMT");
        assert_eq!(wish("Sun, 06 Nov 1994 08:49:47 GMT", date), Some(3), "by theirs");
        assert_eq!(wish("Sat, 05 Nov 1994 08:49:47 GMT", None), Some(0), "the past is now");
        for garbage in ["", "soon", "-1", "1994-11-06T08:49:37Z", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(wish(garbage, None), None, "{garbage}");
        }
    }
}
