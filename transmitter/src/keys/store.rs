//! SQL of signing keys, and of who uses which algorithm.

use serde_json::Value;
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::KeyId;
use ssf_common::jwks::Algorithm;

use super::SigningKeyId;
use super::plan::{Key, KeyState};
use crate::issuer::IssuerId;

/// A key's row with both halves.
pub(crate) struct KeyRow {
    pub(crate) issuer: IssuerId,
    pub(crate) kid: KeyId,
    pub(crate) state: String,
    pub(crate) public_jwk: Value,
    pub(crate) private_jwk_sealed: Vec<u8>,
}

/// All published keys of these issuers, oldest first.
pub(crate) async fn of_issuers(conn: &mut PgConnection, issuers: &[IssuerId]) -> sqlx::Result<Vec<KeyRow>> {
    sqlx::query_as!(
        KeyRow,
        r#"select issuer_id as "issuer: IssuerId", kid as "kid: KeyId", state, public_jwk, private_jwk_sealed
             from signing_key where issuer_id = any($1) order by created_at, kid"#,
        issuers as _,
    )
    .fetch_all(conn)
    .await
}

/// The public halves of all published keys of an issuer, oldest first.
pub(crate) async fn published(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<Vec<Value>> {
    let keys = sqlx::query_scalar!(
        "select public_jwk from signing_key where issuer_id = $1 order by created_at, kid",
        issuer as _
    );
    keys.fetch_all(conn).await
}

/// Where the published keys of these issuers stand, oldest first.
pub(crate) async fn keys(conn: &mut PgConnection, issuers: &[IssuerId]) -> sqlx::Result<Vec<(IssuerId, Key)>> {
    let rows = sqlx::query!(
        r#"select issuer_id as "issuer: IssuerId", kid as "kid: KeyId", algorithm, created_at, activated_at, retired_at
             from signing_key where issuer_id = any($1) order by created_at, kid"#,
        issuers as _,
    )
    .fetch_all(conn)
    .await?;
    let keys = rows.into_iter().map(|row| {
        let state = match (row.activated_at, row.retired_at) {
            (_, Some(since)) => KeyState::Retired { since },
            (Some(since), None) => KeyState::Active { since },
            (None, None) => KeyState::Next,
        };
        (row.issuer, Key { kid: row.kid, algorithm: known(&row.algorithm), state, created_at: row.created_at })
    });
    Ok(keys.collect())
}

/// The algorithms that clients and streams of these issuers have or wait for.
pub(crate) async fn in_use(conn: &mut PgConnection, issuers: &[IssuerId]) -> sqlx::Result<Vec<(IssuerId, Algorithm)>> {
    let rows = sqlx::query!(
        r#"select issuer_id as "issuer!: IssuerId", algorithm as "algorithm!" from stream where issuer_id = any($1)
           union
           select issuer_id, algorithm_wanted from stream where issuer_id = any($1) and algorithm_wanted is not null
           union
           select issuer_id, algorithm from client where issuer_id = any($1) and algorithm is not null and removed_at is null"#,
        issuers as _,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.issuer, known(&row.algorithm))).collect())
}

