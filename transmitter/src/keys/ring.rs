//! The keys of one issuer, opened once and shared: what signs, and what is published.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::PgConnection;
use ssf_common::jwks::{Algorithm, KeyError, SigningKey};
use ssf_common::runtime::Env;

use super::{SealError, SealingKey, SigningKeyId, store};
use crate::issuer::{Issuer, IssuerId};

/// The active signing keys of an issuer and its published set, as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    active: SigningKeys,
    published: Vec<Value>,
}

impl KeyRing {
    /// Reads the keys of every issuer in `issuers`. Keys that `known` holds already are not opened again: opening one
    /// costs about as much as signing with it.
    pub(crate) async fn read(
        conn: &mut PgConnection,
        issuers: &[IssuerId],
        sealing: &SealingKey,
        known: &HashMap<IssuerId, Arc<SigningKeys>>,
    ) -> Result<HashMap<IssuerId, Self>, KeyRingError> {
        let mut rings: HashMap<IssuerId, Self> = HashMap::new();
        for row in store::of_issuers(conn, issuers).await? {
            let ring = rings.entry(row.issuer).or_default();
            ring.published.push(row.public_jwk);
            if row.state != "active" {
                continue;
            }
            let held = known.get(&row.issuer).and_then(|keys| keys.values().find(|key| *key.key_id() == row.kid));
            let key = if let Some(key) = held {
                Arc::clone(key)
            } else {
                let opened = sealing.open(&row.private_jwk_sealed, &place(row.kid.as_str()))?;
                Arc::new(SigningKey::from_private_jwk(&opened)?)
            };
            ring.active.insert(key.algorithm(), key);
        }
        Ok(rings)
    }

    /// The key that signs with `algorithm`.
    pub fn signer(&self, algorithm: Algorithm) -> Option<&Arc<SigningKey>> {
        self.active.get(&algorithm)
    }

    /// All that sign.
    pub const fn active(&self) -> &SigningKeys {
        &self.active
    }

    /// The JWK set (RFC 7517 §5): public members only.
    pub fn published(&self) -> Value {
        json!({"keys": self.published})
    }
}

/// Active keys by what they sign with.
pub type SigningKeys = HashMap<Algorithm, Arc<SigningKey>>;

/// Makes an active key for each of `algorithms` for which the issuer has none. Two processes that start together agree:
/// the database takes one key, both use it. A key is in the published set before it signs, because a ring is read whole
/// after this commits and the JWKS endpoint answers from the same table.
pub(crate) async fn ensure_active(
    conn: &mut PgConnection,
    issuer: &Issuer,
    algorithms: &[Algorithm],
    sealing: &SealingKey,
    env: &Env,
) -> Result<(), KeyRingError> {
    let rows = store::of_issuers(&mut *conn, &[issuer.id]).await?;
    for algorithm in algorithms {
        if !rows.iter().any(|row| row.state == "active" && row.algorithm == algorithm.as_str()) {
            make(&mut *conn, issuer, *algorithm, sealing, env).await?;
        }
    }
    Ok(())
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

async fn make(
    conn: &mut PgConnection,
    issuer: &Issuer,
    algorithm: Algorithm,
    sealing: &SealingKey,
    env: &Env,
) -> Result<(), KeyRingError> {
    let key = SigningKey::generate(algorithm)?;
    let private = key.to_private_jwk();
    let private = secrecy::ExposeSecret::expose_secret(&private).as_bytes();
    let sealed = sealing.seal(private, &place(key.key_id().as_str()), &*env.random)?;
    let now = env.clock.now();
    let new = store::NewKey {
        id: SigningKeyId::new(now, &*env.random),
        kid: key.key_id(),
        algorithm,
        public_jwk: key.public_jwk(),
        private_jwk_sealed: &sealed,
    };
    let taken = store::insert_active(conn, issuer.id, &new, now).await?;
    if taken {
        tracing::info!(key.id = %key.key_id(), key.algorithm = %algorithm, "made a signing key");
    }
    Ok(())
}

fn place(kid: &str) -> String {
    format!("signing_key:{kid}")
}
