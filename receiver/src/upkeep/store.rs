//! Removes rows of `cutoff`, `session`, `applied_batch`, `wide_grant` and `withheld`, and days of `received_set`.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

/// Removes up to `limit` cut-offs that are [spent](crate::cutoff::Registers::is_spent); those that somebody moves at this
/// moment are left for the next time. The trigger notes them for every process's memory.
pub(super) async fn collect_cutoffs(db: &mut PgConnection, before: Timestamp, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "with spent as materialized (
             select issuer_id, key from cutoff
             where blocked_at is null and unblocked_at is null
               and coalesce(revoked_before, '-infinity') <= $1 and coalesce(revalidate_before, '-infinity') <= $1
             limit $2
             for update skip locked
         )
         delete from cutoff using spent where cutoff.issuer_id = spent.issuer_id and cutoff.key = spent.key",
        before as Timestamp,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Makes the partitions of today and the next two days.
pub(super) async fn ensure_days(db: &mut PgConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(ensure_received_set_day(($1::timestamptz at time zone 'UTC')::date + ahead)::text) as "made!"
           from generate_series(0, 2) as ahead"#,
        now as Timestamp,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Drops the days that lie before the one of `horizon`, and the day before that: another process's clock may be behind.
pub(super) async fn drop_days(db: &mut PgConnection, horizon: Timestamp) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select drop_received_set_days(($1::timestamptz at time zone 'UTC')::date - 1) as "dropped!""#,
        horizon as Timestamp,
    )
    .fetch_one(db)
    .await
}

/// Removes up to `limit` sessions that began before `origin`, or that the application ended before `ended`.
pub(super) async fn remove_sessions(
    db: &mut PgConnection,
    origin: Timestamp,
    ended: Timestamp,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "with over as materialized (
             select sid from session
             where origin <= $1 or (ended_at is not null and ended_at <= $2)
             limit $3
             for update skip locked
         )
         delete from session using over where session.sid = over.sid",
        origin as Timestamp,
        ended as Timestamp,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Removes up to `limit` each of what belongs to SETs that were received before `horizon`, and of grants before `granted`.
/// What is withheld and not settled stays: it is for an operator to say.
pub(super) async fn trim(
    db: &mut PgConnection,
    horizon: Timestamp,
    granted: Timestamp,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    // ids of batches grow with time
    let batches = sqlx::query!(
        "delete from applied_batch
         where applied_at <= $1 and id in (select id from applied_batch order by id limit $2)",
        horizon as Timestamp,
        limit,
    )
    .execute(&mut *db)
    .await?;
    let grants =
        sqlx::query!("delete from wide_grant where granted_at <= $1", granted as Timestamp).execute(&mut *db).await?;
    let withheld = sqlx::query!(
        "delete from withheld
         where id in (select id from withheld where received_at <= $1 and state <> 'waiting' order by id limit $2)",
        horizon as Timestamp,
        limit,
    )
    .execute(db)
    .await?;
    Ok(batches.rows_affected() + grants.rows_affected() + withheld.rows_affected())
}
