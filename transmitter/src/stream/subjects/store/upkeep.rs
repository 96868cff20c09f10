//! SQL that forgets subjects whose grace has passed, and lists whose stream is gone.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::stream::StreamKey;

/// A stream with a subject whose grace has passed.
pub(crate) async fn stream_with_ended(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<Option<StreamKey>> {
    sqlx::query_scalar!(
        r#"select stream_id as "stream: StreamKey" from stream_subject
            where included_until < 'infinity' and included_until <= $1 order by included_until limit 1"#,
        now as _,
    )
    .fetch_optional(conn)
    .await
}

/// Forgets subjects of this stream whose grace has passed, at most `limit` keys' worth, whole subjects only; those that
/// exclude something stay as exclusions. The stream's row is held until the transaction ends. Returns how many subjects
/// were tidied up.
pub(crate) async fn forget_ended(
    conn: &mut PgConnection,
    stream: StreamKey,
    now: Timestamp,
    limit: i64,
) -> sqlx::Result<u64> {
    // a statement of its own: what is counted must be what was committed while this waited
    sqlx::query!("select id from stream where id = $1 for no key update", stream as _)
        .fetch_optional(&mut *conn)
        .await?;
    let kept = sqlx::query!(
        "with ended as (
             select digest from stream_subject
              where included_until < 'infinity' and included_until <= $2 and stream_id = $1 and excluded_from is not null limit $3
         )
         update stream_subject set included_until = null
          where stream_id = $1 and digest = any (array(select digest from ended))",
        stream as _,
        now as _,
        limit,
    )
    .execute(&mut *conn)
    .await?;
    let gone = sqlx::query_scalar!(
        r#"with ended as (
               select digest from stream_subject
                where included_until < 'infinity' and included_until <= $2 and stream_id = $1 and excluded_from is null limit $3
           ), gone as (
               delete from stream_subject where stream_id = $1 and digest = any (array(select digest from ended))
               returning digest, shape
           ), counted as (
               update stream set subjects = subjects - (select count(distinct digest) from gone)::integer,
                      subject_keys = subject_keys - (select count(*) from gone)::integer
                where id = $1 and exists (select 1 from gone)
           ), of_shape as (
               select shape, count(distinct digest)::integer as subjects from gone where shape is not null group by shape
           ), fewer as (
               update stream_subject_shape h set subjects = h.subjects - o.subjects
                 from of_shape o where h.stream_id = $1 and h.shape = o.shape and h.subjects > o.subjects
           ), without as (
               delete from stream_subject_shape h using of_shape o
                where h.stream_id = $1 and h.shape = o.shape and h.subjects = o.subjects
           )
           select count(distinct digest) as "gone!" from gone"#,
        stream as _,
        now as _,
        limit,
    )
    .fetch_one(conn)
    .await?;
    Ok(kept.rows_affected() + u64::try_from(gone).unwrap_or(0))
}

/// A deleted stream whose list is still there.
pub(crate) async fn stream_left(conn: &mut PgConnection) -> sqlx::Result<Option<StreamKey>> {
    sqlx::query_scalar!(
        r#"select stream_id as "stream: StreamKey" from stream_subject_left order by stream_id limit 1 for update skip locked"#
    )
    .fetch_optional(conn)
    .await
}

/// Deletes at most `limit` keys of a deleted stream's list; returns how many.
pub(crate) async fn delete_left(conn: &mut PgConnection, stream: StreamKey, limit: i64) -> sqlx::Result<u64> {
    let gone = sqlx::query!(
        "delete from stream_subject s
          using (select stream_id, digest, key from stream_subject where stream_id = $1 order by stream_id, digest, key limit $2) old
          where s.stream_id = old.stream_id and s.digest = old.digest and s.key = old.key",
        stream as _,
        limit,
    )
    .execute(&mut *conn)
    .await?;
    if gone.rows_affected() == 0 {
        sqlx::query!("delete from stream_subject_left where stream_id = $1", stream as _).execute(conn).await?;
    }
    Ok(gone.rows_affected())
}
