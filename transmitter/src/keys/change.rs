//! A change of one issuer's keys, in the caller's transaction: what `plan` decided or the operator wants is done here,
//! one at a time per issuer, and recorded in the audit log.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::PgConnection;
use ssf_common::id::KeyId;
use ssf_common::jwks::{Algorithm, KeyError, SigningKey};
use ssf_common::runtime::Env;

use super::plan::{Key, KeyState, Step, active_of};
use super::{KeyRingError, SealingKey, SigningKeyId, place, store};
use crate::audit::{self, Actor, Deed};
use crate::issuer::{Issuer, IssuerId};

/// The right to change the keys of one issuer, until the transaction ends. Nobody else has it meanwhile, and no stream
/// is given an algorithm. [`finish`](Self::finish) writes what was done into the audit log, last of all: whoever changes a
/// stream holds it and then wants the log, and we may have to switch that stream.
pub(crate) struct Change<'a> {
    conn: &'a mut PgConnection,
    issuer: IssuerId,
    actor: &'a Actor,
    sealing: &'a SealingKey,
    env: &'a Env,
    deeds: Vec<Deed<'a>>,
}

impl<'a> Change<'a> {
    /// Waits for whoever changes them now. `conn` must be in a transaction.
    pub(crate) async fn begin(
        conn: &'a mut PgConnection,
        issuer: &Issuer,
        actor: &'a Actor,
        sealing: &'a SealingKey,
        env: &'a Env,
    ) -> sqlx::Result<Self> {
        store::lock(&mut *conn, issuer.id).await?;
        Ok(Self { conn, issuer: issuer.id, actor, sealing, env, deeds: Vec::new() })
    }

    /// The published keys, oldest first.
    pub(crate) async fn keys(&mut self) -> sqlx::Result<Vec<Key>> {
        let keys = store::keys(&mut *self.conn, &[self.issuer]).await?;
        Ok(keys.into_iter().map(|(_, key)| key).collect())
    }

    /// The algorithms somebody needs: `default`, and those of clients and streams.
    pub(crate) async fn in_use(&mut self, default: Algorithm) -> sqlx::Result<BTreeSet<Algorithm>> {
        let used = store::in_use(&mut *self.conn, &[self.issuer]).await?;
        Ok(used.into_iter().map(|(_, algorithm)| algorithm).chain([default]).collect())
    }

    /// Whether the issuer has, or ever had, a key: then somebody may have cached its key set.
    pub(crate) async fn had_any(&mut self) -> sqlx::Result<bool> {
        store::had_any(&mut *self.conn, self.issuer).await
    }

    /// Does one step.
    pub(crate) async fn take(&mut self, step: &Step) -> Result<(), KeyRingError> {
        match step {
            Step::Make(algorithm) => self.make(*algorithm).await.map(drop),
            Step::Activate(kid) => Ok(self.activate(kid).await?),
            Step::Retire(kid) => Ok(self.retire(kid).await?),
            Step::Remove(kid) => Ok(self.remove(kid).await?),
        }
    }

    /// Makes a next key of this algorithm, unless there is one; the next one there is then.
    pub(crate) async fn make(&mut self, algorithm: Algorithm) -> Result<KeyId, KeyRingError> {
        if let Some(key) = super::plan::next_of(&self.keys().await?, algorithm) {
            return Ok(key.kid.clone());
        }
        // RSA takes a tenth of a second and more
        let made = tokio::task::spawn_blocking(move || SigningKey::generate(algorithm)).await;
        let key = made.map_err(|_| KeyError::Generation)??;
        self.add(&key, "key.made").await?;
        Ok(key.key_id().clone())
    }

