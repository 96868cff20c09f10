//! One callback over HTTP: what goes out, and what is read of the answer.

use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::json;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::outgoing::{CallError, Client, Limits, Outgoing, OutgoingError, retry_after};
use ssf_common::runtime::webhook::{Secret, headers};

use super::Effect;
use super::answer::Answer;

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
        let body = body(effect);
        let request = self.client.request(Method::POST, &self.url)?.header(CONTENT_TYPE, "application/json");
        let signed = headers(&self.secrets, &effect.id.to_string(), now, body.as_bytes());
        let request = signed.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        Client::send(request.body(body)).await
    }
}

/// What the application reads.
fn body(effect: &Effect) -> String {
    let kind = format!("session.{}", effect.change.as_str());
    json!({"type": kind, "timestamp": effect.made_at, "data": effect}).to_string()
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
}
