//! The partitions of `received_set`.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

/// Makes sure that there is a partition for the day (UTC) of this time.
pub(in crate::inbox) async fn ensure_day(db: &mut PgConnection, of: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!(
        r#"select ensure_received_set_day(($1::timestamptz at time zone 'UTC')::date)::text as "done!""#,
        of as Timestamp,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}