/// Until the transaction ends nobody else changes this issuer's keys, and no stream is given an algorithm.
pub(crate) async fn lock(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<()> {
    // a statement of its own: the next one must see what was committed while this waited
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtext('ssf_transmitter.keys'), hashtext(current_schema || ($1::uuid)::text))",
        issuer as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Until the transaction ends nobody changes this issuer's keys; others may hold them still too.
pub(crate) async fn hold(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(hashtext('ssf_transmitter.keys'), hashtext(current_schema || ($1::uuid)::text))",
        issuer as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The algorithms an issuer can sign with.
pub(crate) async fn active(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<Vec<Algorithm>> {
    let active =
        sqlx::query_scalar!("select algorithm from signing_key where issuer_id = $1 and state = 'active'", issuer as _);
    Ok(active.fetch_all(conn).await?.iter().map(|algorithm| known(algorithm)).collect())
}

/// Whether the issuer has, or ever had, a key.
pub(crate) async fn had_any(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<bool> {
    let had = sqlx::query_scalar!(
        r#"select exists (select 1 from signing_key where issuer_id = $1)
               or exists (select 1 from removed_key where issuer_id = $1) as "had!""#,
        issuer as _
    );
    had.fetch_one(conn).await
}

/// Whether the issuer once had a key of this id that is removed.
pub(crate) async fn is_removed(conn: &mut PgConnection, issuer: IssuerId, kid: &KeyId) -> sqlx::Result<bool> {
    let was = sqlx::query_scalar!(
        r#"select exists (select 1 from removed_key where issuer_id = $1 and kid = $2) as "was!""#,
        issuer as _,
        kid as _
    );
    was.fetch_one(conn).await
}

/// A sealed key: one of this issuer's if it has any, so that another's trouble is not its own.
pub(crate) async fn any_sealed(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<Option<(KeyId, Vec<u8>)>> {
    let row = sqlx::query!(
        r#"select kid as "kid: KeyId", private_jwk_sealed from signing_key order by (issuer_id = $1) desc, created_at desc limit 1"#,
        issuer as _,
    );
    Ok(row.fetch_optional(conn).await?.map(|row| (row.kid, row.private_jwk_sealed)))
}

/// A key to be kept.
pub(crate) struct NewKey<'a> {
    pub(crate) id: SigningKeyId,
    pub(crate) kid: &'a KeyId,
    pub(crate) algorithm: Algorithm,
    pub(crate) public_jwk: &'a Value,
    pub(crate) private_jwk_sealed: &'a [u8],
}

/// Keeps a key as next. `false` if the issuer has one of this id, or a next one of this algorithm.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    issuer: IssuerId,
    key: &NewKey<'_>,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into signing_key (id, issuer_id, kid, algorithm, state, public_jwk, private_jwk_sealed, created_at)
         values ($1, $2, $3, $4, 'next', $5, $6, $7) on conflict do nothing",
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

/// Ends the signing of an active key. `false` if it does not sign.
pub(crate) async fn retire(
    conn: &mut PgConnection,
    issuer: IssuerId,
    kid: &KeyId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update signing_key set state = 'retired', retired_at = $3 where issuer_id = $1 and kid = $2 and state = 'active'",
        issuer as _,
        kid as _,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets a next key sign; nothing else of its algorithm may be active. `false` if it is not next.
pub(crate) async fn activate(
    conn: &mut PgConnection,
    issuer: IssuerId,
    kid: &KeyId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update signing_key set state = 'active', activated_at = $3 where issuer_id = $1 and kid = $2 and state = 'next'",
        issuer as _,
        kid as _,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a key out of the published set; its private half is erased. `false` if it is not there.
pub(crate) async fn remove(
    conn: &mut PgConnection,
    issuer: IssuerId,
    kid: &KeyId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "with gone as (
             delete from signing_key where issuer_id = $1 and kid = $2
             returning id, issuer_id, kid, algorithm, public_jwk, created_at, activated_at, retired_at
         )
         insert into removed_key (id, issuer_id, kid, algorithm, public_jwk, created_at, activated_at, retired_at, removed_at)
         select id, issuer_id, kid, algorithm, public_jwk, created_at, activated_at, retired_at, $3 from gone",
        issuer as _,
        kid as _,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A removed key.
pub(crate) struct Removed {
    pub(crate) kid: KeyId,
    pub(crate) algorithm: Algorithm,
    pub(crate) created_at: Timestamp,
    pub(crate) gone_since: Timestamp,
}

/// The removed keys of an issuer, oldest first.
pub(crate) async fn removed(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<Vec<Removed>> {
    let rows = sqlx::query!(
        r#"select kid as "kid: KeyId", algorithm, created_at, removed_at from removed_key where issuer_id = $1 order by created_at, kid"#,
        issuer as _
    )
    .fetch_all(conn)
    .await?;
    let removed = rows.into_iter().map(|row| Removed {
        kid: row.kid,
        algorithm: known(&row.algorithm),
        created_at: row.created_at,
        gone_since: row.removed_at,
    });
    Ok(removed.collect())
}

/// The issuers with a stream whose wish for another algorithm can be met, as far as they are among these.
pub(crate) async fn with_streams_to_switch(
    conn: &mut PgConnection,
    issuers: &[IssuerId],
) -> sqlx::Result<Vec<IssuerId>> {
    sqlx::query_scalar!(
        r#"select distinct s.issuer_id as "issuer: IssuerId" from stream s
             join signing_key k on k.issuer_id = s.issuer_id and k.algorithm = s.algorithm_wanted and k.state = 'active'
            where s.issuer_id = any($1) and s.algorithm_wanted is not null"#,
        issuers as _,
    )
    .fetch_all(conn)
    .await
}

/// Signs streams as they wish, as far as there is an active key for it by now; how many, by algorithm.
pub(crate) async fn switch_streams(
    conn: &mut PgConnection,
    issuer: IssuerId,
    now: Timestamp,
) -> sqlx::Result<Vec<(Algorithm, i64)>> {
    let rows = sqlx::query!(
        r#"with switched as (
               update stream s set algorithm = s.algorithm_wanted, algorithm_wanted = null, updated_at = $2
                 from signing_key k
                where s.issuer_id = $1 and s.algorithm_wanted is not null
                  and k.issuer_id = s.issuer_id and k.algorithm = s.algorithm_wanted and k.state = 'active'
               returning s.algorithm
           )
           select algorithm, count(*) as "streams!" from switched group by algorithm"#,
        issuer as _,
        now as _,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (known(&row.algorithm), row.streams)).collect())
}

fn known(algorithm: &str) -> Algorithm {
    algorithm.parse().expect("a CHECK allows only the four algorithms")
}
