//! SQL of signing keys.

use serde_json::Value;
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::KeyId;
use ssf_common::jwks::Algorithm;

use super::SigningKeyId;
use crate::issuer::IssuerId;

/// A key's row.
pub(crate) struct KeyRow {
    pub(crate) issuer: IssuerId,
    pub(crate) kid: KeyId,
    pub(crate) algorithm: String,
    pub(crate) state: String,
    pub(crate) public_jwk: Value,
    pub(crate) private_jwk_sealed: Vec<u8>,
}

/// All keys of these issuers, oldest first.
pub(crate) async fn of_issuers(conn: &mut PgConnection, issuers: &[IssuerId]) -> sqlx::Result<Vec<KeyRow>> {
    sqlx::query_as!(
        KeyRow,
        r#"select issuer_id as "issuer: IssuerId", kid as "kid: KeyId", algorithm, state, public_jwk, private_jwk_sealed
             from signing_key where issuer_id = any($1) order by created_at, kid"#,
        issuers as _,
    )
    .fetch_all(conn)
    .await
}

/// The public halves of all keys of an issuer, oldest first.
pub(crate) async fn published(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<Vec<Value>> {
    let keys = sqlx::query_scalar!(
        "select public_jwk from signing_key where issuer_id = $1 order by created_at, kid",
        issuer as _
    );
    keys.fetch_all(conn).await
}

/// A key to be kept.
pub(crate) struct NewKey<'a> {
    pub(crate) id: SigningKeyId,
    pub(crate) kid: &'a KeyId,
    pub(crate) algorithm: Algorithm,
    pub(crate) public_jwk: &'a Value,
    pub(crate) private_jwk_sealed: &'a [u8],
}

/// A new key, active at once if the issuer has none active for this algorithm; otherwise nothing happens (another
/// process was first). Returns whether it was taken.
pub(crate) async fn insert_active(
    conn: &mut PgConnection,
    issuer: IssuerId,
    key: &NewKey<'_>,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into signing_key (id, issuer_id, kid, algorithm, state, public_jwk, private_jwk_sealed, created_at, activated_at)
         values ($1, $2, $3, $4, 'active', $5, $6, $7, $7) on conflict do nothing",
        key.id as _,
        issuer as _,
        key.kid as _,
        key.algorithm.as_str(),
        key.public_jwk,
        key.private_jwk_sealed,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
