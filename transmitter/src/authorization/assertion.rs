//! Client assertions (RFC 7523 §2.2, §3): a client signs that it is who it says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ssf_common::clock::Timestamp;
use ssf_common::jwks::Algorithm;
use ssf_common::jwt::{Expected, JwtRefusal, Unverified};
use ssf_common::runtime::Env;
use url::Url;

use super::key_set::{KeySet, Place};
use super::{FetchError, Fetcher, Patience};
use crate::client::{ClientId, ClientKeys, Digest};

/// Judges assertions. Clones share the clients' published keys.
#[derive(Clone, Debug)]
pub struct Assertions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    published: Mutex<HashMap<Url, Arc<KeySet>>>,
    fetcher: Fetcher,
    patience: Patience,
    longest: Duration,
    env: Env,
}

/// What was signed: once only, until then.
#[derive(Clone, Copy, Debug)]
pub struct Assertion {
    /// Its `jti`.
    pub(crate) jti: Digest,
    /// Its `exp`.
    pub(crate) expires_at: Timestamp,
}

/// Why an assertion is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AssertionRefusal {
    /// It is not good.
    #[error(transparent)]
    Refused(#[from] JwtRefusal),
    /// The client's keys cannot be read.
    #[error("the client's jwks_uri cannot be read")]
    Keys(#[source] FetchError),
}

/// Who an assertion says it is of; nothing is proved by that.
pub(crate) fn claimed_client(assertion: &str) -> Option<ClientId> {
    let jwt = Unverified::parse(assertion, MAX_ASSERTION).ok()?;
    let (iss, sub) = (jwt.text("iss")?, jwt.text("sub")?);
    (iss == sub && !sub.is_empty()).then(|| sub.into())
}

impl Assertions {
    /// Assertions may end at most `longest` from now.
    pub fn new(fetcher: Fetcher, patience: Patience, longest: Duration, env: Env) -> Self {
        Self(Arc::new(Shared { published: Mutex::default(), fetcher, patience, longest, env }))
    }

    /// Whether `client` signed this for one of `audiences` (the issuer, the token endpoint) and for nobody else.
    pub(crate) async fn verify(
        &self,
        assertion: &str,
        client: &ClientId,
        keys: &ClientKeys,
        audiences: &[&str],
    ) -> Result<Assertion, AssertionRefusal> {
        let Shared { fetcher, patience, longest, env, .. } = &*self.0;
        let jwt = Unverified::parse(assertion, MAX_ASSERTION)?;
        let expected = Expected {
            types: &["JWT", "client-authentication+jwt"],
            untyped: true,
            algorithms: &Algorithm::ALL,
            issuer: client.as_str(),
            audiences,
            shared: false,
            longest: Some(*longest),
        };
        let keys = match keys {
            ClientKeys::Here(keys) => Arc::new(keys.verifying()),
            ClientKeys::At(url) => {
                let set = self.published(url);
                set.with(jwt.key_id(), fetcher, patience, env).await.map_err(AssertionRefusal::Keys)?
            }
        };
        let token = jwt.verify(&expected, &keys, env.now())?;
        if token.text("sub") != Some(client.as_str()) {
            return Err(JwtRefusal::Claim("sub").into());
        }
        let jti = token.text("jti").filter(|jti| !jti.is_empty()).ok_or(JwtRefusal::Claim("jti"))?;
        Ok(Assertion { jti: Digest::of(jti), expires_at: token.expires_at })
    }

    fn published(&self, url: &Url) -> Arc<KeySet> {
        let mut published = self.0.published.lock().unwrap_or_else(PoisonError::into_inner);
        if published.len() >= MAX_KEY_SETS && !published.contains_key(url) {
            published.clear();
        }
        Arc::clone(published.entry(url.clone()).or_insert_with(|| Arc::new(KeySet::new(Place::At(url.clone())))))
    }
}

const MAX_ASSERTION: usize = 16 * 1024;
const MAX_KEY_SETS: usize = 1_000;
