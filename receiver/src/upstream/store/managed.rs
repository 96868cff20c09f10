//! `managed_upstream`: the upstreams that were made while the service ran.

use serde_json::{Map, Value};
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::upstream::UpstreamId;

/// One of them as it is stored.
#[derive(Clone, Debug)]
pub struct ManagedRow {
    /// Its name.
    pub name: String,
    /// What its section would say, without secrets.
    pub settings: Map<String, Value>,
    /// The secrets.
    pub sealed: Option<Vec<u8>>,
    /// Counts the changes.
    pub version: i64,
}

/// All of them, by name.
pub async fn all(db: &mut PgConnection) -> Result<Vec<ManagedRow>, sqlx::Error> {
    let rows = sqlx::query!("select name, settings, sealed, version from managed_upstream order by name");
    let rows = rows.fetch_all(db).await?;
    rows.into_iter().map(|row| managed(row.name, row.settings, row.sealed, row.version)).collect()
}

/// The one of this name, kept from others until the end of the transaction.
pub(in crate::upstream) async fn find(db: &mut PgConnection, name: &str) -> Result<Option<ManagedRow>, sqlx::Error> {
    let row =
        sqlx::query!("select name, settings, sealed, version from managed_upstream where name = $1 for update", name);
    let row = row.fetch_optional(db).await?;
    row.map(|row| managed(row.name, row.settings, row.sealed, row.version)).transpose()
}

/// Writes a new one down. `false`: the name is taken.
pub(in crate::upstream) async fn insert(
    db: &mut PgConnection,
    name: &str,
    settings: &Value,
    sealed: Option<&[u8]>,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into managed_upstream (name, settings, sealed, created_at, changed_at) values ($1, $2, $3, $4, $4)
         on conflict (name) do nothing",
        name,
        settings,
        sealed,
        now as Timestamp,
    );
    let inserted = inserted.execute(&mut *db).await?.rows_affected() == 1;
    ring(db).await?;
    Ok(inserted)
}

/// Replaces what one says.
pub(in crate::upstream) async fn replace(
    db: &mut PgConnection,
    name: &str,
    settings: &Value,
    sealed: Option<&[u8]>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update managed_upstream set settings = $2, sealed = $3, version = version + 1, changed_at = $4 where name = $1",
        name,
        settings,
        sealed,
        now as Timestamp,
    )
    .execute(&mut *db)
    .await?;
    ring(db).await
}

/// Removes one. `false`: there is none.
pub(in crate::upstream) async fn delete(db: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query!("delete from managed_upstream where name = $1", name).execute(&mut *db).await?;
    ring(db).await?;
    Ok(deleted.rows_affected() == 1)
}

/// The upstream of this name is one no more: its stream is let go, what it decided stays. Its row is told, and the stream.
pub(in crate::upstream) async fn mark_removed(
    db: &mut PgConnection,
    name: &str,
    now: Timestamp,
) -> Result<Option<UpstreamId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update upstream
           set lost_since = case when stream_id is null then lost_since else coalesce(lost_since, $2) end,
               lost_cause = case when stream_id is null then lost_cause else coalesce(lost_cause, 'stream_released') end,
               stream_id = null, stream_status = 'absent', status_reason = null, status_at = null,
               status_received_at = null, status_read_at = null, poll_endpoint = null,
               verification_state = null, verification_sent_at = null, verification_asked_at = null, trouble = null, trouble_at = null,
               removed_at = $2, updated_at = $2, state = 'removed', state_since = $2
           where name = $1
           returning id as "id: UpstreamId""#,
        name,
        now as Timestamp,
    )
    .fetch_optional(db)
    .await
}

/// The upstreams that are configured nowhere any more: neither in the settings, which name `configured`, nor made while
/// running, and nobody looks after them, as a process with other settings would.
pub(in crate::upstream) async fn abandoned(
    db: &mut PgConnection,
    configured: &[&str],
    now: Timestamp,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select name from upstream u
         where removed_at is null and name <> all($1)
           and not exists (select from managed_upstream m where m.name = u.name)
           and not exists (select from upstream_lease l where l.upstream_id = u.id and l.until > $2)
         order by name",
        configured as &[&str],
        now as Timestamp,
    )
    .fetch_all(db)
    .await
}

/// Which of these upstreams count as removed.
pub(in crate::upstream) async fn removed(
    db: &mut PgConnection,
    configured: &[&str],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select name from upstream where removed_at is not null and name = any($1) order by name",
        configured as &[&str],
    )
    .fetch_all(db)
    .await
}

/// Heard when the transaction is committed.
async fn ring(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_notify('ssf_upstream', '')").fetch_one(db).await?;
    Ok(())
}

fn managed(name: String, settings: Value, sealed: Option<Vec<u8>>, version: i64) -> Result<ManagedRow, sqlx::Error> {
    match settings {
        Value::Object(settings) => Ok(ManagedRow { name, settings, sealed, version }),
        _ => Err(sqlx::Error::Decode("the settings of a managed upstream are not an object".into())),
    }
}
