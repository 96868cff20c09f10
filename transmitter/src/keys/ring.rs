//! The keys of one issuer, opened once and shared: what signs, and what is published.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::PgConnection;
use ssf_common::jwks::{Algorithm, KeyError, SigningKey};
use ssf_common::runtime::Env;

use super::{SealError, SealingKey, SigningKeyId, store};
use crate::issuer::Issuer;

/// The active signing keys of an issuer and its published set.
#[derive(Debug)]
pub struct KeyRing {
    active: HashMap<Algorithm, Arc<SigningKey>>,
    published: Value,
}

impl KeyRing {
    /// Opens the keys of `issuer`; makes an active one for each of `algorithms` where there is none. Two processes that
    /// start together agree: the database takes one key, both use it.
    ///
    /// A key is in the published set before it signs, because this ring is read whole after the insert committed and
    /// the JWKS endpoint answers from the same table.
    pub async fn open(
        conn: &mut PgConnection,
        issuer: &Issuer,
        algorithms: &[Algorithm],
        sealing: &SealingKey,
        env: &Env,
    ) -> Result<Self, KeyRingError> {
        let mut rows = store::of_issuer(conn, issuer.id).await?;
        for algorithm in algorithms {
            if !rows.iter().any(|row| row.state == "active" && row.algorithm == algorithm.as_str()) {
                make(conn, issuer, *algorithm, sealing, env).await?;
                rows = store::of_issuer(conn, issuer.id).await?;
            }
        }
        let mut active = HashMap::new();
        for row in rows.iter().filter(|row| row.state == "active") {
            let key = SigningKey::from_private_jwk(&sealing.open(&row.private_jwk_sealed, &place(row.kid.as_str()))?)?;
            active.insert(key.algorithm(), Arc::new(key));
        }
        let published = json!({"keys": rows.into_iter().map(|row| row.public_jwk).collect::<Vec<_>>()});
        Ok(Self { active, published })
    }

    /// The key that signs with `algorithm`.
    pub fn signer(&self, algorithm: Algorithm) -> Option<&Arc<SigningKey>> {
        self.active.get(&algorithm)
    }

    /// The JWK set as it was when the ring was opened (RFC 7517 §5): public members only.
    pub const fn published(&self) -> &Value {
        &self.published
    }
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
