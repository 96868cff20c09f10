//! The table `refusal`.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::inbox::Refused;
use crate::upstream::UpstreamId;

/// Writes a refusal down and returns its number.
pub(in crate::inbox) async fn note_refusal(db: &mut PgConnection, refused: &Refused) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into refusal (upstream_id, refused_at, method, code, description, jti) values ($1, $2, $3, $4, $5, $6)
         returning id",
        refused.upstream_id as UpstreamId,
        refused.at as Timestamp,
        refused.method.as_str(),
        refused.code.as_str(),
        refused.description,
        refused.jti,
    )
    .fetch_one(db)
    .await
}

/// Leaves the newest `kept` refusals of an upstream.
pub(in crate::inbox) async fn trim_refusals(
    db: &mut PgConnection,
    of: UpstreamId,
    kept: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from refusal
         where upstream_id = $1
           and id <= (select id from refusal where upstream_id = $1 order by id desc offset $2 limit 1)",
        of as UpstreamId,
        kept,
    )
    .execute(db)
    .await?;
    Ok(())
}
