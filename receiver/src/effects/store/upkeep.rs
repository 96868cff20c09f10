//! SQL of giving up and forgetting.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

/// Makes dead letters of up to `limit` callbacks that waited since before `born_before` and are in nobody's hands;
/// returns how many.
pub(in crate::effects) async fn bury(
    db: &mut PgConnection,
    born_before: Timestamp,
    now: Timestamp,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let buried = sqlx::query!(
        r#"with old as (
               select target, position from callback
               where born_at < $1 and (lease_id is null or due_at <= $2)
               order by born_at limit $3
               for update skip locked
           ), gone as (
               delete from callback c using old where c.position = old.position and c.target = old.target
               returning c.*
           )
           insert into callback_dead (target, position, sid, attempts, born_at, died_at, trouble)
           select target, position, sid, attempts, born_at, $2, coalesce(trouble, 'it was never sent') from gone
           on conflict do nothing"#,
        born_before as Timestamp,
        now as Timestamp,
        limit,
    )
    .execute(db)
    .await?;
    Ok(buried.rows_affected())
}

/// Forgets up to `limit` effects made before `made_before`, the oldest first, with their dead letters. An effect that
/// still waits to be told ends it. Returns how many.
pub(in crate::effects) async fn forget(
    db: &mut PgConnection,
    made_before: Timestamp,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let forgotten = sqlx::query_scalar!(
        r#"with old as (
               select e.position, e.made_at < $1
                      and not exists (select from callback c where c.position = e.position) as is_over
               from (select position, made_at from effect order by position limit $2) e
           ), over as (
               -- the first that is not over keeps those after it: what is left has no holes
               select position from old
               where is_over and position < coalesce((select min(position) from old where not is_over), position + 1)
           ), dead as (
               delete from callback_dead where position = any (array(select position from over))
           ), gone as (
               delete from effect where position = any (array(select position from over)) returning position
           )
           update effect_feed set forgotten = greatest(forgotten, (select max(position) from gone))
           where exists (select from gone)
           returning (select count(*) from gone) as "gone!""#,
        made_before as Timestamp,
        limit,
    )
    .fetch_optional(db)
    .await?;
    Ok(forgotten.and_then(|gone| u64::try_from(gone).ok()).unwrap_or(0))
}
