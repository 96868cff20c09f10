//! SQL of how streams are signed.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::jwks::Algorithm;

use crate::client::ClientKey;
use crate::issuer::IssuerId;
use crate::stream::StreamKey;

/// How new streams of a client are signed, if it has an algorithm of its own.
pub(crate) async fn of_client(conn: &mut PgConnection, client: ClientKey) -> sqlx::Result<Option<Algorithm>> {
    let own = sqlx::query_scalar!("select algorithm from client where id = $1", client as _);
    Ok(own.fetch_optional(conn).await?.flatten().as_deref().map(known))
}

/// Gives a client an algorithm of its own for its new streams.
pub(crate) async fn set_for_client(
    conn: &mut PgConnection,
    client: ClientKey,
    algorithm: Option<Algorithm>,
) -> sqlx::Result<()> {
    let own = algorithm.map(Algorithm::as_str);
    sqlx::query!("update client set algorithm = $2 where id = $1", client as _, own).execute(conn).await?;
    Ok(())
}

/// Has a stream signed with `algorithm`: from now on if there `is_active` key for it, else when there is one. `false` if
/// the issuer has no such stream.
pub(crate) async fn set(
    conn: &mut PgConnection,
    issuer: IssuerId,
    stream: StreamKey,
    algorithm: Algorithm,
    is_active: bool,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update stream set algorithm = case when $4 then $3 else algorithm end,
                algorithm_wanted = case when $4 then null else nullif($3, algorithm) end, updated_at = $5
          where id = $2 and issuer_id = $1",
        issuer as _,
        stream as _,
        algorithm.as_str(),
        is_active,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn known(algorithm: &str) -> Algorithm {
    algorithm.parse().expect("a CHECK allows only the four algorithms")
}
