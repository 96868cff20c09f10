//! One push over HTTP (RFC 8935 §2.1): what goes out, and what is read of the answer.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret as _, SecretString};
use ssf_common::clock::Timestamp;
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

    /// One attempt, begun at `now`.
    pub async fn send(
        &self,
        endpoint: &str,
        authorization: Option<&SecretString>,
        set: String,
        now: Timestamp,
    ) -> Answer {
        let mut request =
            self.0.post(endpoint).header(CONTENT_TYPE, MEDIA_TYPE).header(ACCEPT, "application/json").body(set);
        if let Some(header) = authorization {
            let Ok(mut value) = HeaderValue::from_str(header.expose_secret()) else { return Answer::Unreachable };
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        match request.send().await {
            Ok(response) => read(response, now).await,
            Err(error) if error.is_timeout() => Answer::TimedOut,
            Err(_) => Answer::Unreachable,
        }
    }
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for pushes could not be built")]
pub struct SenderError(#[source] reqwest::Error);

async fn read(mut response: reqwest::Response, now: Timestamp) -> Answer {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers(), now);
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

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 16 * 1024;

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
