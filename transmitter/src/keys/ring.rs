//! The keys of one issuer, opened once and shared: what signs, and what is published.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::jwks::{Algorithm, KeyError, SigningKey};
use ssf_common::runtime::Env;

use super::plan::{active_of, next_of};
use super::{Change, SealError, SealingKey, place, store};
use crate::audit::Actor;
use crate::config::OUT_OF_TOUCH;
use crate::issuer::{Issuer, IssuerId};

/// The active signing keys of an issuer and its published set, as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    active: SigningKeys,
    published: Vec<Value>,
    read_at: Timestamp,
}

impl KeyRing {
    /// Reads the keys of every issuer in `issuers`, each for itself: a key that does not open is the trouble of its
    /// issuer only. Keys that `known` holds already are not opened again: opening one costs about as much as signing
    /// with it.
    pub(crate) async fn read(
        conn: &mut PgConnection,
        issuers: &[IssuerId],
        sealing: &SealingKey,
        known: &HashMap<IssuerId, Arc<SigningKeys>>,
        now: Timestamp,
    ) -> sqlx::Result<HashMap<IssuerId, Result<Self, KeyRingError>>> {
        let mut rows: HashMap<IssuerId, Vec<store::KeyRow>> = issuers.iter().map(|id| (*id, Vec::new())).collect();
        for row in store::of_issuers(conn, issuers).await? {
            rows.entry(row.issuer).or_default().push(row);
        }
        let rings = rows.into_iter().map(|(issuer, rows)| {
            let known = known.get(&issuer).map(Arc::as_ref);
            (issuer, Self::of(rows, sealing, known, now))
        });
        Ok(rings.collect())
    }

    fn of(
        rows: Vec<store::KeyRow>,
        sealing: &SealingKey,
        known: Option<&SigningKeys>,
        now: Timestamp,
    ) -> Result<Self, KeyRingError> {
        let mut ring = Self { read_at: now, ..Self::default() };
        for row in rows {
            ring.published.push(row.public_jwk);
            if row.state != "active" {
                continue;
            }
            let held = known.and_then(|keys| keys.values().find(|key| *key.key_id() == row.kid));
            let key = if let Some(key) = held {
                Arc::clone(key)
            } else {
                let opened = sealing.open(&row.private_jwk_sealed, &place(&row.kid))?;
                Arc::new(SigningKey::from_private_jwk(&opened)?)
            };
            ring.active.insert(key.algorithm(), key);
        }
        Ok(ring)
    }

    /// The key that signs with `algorithm`.
    pub fn signer(&self, algorithm: Algorithm) -> Option<&Arc<SigningKey>> {
        self.active.get(&algorithm)
    }

    /// All that sign.
    pub const fn active(&self) -> &SigningKeys {
        &self.active
    }

    /// Whether it was read lately enough to be signed with and published. Nobody uses what was in the table longer ago, so a
    /// key that was made, or retired, is known everywhere by then.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.read_at) <= OUT_OF_TOUCH
    }

    /// The JWK set (RFC 7517 §5): public members only.
    pub fn published(&self) -> Value {
        json!({"keys": self.published})
    }
}

/// Active keys by what they sign with.
pub type SigningKeys = HashMap<Algorithm, Arc<SigningKey>>;

/// Makes sure that the issuer has, or will have, an active key for each of `algorithms`. The very first keys of an issuer
/// sign at once, for nobody can have cached a key set yet; later ones are next keys, which the rotation lets sign when
/// they were published long enough. Processes that start together agree: one makes the key, all use it. `conn` must be in
/// a transaction.
pub(crate) async fn ensure_active(
    conn: &mut PgConnection,
    issuer: &Issuer,
    algorithms: &[Algorithm],
    sealing: &SealingKey,
    env: &Env,
) -> Result<(), KeyRingError> {
    let mut change = Change::begin(conn, issuer, &Actor::Service, sealing, env).await?;
    let is_first = !change.had_any().await?;
    let keys = change.keys().await?;
    for algorithm in algorithms {
        if active_of(&keys, *algorithm).is_none() && next_of(&keys, *algorithm).is_none() {
            let kid = change.make(*algorithm).await?;
            if is_first {
                change.activate(&kid).await?;
            }
        }
    }
    Ok(change.finish().await?)
}

/// Why an issuer's keys could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// The database did not answer.
    #[error("the signing keys could not be read from the database")]
    Database(#[from] sqlx::Error),
    /// The sealing key is not the one they were sealed with.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A key is not usable.
    #[error("a signing key is not usable")]
    Key(#[from] KeyError),
}
