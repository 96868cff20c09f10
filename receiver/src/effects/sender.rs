//! One callback over HTTP: what goes out, and what is read of the answer.

use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use serde_json::json;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::outgoing::{CallError, Client, Limits, Outgoing, OutgoingError};

use super::Effect;
use super::answer::Answer;
use crate::signature::{ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER};

/// Where one target is, and what signs for it.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    client: Client,
    url: String,
    secrets: Vec<Secret>,
}

impl Sender {
    pub(super) fn new(
        outgoing: &Outgoing,
        limits: &Limits,
        url: &str,
        secrets: Vec<Secret>,
    ) -> Result<Self, OutgoingError> {
        Ok(Self { client: outgoing.client(limits)?, url: url.to_owned(), secrets })
    }

    /// One attempt, begun at `now`: a POST with one effect, `{"type", "timestamp", "data"}` as Standard Webhooks has it.
    pub(super) async fn send(&self, effect: &Effect, now: Timestamp) -> Answer {
        match self.attempt(effect, now).await {
            Ok(response) => {
                let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers(), now));
                // Nothing in it is of use; it is read only so that the connection can be used again.
                let _ = tokio::time::timeout(MAX_DRAINING, Client::body(response, MAX_ANSWER)).await;
                Answer::Status { status, retry_after }
            }
            Err(CallError::TimedOut) => Answer::TimedOut,
            Err(CallError::Unreachable(_)) => Answer::Unreachable,
            Err(refused) => Answer::NotCalled { reason: refused.to_string() },
        }
    }

    async fn attempt(&self, effect: &Effect, now: Timestamp) -> Result<reqwest::Response, CallError> {
        let (id, seconds, body) = (effect.id.to_string(), now.unix_seconds(), body(effect));
        let signatures: Vec<String> =
            self.secrets.iter().map(|secret| secret.sign(&id, seconds, body.as_bytes())).collect();
        let request = self.client.request(Method::POST, &self.url)?;
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .header(ID_HEADER, id)
            .header(TIMESTAMP_HEADER, seconds)
            .header(SIGNATURE_HEADER, signatures.join(" "))
            .body(body);
        Client::send(request).await
    }
}

/// What the application reads.
fn body(effect: &Effect) -> String {
    let kind = format!("session.{}", effect.change.as_str());
    json!({"type": kind, "timestamp": effect.made_at, "data": effect}).to_string()
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date, which is measured by the application's own clock if it says what
/// that shows.
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
const MAX_DRAINING: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{Change, EffectId};

    #[test]
    fn a_callback_says_what_happened_to_which_session() {
        let at = Timestamp::from_unix_seconds(1_795_000_000);
        let effect = Effect {
            id: EffectId(uuid::Uuid::from_u128(7)),
            position: 3,
            sid: "s-1".into(),
            issuer: "https://idp.example".into(),
            change: Change::Revoked,
            reason: Some("blocked".to_owned()),
            event_type: "account-disabled".to_owned(),
            jti: Some("set-1".into()),
            txn: None,
            decided_at: at,
            received_at: at,
            made_at: at,
            feed_seq: 9,
        };
        insta::assert_snapshot!(body(&effect), @r#"{"type":"session.revoked","timestamp":"2026-11-18T11:06:40Z","data":{"id":"00000000-0000-0000-0000-000000000007","position":3,"sid":"s-1","issuer":"https://idp.example","change":"revoked","reason":"blocked","event_type":"account-disabled","jti":"set-1","decided_at":"2026-11-18T11:06:40Z","received_at":"2026-11-18T11:06:40Z","made_at":"2026-11-18T11:06:40Z","feed_seq":9}}"#);
    }

    #[test]
    fn a_wish_to_wait_is_read_in_seconds_and_as_a_date() {
        let now = Timestamp::from_unix_seconds(784_111_777);
        let wish = |value: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            super::retry_after(&headers, now).map(|wish| wish.as_secs())
        };
        assert_eq!(wish("7"), Some(7));
        assert_eq!(wish("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(wish("soon"), None);
    }
}
