//! Issuers: the rows in whose name this service speaks.

use sqlx::PgPool;
use ssf_common::id::IssuerUrl;
use ssf_common::runtime::Env;

use crate::issuer::{Issuer, IssuerId};

/// Makes sure the issuer has a row, so that clients can be added before the first start.
pub async fn ensure_issuer(pool: &PgPool, url: &IssuerUrl, env: &Env) -> sqlx::Result<Issuer> {
    let now = env.now();
    crate::issuer::store::ensure(&mut *pool.acquire().await?, url, IssuerId::new(now, &*env.random), now).await
}

/// The issuers that have clients here, beside this one: a sign that the service was started under another name.
pub async fn other_issuers(pool: &PgPool, issuer: &Issuer) -> sqlx::Result<Vec<IssuerUrl>> {
    crate::issuer::store::others_with_clients(&mut *pool.acquire().await?, issuer.id).await
}
