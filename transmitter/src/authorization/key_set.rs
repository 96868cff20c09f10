//! A published key set: read when needed, shared by all who verify, and never read faster than the cooldown allows.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use ssf_common::clock::Timestamp;
use ssf_common::id::KeyId;
use ssf_common::jwks::VerifyingKeys;
use ssf_common::protocol::well_known_path;
use ssf_common::runtime::Env;
use tokio::sync::Mutex;
use url::Url;

use super::{FetchError, Fetcher, Patience};

/// Where a key set is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Here.
    At(Url),
    /// Where this issuer's metadata say (RFC 8414 §3, OpenID Connect Discovery §4).
    OfIssuer(String),
}

/// The keys of one stranger.
#[derive(Debug)]
pub(super) struct KeySet {
    place: Place,
    present: RwLock<Present>,
    reading: Mutex<Reading>,
}

#[derive(Clone, Debug, Default)]
struct Present {
    keys: Arc<VerifyingKeys>,
    read_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Reading {
    tried_at: Option<Timestamp>,
    has_failed: bool,
    /// Where the issuer's metadata said the set is, and when they were read.
    discovered: Option<(Url, Timestamp)>,
}

impl KeySet {
    pub(super) fn new(place: Place) -> Self {
        Self { place, present: RwLock::default(), reading: Mutex::default() }
    }

    /// The keys, read anew if they are old or if `wanted` is not among them, but not faster than the cooldown.
    ///
    /// # Errors
    /// They cannot be had, so nobody can say whether a signature is good.
    pub(super) async fn with(
        &self,
        wanted: Option<&KeyId>,
        fetcher: &Fetcher,
        patience: &Patience,
        env: &Env,
    ) -> Result<Arc<VerifyingKeys>, FetchError> {
        if let Some(keys) = self.fitting(wanted, patience.refresh, env.now()) {
            return Ok(keys);
        }
        let stale = patience.refresh.saturating_add(STALE);
        let mut reading = match self.reading.try_lock() {
            Ok(reading) => reading,
            // somebody reads them: nobody waits for that who can do with those that are there
            Err(_) => match self.fitting(wanted, stale, env.now()) {
                Some(keys) => return Ok(keys),
                None => self.reading.lock().await,
            },
        };
        let now = env.now();
        // somebody who waited before us may have read them
        if let Some(keys) = self.fitting(wanted, patience.refresh, now) {
            return Ok(keys);
        }
        let is_early = reading.tried_at.is_some_and(|at| now < at.plus(patience.cooldown));
        if !is_early {
            reading.tried_at = Some(now);
            match self.read(&mut reading, fetcher, now).await {
                Ok(keys) => {
                    reading.has_failed = false;
                    let keys = Arc::new(keys);
                    let present = Present { keys: Arc::clone(&keys), read_at: Some(now) };
                    *self.present.write().unwrap_or_else(PoisonError::into_inner) = present;
                    return Ok(keys);
                }
                Err(error) => {
                    reading.has_failed = true;
                    reading.discovered = None;
                    tracing::warn!(error = %ssf_common::runtime::telemetry::chain(&error), keys.of = self.name(), "a key set cannot be read");
                    return self.fitting(wanted, stale, now).ok_or(error);
                }
            }
        }
        if reading.has_failed {
            return self.fitting(wanted, stale, now).ok_or(FetchError::TooEarly);
        }
        Ok(self.present().keys)
    }

    /// The keys as last read, if they are not older than `age` and `wanted` is among them.
    fn fitting(&self, wanted: Option<&KeyId>, age: Duration, now: Timestamp) -> Option<Arc<VerifyingKeys>> {
        let present = self.present();
        let is_young = present.read_at.is_some_and(|at| now < at.plus(age));
        (is_young && wanted.is_none_or(|key_id| present.keys.contains(key_id))).then_some(present.keys)
    }

    fn present(&self) -> Present {
        self.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(
        &self,
        reading: &mut Reading,
        fetcher: &Fetcher,
        now: Timestamp,
    ) -> Result<VerifyingKeys, FetchError> {
        let at = match (&self.place, &reading.discovered) {
            (Place::At(url), _) => url.clone(),
            (Place::OfIssuer(_), Some((url, found_at))) if now < found_at.plus(MOVED) => url.clone(),
            (Place::OfIssuer(issuer), _) => {
                let found = discover(issuer, fetcher).await?;
                reading.discovered = Some((found.clone(), now));
                found
            }
        };
        let body = fetcher.get(&at).await?;
        VerifyingKeys::parse(&body).map_err(|_| FetchError::Malformed("a JWK set"))
    }

    fn name(&self) -> &str {
        match &self.place {
            Place::At(url) => url.host_str().unwrap_or_default(),
            Place::OfIssuer(issuer) => issuer,
        }
    }
}

/// `jwks_uri` of the issuer's metadata, which must name that issuer (RFC 8414 §3.3).
async fn discover(issuer: &str, fetcher: &Fetcher) -> Result<Url, FetchError> {
    let oauth = well_known_path(&issuer.into(), "oauth-authorization-server");
    let openid = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')).parse().ok();
    let mut last = FetchError::Malformed("an issuer");
    for at in [oauth, openid].into_iter().flatten() {
        match fetcher.get(&at).await {
            Ok(body) => {
                let metadata: Value = serde_json::from_slice(&body)
                    .map_err(|_| FetchError::Malformed("authorization server metadata"))?;
                if metadata["issuer"].as_str() != Some(issuer) {
                    return Err(FetchError::Malformed("the metadata of this issuer"));
                }
                let keys_at = metadata["jwks_uri"].as_str().and_then(|uri| uri.parse().ok());
                return keys_at.ok_or(FetchError::Malformed("metadata with a jwks_uri"));
            }
            Err(error @ FetchError::Status(_)) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// How long old keys are still used when the set cannot be read anew.
const STALE: Duration = Duration::from_hours(1);
/// How long a key set is looked for where it was found; after that the metadata are read anew.
const MOVED: Duration = Duration::from_hours(24);
