//! The key set a transmitter publishes, parsed once and shared by all who verify.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use ssf_common::clock::Timestamp;
use ssf_common::id::KeyId;
use ssf_common::jwks::{JwksError, VerifyingKeys};
use ssf_common::runtime::Env;
use ssf_common::set::{self, Policy, Refusal, VerifiedSet};
use tokio::sync::Mutex;
use url::Url;

use super::fetch::{FetchError, Http, MAX_ANSWER};

/// The keys of one upstream. Whoever finds a key id unknown may have the set [fetched anew](Keys::look_for), all together
/// once per cooldown: a stranger who makes up key ids cannot turn us against the transmitter.
#[derive(Debug)]
pub struct Keys {
    http: Http,
    env: Env,
    cooldown: Duration,
    present: RwLock<Arc<VerifyingKeys>>,
    fetch: Mutex<Fetched>,
}

#[derive(Debug, Default)]
struct Fetched {
    /// When somebody last looked for an unknown key.
    looked_at: Option<Timestamp>,
    /// When the set was last read.
    read_at: Option<Timestamp>,
    /// Whether the last attempt to read it failed.
    has_failed: bool,
}

/// The key set cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No answer.
    #[error("the transmitter's key set cannot be read")]
    Fetch(#[source] FetchError),
    /// Another answer than the key set.
    #[error("the transmitter's key set was answered with {0}")]
    Status(StatusCode),
    /// Not a key set.
    #[error("the transmitter's key set is not one")]
    NotAKeySet(#[source] JwksError),
    /// It could not be had a moment ago, and it is too early to try again.
    #[error("the transmitter's key set could not be read a moment ago")]
    TooEarly,
}

impl Keys {
    /// No keys yet.
    pub fn new(http: Http, env: Env, cooldown: Duration) -> Self {
        Self { http, env, cooldown, present: RwLock::default(), fetch: Mutex::default() }
    }

    /// The keys as last read.
    pub fn present(&self) -> Arc<VerifyingKeys> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// When the keys were last read, by our clock.
    pub async fn read_at(&self) -> Option<Timestamp> {
        self.fetch.lock().await.read_at
    }

    /// Reads the key set now, because it is time to.
    pub async fn refresh(&self, from: &Url) -> Result<(), KeysError> {
        let mut fetched = self.fetch.lock().await;
        self.read(&mut fetched, from).await
    }

    /// The keys, read anew if `unknown` is not among them and that was not tried within the cooldown.
    ///
    /// # Errors
    /// The key set cannot be had, so nobody can say whether the key is good: not a reason to refuse a SET.
    pub async fn look_for(&self, unknown: &KeyId, from: &Url) -> Result<Arc<VerifyingKeys>, KeysError> {
        let mut fetched = self.fetch.lock().await;
        let is_known = self.present().contains(unknown);
        let is_early = fetched.looked_at.is_some_and(|at| self.env.now() < at.plus(self.cooldown));
        // If it is known by now, somebody who waited before us had the set read.
        if !is_known && !is_early {
            fetched.looked_at = Some(self.env.now());
            self.read(&mut fetched, from).await?;
        } else if !is_known && fetched.has_failed {
            return Err(KeysError::TooEarly);
        }
        Ok(self.present())
    }

    async fn read(&self, fetched: &mut Fetched, from: &Url) -> Result<(), KeysError> {
        fetched.has_failed = true;
        let now = self.env.now();
        let answer = self.http.send(self.http.get(from.clone()), MAX_ANSWER).await.map_err(KeysError::Fetch)?;
        if !answer.status.is_success() {
            return Err(KeysError::Status(answer.status));
        }
        let keys = VerifyingKeys::parse(&answer.body).map_err(KeysError::NotAKeySet)?;
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        (fetched.read_at, fetched.has_failed) = (Some(now), false);
        Ok(())
    }
}

/// Verifies a SET with the keys at hand, and once more with those that `look_for` brings if its key is unknown.
///
/// # Errors
/// What must be known to judge it cannot be had: not a reason to refuse it.
pub async fn verified<E>(
    raw: &[u8],
    policy: &Policy,
    keys: &VerifyingKeys,
    now: Timestamp,
    look_for: impl AsyncFnOnce(&KeyId) -> Result<Arc<VerifyingKeys>, E>,
) -> Result<Result<VerifiedSet, Refusal>, E> {
    match set::verify(raw, policy, keys, now) {
        Err(Refusal::UnknownKey(key_id)) => Ok(set::verify(raw, policy, &*look_for(&key_id).await?, now)),
        verified => Ok(verified),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ssf_common::clock::ManualClock;
    use ssf_common::jwks::{Algorithm, SigningKey};
    use ssf_common::random::SeededRandom;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

    use super::*;

    async fn publishes(server: &MockServer, keys: &[&SigningKey]) {
        server.reset().await;
        let body = json!({"keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>()});
        Mock::given(matchers::any()).respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(server).await;
    }

    fn keys() -> (Keys, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_795_000_000)));
        let env = Env { clock: Arc::<ManualClock>::clone(&clock), random: Arc::new(SeededRandom::new(1)) };
        (Keys::new(Http::new(Duration::from_secs(5)).unwrap(), env, Duration::from_secs(30)), clock)
    }

    #[tokio::test]
    async fn an_unknown_key_is_looked_for_once_per_cooldown_and_by_all_together() {
        let (old, new) =
            (SigningKey::generate(Algorithm::Es256).unwrap(), SigningKey::generate(Algorithm::Es256).unwrap());
        let server = MockServer::start().await;
        publishes(&server, &[&old]).await;
        let (keys, clock) = keys();
        let from: Url = server.uri().parse().unwrap();
        let fetches = async || server.received_requests().await.unwrap().len();

        let (one, other) = tokio::join!(keys.look_for(old.key_id(), &from), keys.look_for(old.key_id(), &from));
        assert!(one.unwrap().contains(old.key_id()) && other.unwrap().contains(old.key_id()));
        assert_eq!(fetches().await, 1);

        for _ in 0..3 {
            assert!(!keys.look_for(new.key_id(), &from).await.unwrap().contains(new.key_id()));
        }
        assert_eq!(fetches().await, 1, "the cooldown holds");

        publishes(&server, &[&new]).await;
        clock.advance(Duration::from_secs(30));
        assert!(keys.look_for(new.key_id(), &from).await.unwrap().contains(new.key_id()));
        assert!(!keys.present().contains(old.key_id()), "a key that is not published any more verifies nothing");
        assert_eq!(fetches().await, 1);
    }

    #[tokio::test]
    async fn keys_that_cannot_be_read_are_no_reason_to_call_a_key_unknown() {
        let server = MockServer::start().await;
        let (keys, clock) = keys();
        let from: Url = server.uri().parse().unwrap();
        let error = keys.look_for(&"k".into(), &from).await.unwrap_err();
        assert_eq!(error.to_string(), "the transmitter's key set was answered with 404 Not Found");
        assert!(matches!(keys.look_for(&"k".into(), &from).await, Err(KeysError::TooEarly)));
        publishes(&server, &[]).await;
        clock.advance(Duration::from_secs(30));
        assert!(!keys.look_for(&"k".into(), &from).await.unwrap().contains(&"k".into()));
    }
}
