//! The tenants of this process, read anew whenever they change.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::{PgConnection, PgPool};
use ssf_common::clock::Clock;
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::worker::Worker;
use tokio::sync::Mutex;

use super::Endpoints;
use super::endpoints::meant;
use crate::issuer::{Defaults, Issuer, IssuerId, store};
use crate::keys::{KeyRing, KeyRingError, SealingKey, SigningKeys};

/// One issuer as it is served.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Who.
    pub issuer: Issuer,
    /// With what it signs, and what is published.
    pub ring: KeyRing,
    /// What its new streams are like.
    pub defaults: Defaults,
    /// Where its endpoints are.
    pub endpoints: Endpoints,
}

/// All tenants. Clones share them.
#[derive(Clone, Debug)]
pub struct Tenants(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    sealing: SealingKey,
    configured: Defaults,
    primary: IssuerUrl,
    clock: Arc<dyn Clock>,
    /// The primary one first.
    served: RwLock<Arc<Vec<Arc<Tenant>>>>,
    /// One reading at a time, so that an older one never replaces a newer one.
    reading: Mutex<()>,
}

impl Tenants {
    /// Reads them for the first time. `primary` is the issuer of the configuration, which wins where two could be meant.
    pub(crate) async fn open(
        pool: PgPool,
        sealing: SealingKey,
        configured: Defaults,
        primary: IssuerUrl,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeyRingError> {
        let (served, reading) = (RwLock::default(), Mutex::default());
        let tenants = Self(Arc::new(Shared { pool, sealing, configured, primary, clock, served, reading }));
        tenants.refresh().await?;
        Ok(tenants)
    }

    /// Reads issuers and keys anew. An issuer whose keys do not open is served with those it had; the error is the last
    /// such one.
    pub async fn refresh(&self) -> Result<(), KeyRingError> {
        let _one = self.0.reading.lock().await;
        let mut conn = self.0.pool.acquire().await?;
        self.refresh_on(&mut conn).await
    }

    /// The tenant of this issuer with a [fresh](KeyRing::is_fresh) ring: read anew if its time is over, or if `suits` says
    /// that something is missing. `None` if it cannot be had.
    pub async fn fresh(&self, issuer: IssuerId, suits: impl Fn(&Tenant) -> bool) -> Option<Arc<Tenant>> {
        let is_good = |tenant: &Arc<Tenant>| tenant.ring.is_fresh(self.0.clock.now()) && suits(tenant);
        if let Some(tenant) = self.of(issuer).filter(is_good) {
            return Some(tenant);
        }
        let one = self.0.reading.lock().await;
        // somebody may have read them while this waited
        if let Some(tenant) = self.of(issuer).filter(is_good) {
            return Some(tenant);
        }
        let read = match self.0.pool.acquire().await {
            Ok(mut conn) => self.refresh_on(&mut conn).await,
            Err(error) => Err(error.into()),
        };
        drop(one);
        if let Err(error) = read {
            tracing::debug!(issuer.id = %issuer, error = %error, "keys could not be read anew");
        }
        self.of(issuer).filter(is_good)
    }

    async fn refresh_on(&self, conn: &mut PgConnection) -> Result<(), KeyRingError> {
        let mut issuers = store::served(&mut *conn).await?;
        issuers.sort_by_key(|issuer| issuer.url != self.0.primary);
        let ids: Vec<IssuerId> = issuers.iter().map(|issuer| issuer.id).collect();
        let known: HashMap<IssuerId, Arc<SigningKeys>> =
            self.served().iter().map(|tenant| (tenant.issuer.id, Arc::new(tenant.ring.active().clone()))).collect();
        // before the look: a ring claims to be no newer than it is
        let now = self.0.clock.now();
        let mut rings = KeyRing::read(conn, &ids, &self.0.sealing, &known, now).await?;
        let mut failed = None;
        let served = issuers.into_iter().map(|issuer| {
            let ring = match rings.remove(&issuer.id) {
                Some(Ok(ring)) => ring,
                Some(Err(error)) => {
                    failed = Some(error);
                    self.of(issuer.id).map(|tenant| tenant.ring.clone()).unwrap_or_default()
                }
                None => KeyRing::default(),
            };
            let tenant = Tenant {
                ring,
                defaults: self.0.configured.with(&issuer.own),
                endpoints: Endpoints::of(&issuer.url),
                issuer,
            };
            Arc::new(tenant)
        });
        let served = Arc::new(served.collect::<Vec<_>>());
        *self.0.served.write().unwrap_or_else(PoisonError::into_inner) = served;
        failed.map_or(Ok(()), Err)
    }

    /// The issuer of the configuration.
    pub fn primary(&self) -> &IssuerUrl {
        &self.0.primary
    }

    /// What new streams of an issuer are like that says nothing of its own.
    pub fn configured(&self) -> Defaults {
        self.0.configured
    }

    /// All of them, the primary one first.
    pub fn served(&self) -> Arc<Vec<Arc<Tenant>>> {
        Arc::clone(&self.0.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The tenant of this issuer.
    pub fn of(&self, issuer: IssuerId) -> Option<Arc<Tenant>> {
        self.served().iter().find(|tenant| tenant.issuer.id == issuer).cloned()
    }

    /// The tenant meant by a request for `path` at `host`, and what is left of the path below it, beginning with a slash.
    pub fn at<'a>(&self, host: Option<&str>, path: &'a str) -> Option<(Arc<Tenant>, &'a str)> {
        self.meant(host, |endpoints| endpoints.below(path))
    }

    /// The tenant whose path is `path`, whole: for documents between host and path.
    pub fn with_path(&self, host: Option<&str>, path: &str) -> Option<Arc<Tenant>> {
        self.meant(host, |endpoints| (endpoints.path() == path).then_some("")).map(|(tenant, _)| tenant)
    }

    fn meant<'a>(
        &self,
        host: Option<&str>,
        rest: impl Fn(&Endpoints) -> Option<&'a str>,
    ) -> Option<(Arc<Tenant>, &'a str)> {
        let served = self.served();
        let endpoints: Vec<&Endpoints> = served.iter().map(|tenant| &tenant.endpoints).collect();
        meant(&endpoints, host, rest).map(|(at, rest)| (Arc::clone(&served[at]), rest))
    }
}

impl Worker for Tenants {
    const NAME: &'static str = "tenants";
    type Error = KeyRingError;

    async fn tick(&self) -> Result<usize, KeyRingError> {
        self.refresh().await.map(|()| 0)
    }
}
