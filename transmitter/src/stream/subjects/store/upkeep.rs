//! SQL that forgets subjects whose grace has passed.

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
        "update stream_subject set included_until = null
          where stream_id = $1 and included_until < 'infinity' and included_until <= $2 and excluded_from is not null",
        stream as _,
        now as _,
    )
    .execute(&mut *conn)
    .await?;
    let gone = sqlx::query_scalar!(
        r#"with ended as (
               select digest from stream_subject
                where included_until < 'infinity' and included_until <= $2 and stream_id = $1 limit $3
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
