//! Asking a server about a token (RFC 7662), and believing the answer for a moment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Env;
use tokio::sync::Semaphore;
use url::Url;

use super::server::Server;
use super::{FetchError, Fetcher, Grant};
use crate::client::Digest;

/// How one server is asked, and what it said last.
#[derive(Debug)]
pub(super) struct Introspection {
    endpoint: Url,
    client_id: String,
    secret: SecretString,
    /// So that a flood is not passed on.
    calls: Semaphore,
    /// The most of them about tokens that were not good lately: made-up ones leave room for the others.
    strangers: Semaphore,
    answers: Mutex<HashMap<[u8; 32], Answer>>,
}

/// What was said of a token, and until when that is believed. `None`: it is not good.
#[derive(Clone, Debug)]
struct Answer {
    grant: Option<Grant>,
    until: Timestamp,
}

impl Introspection {
    pub(super) fn new(endpoint: Url, client_id: String, secret: SecretString) -> Self {
        Self {
            endpoint,
            client_id,
            secret,
            calls: Semaphore::new(MAX_CALLS),
            strangers: Semaphore::new(MAX_CALLS / 4 * 3),
            answers: Mutex::default(),
        }
    }

    /// What the token grants here; `None` if it is not good.
    ///
    /// # Errors
    /// The server cannot be asked, so nobody can say.
    pub(super) async fn ask(
        &self,
        server: &Server,
        token: &str,
        fetcher: &Fetcher,
        believed: Duration,
        env: &Env,
    ) -> Result<Option<Grant>, FetchError> {
        let key = Digest::of(token).bytes();
        let now = env.now();
        let last = self.last(&key);
        let was_good = last.as_ref().is_some_and(|answer| answer.grant.is_some());
        if let Some(answer) = last.filter(|answer| now < answer.until) {
            return Ok(answer.grant);
        }
        let _stranger = if was_good { None } else { Some(self.strangers.try_acquire().map_err(|_| FetchError::Busy)?) };
        let _call = self.calls.try_acquire().map_err(|_| FetchError::Busy)?;
        let form = [("token", token), ("token_type_hint", "access_token")];
        let body = fetcher.post(&self.endpoint, (&self.client_id, self.secret.expose_secret()), &form).await?;
        let answer: Map<String, Value> =
            serde_json::from_slice(&body).map_err(|_| FetchError::Malformed("an answer about a token"))?;
        let is_active = answer.get("active").and_then(Value::as_bool);
        let is_active = is_active.ok_or(FetchError::Malformed("an answer about a token"))?;
        let time = |name: &str| answer.get(name).and_then(Value::as_i64).map(Timestamp::from_unix_seconds);
        let is_now = time("exp").is_none_or(|ends| now < ends) && time("nbf").is_none_or(|begins| begins <= now);
        // an issuer that is named must be this one: a server may answer for several (RFC 7662 §2.2)
        let is_its_own = answer.get("iss").is_none_or(|iss| iss.as_str() == Some(server.issuer.as_str()));
        let is_good = is_active && is_now && is_its_own && server.is_for_us(answer.get("aud"));
        let grant = if is_good { server.grant(|name| answer.get(name), time("exp")) } else { None };
        let until = now.plus(believed);
        let until = grant.as_ref().and_then(|grant| grant.expires_at).map_or(until, |ends| ends.min(until));
        self.remember(key, Answer { grant: grant.clone(), until }, now);
        Ok(grant)
    }

    fn last(&self, key: &[u8; 32]) -> Option<Answer> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn remember(&self, key: [u8; 32], answer: Answer, now: Timestamp) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MAX_ANSWERS {
            answers.retain(|_, answer| now < answer.until);
        }
        if answers.len() >= MAX_ANSWERS {
            // a flood: what is bad may be asked again, what is good is kept
            answers.retain(|_, answer| answer.grant.is_some());
        }
        if answers.len() < MAX_ANSWERS {
            answers.insert(key, answer);
        }
    }
}

/// How many answers are kept.
const MAX_ANSWERS: usize = 10_000;
/// How many calls to one server may be under way.
const MAX_CALLS: usize = 64;
