//! The worker that lets keys follow each other: makes the next one ahead of time, lets it sign, takes the old one out.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgPool;
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::{Wake, Worker};

use super::plan::{Key, Rotation, due};
use super::{Change, KeyRingError, SealingKey, store};
use crate::audit::Actor;
use crate::issuer::{Defaults, Issuer, IssuerId};

/// The rotation worker. Any number of processes may run it: whoever holds an issuer's lock looks again and does what is
/// still due, all of it in one transaction.
#[derive(Debug)]
pub struct Rotator {
    pool: PgPool,
    env: Env,
    sealing: SealingKey,
    configured: Defaults,
    rotation: Rotation,
    wake: Wake,
}

impl Rotator {
    /// `wake` rings whoever reads keys in this process.
    pub const fn new(
        pool: PgPool,
        env: Env,
        sealing: SealingKey,
        configured: Defaults,
        rotation: Rotation,
        wake: Wake,
    ) -> Self {
        Self { pool, env, sealing, configured, rotation, wake }
    }

    /// One issuer, with its lock; how many steps were taken.
    async fn turn(&self, issuer: &Issuer) -> Result<usize, KeyRingError> {
        let mut tx = self.pool.begin().await?;
        let mut change = Change::begin(&mut tx, issuer, &Actor::Service, &self.sealing, &self.env).await?;
        let keys = change.keys().await?;
        let in_use = change.in_use(self.configured.with(&issuer.own).algorithm).await?;
        let steps = due(&keys, &in_use, &self.rotation, self.env.now());
        for step in &steps {
            change.take(step).await?;
        }
        change.switch_streams().await?;
        change.finish().await?;
        tx.commit().await?;
        self.wake.wake();
        Ok(steps.len())
    }
}

impl Worker for Rotator {
    const NAME: &'static str = "keys";
    type Error = KeyRingError;

    async fn tick(&self) -> Result<usize, KeyRingError> {
        let mut conn = self.pool.acquire().await?;
        let issuers = crate::issuer::store::served(&mut conn).await?;
        let ids: Vec<IssuerId> = issuers.iter().map(|issuer| issuer.id).collect();
        let mut keys: BTreeMap<IssuerId, Vec<Key>> = BTreeMap::new();
        for (issuer, key) in store::keys(&mut conn, &ids).await? {
            keys.entry(issuer).or_default().push(key);
        }
        let mut in_use: BTreeMap<IssuerId, BTreeSet<Algorithm>> = BTreeMap::new();
        for (issuer, algorithm) in store::in_use(&mut conn, &ids).await? {
            in_use.entry(issuer).or_default().insert(algorithm);
        }
        let waited_for = store::with_streams_to_switch(&mut conn, &ids).await?;
        drop(conn);
        let (mut done, mut failed) = (0, None);
        for issuer in &issuers {
            let keys = keys.remove(&issuer.id).unwrap_or_default();
            let mut in_use = in_use.remove(&issuer.id).unwrap_or_default();
            in_use.insert(self.configured.with(&issuer.own).algorithm);
            if waited_for.contains(&issuer.id) || !due(&keys, &in_use, &self.rotation, self.env.now()).is_empty() {
                // one issuer's trouble is not the others'
                match self.turn(issuer).await {
                    Ok(steps) => done += steps,
                    Err(error) => failed = Some(error),
                }
            }
        }
        failed.map_or(Ok(done), Err)
    }
}