    /// Keeps a key as next. `false` if the issuer has, or had, one of its id, or has a next one of its algorithm.
    pub(crate) async fn add(&mut self, key: &SigningKey, action: &'static str) -> Result<bool, KeyRingError> {
        // sealed with another key than the service's, it could never be opened, and would take the others down with it
        if let Some((kid, sealed)) = store::any_sealed(&mut *self.conn, self.issuer).await? {
            self.sealing.open(&sealed, &place(&kid))?;
        }
        let sealed = key.to_private_jwk();
        let sealed = self.sealing.seal(sealed.expose_secret().as_bytes(), &place(key.key_id()), &*self.env.random)?;
        let now = self.env.now();
        let new = store::NewKey {
            id: SigningKeyId::new(now, &*self.env.random),
            kid: key.key_id(),
            algorithm: key.algorithm(),
            public_jwk: key.public_jwk(),
            private_jwk_sealed: &sealed,
        };
        if store::is_removed(&mut *self.conn, self.issuer, key.key_id()).await?
            || !store::insert(&mut *self.conn, self.issuer, &new, now).await?
        {
            return Ok(false);
        }
        self.record(action, key.key_id().to_string(), json!({"algorithm": key.algorithm()}));
        tracing::info!(key.id = %key.key_id(), key.algorithm = %key.algorithm(), "a signing key is published");
        Ok(true)
    }

    /// Lets a next key sign; the one that signed so far is retired, and streams that waited for a key of this algorithm
    /// are signed with it.
    pub(crate) async fn activate(&mut self, kid: &KeyId) -> sqlx::Result<()> {
        let keys = self.keys().await?;
        let Some(key) = keys.iter().find(|key| key.kid == *kid && key.state == KeyState::Next) else { return Ok(()) };
        if let Some(before) = active_of(&keys, key.algorithm) {
            self.retire(&before.kid).await?;
        }
        if store::activate(&mut *self.conn, self.issuer, kid, self.env.now()).await? {
            self.record("key.activated", kid.to_string(), json!({"algorithm": key.algorithm}));
            tracing::info!(key.id = %kid, key.algorithm = %key.algorithm, "a signing key signs from now on");
        }
        self.switch_streams().await
    }

    /// Ends the signing of a key.
    pub(crate) async fn retire(&mut self, kid: &KeyId) -> sqlx::Result<()> {
        if store::retire(&mut *self.conn, self.issuer, kid, self.env.now()).await? {
            self.record("key.retired", kid.to_string(), json!({}));
            tracing::info!(key.id = %kid, "a signing key signs no more and stays published");
        }
        Ok(())
    }

    /// Takes a key out of the published set and erases its private half.
    pub(crate) async fn remove(&mut self, kid: &KeyId) -> sqlx::Result<()> {
        if store::remove(&mut *self.conn, self.issuer, kid, self.env.now()).await? {
            self.record("key.removed", kid.to_string(), json!({}));
            tracing::info!(key.id = %kid, "a signing key is published no more; its private half is erased");
        }
        Ok(())
    }

    /// Signs streams as they wish, as far as there is an active key for it.
    pub(crate) async fn switch_streams(&mut self) -> sqlx::Result<()> {
        for (algorithm, streams) in store::switch_streams(&mut *self.conn, self.issuer, self.env.now()).await? {
            self.record("streams.algorithm_switched", algorithm.to_string(), json!({ "streams": streams }));
            tracing::info!(key.algorithm = %algorithm, streams, "streams are signed with the algorithm they waited for");
        }
        Ok(())
    }

    /// Records what was done, and tells every process, at commit, to read the keys anew.
    pub(crate) async fn finish(self) -> sqlx::Result<()> {
        let now = self.env.now();
        for deed in &self.deeds {
            audit::record(&mut *self.conn, self.issuer, deed, now).await?;
        }
        crate::issuer::store::ring(self.conn).await
    }

    /// The connection, for what else belongs to the same change.
    pub(crate) const fn conn(&mut self) -> &mut PgConnection {
        self.conn
    }

    /// Will be written into the audit log.
    pub(crate) fn record(&mut self, action: &'static str, target: String, details: Value) {
        self.deeds.push(Deed { actor: self.actor, action, target, details });
    }
}
