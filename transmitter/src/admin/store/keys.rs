//! SQL of keys as operators see them: never a private half.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::KeyId;

use crate::issuer::IssuerId;

/// A key without its halves.
pub(crate) struct Row {
    pub(crate) kid: KeyId,
    pub(crate) algorithm: String,
    pub(crate) state: String,
    pub(crate) created_at: Timestamp,
    pub(crate) activated_at: Option<Timestamp>,
    pub(crate) retired_at: Option<Timestamp>,
}

/// The newest keys of an issuer, oldest of them first.
pub(crate) async fn all(conn: &mut PgConnection, issuer: IssuerId, limit: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select kid as "kid!: KeyId", algorithm as "algorithm!", state as "state!", created_at as "created_at!", activated_at, retired_at
             from (select * from signing_key where issuer_id = $1 order by created_at desc, kid limit $2) k order by created_at, kid"#,
        issuer as _,
        limit,
    )
    .fetch_all(conn)
    .await
}
