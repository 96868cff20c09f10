//! Signing keys as an operator sees them.

use serde::Serialize;
use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::id::KeyId;
use utoipa::ToSchema;

use super::page::MAX_PAGE;
use super::store::keys::{self as store, Row};
use crate::issuer::Issuer;

/// A signing key. Its public half is in the issuer's JWK set, its private half nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedKey {
    /// Key id, the RFC 7638 thumbprint.
    pub kid: KeyId,
    /// What it signs with.
    pub algorithm: String,
    /// next: published, not yet used. active: signs. retired: verifies what it signed.
    pub state: String,
    /// When it was made and published.
    pub created_at: Timestamp,
    /// When it began to sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    /// When it stopped signing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Timestamp>,
}

/// The keys of an issuer, oldest first.
pub async fn list_keys(pool: &PgPool, issuer: &Issuer) -> sqlx::Result<Vec<ListedKey>> {
    let rows = store::all(&mut *pool.acquire().await?, issuer.id, i64::from(MAX_PAGE)).await?;
    Ok(rows.into_iter().map(listed).collect())
}

fn listed(row: Row) -> ListedKey {
    ListedKey {
        kid: row.kid,
        algorithm: row.algorithm,
        state: row.state,
        created_at: row.created_at,
        activated_at: row.activated_at,
        retired_at: row.retired_at,
    }
}
