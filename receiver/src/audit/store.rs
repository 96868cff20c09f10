//! Writes and reads `audit`.

use serde_json::json;
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::{Actor, Deed, Entry};

/// Appends one entry, in the transaction of the change itself.
pub async fn record(db: &mut PgConnection, actor: &Actor, deed: &Deed<'_>, now: Timestamp) -> Result<(), sqlx::Error> {
    let details = if deed.details.is_object() { deed.details.clone() } else { json!({}) };
    sqlx::query!(
        "insert into audit (at, actor, action, target, details) values ($1, $2, $3, $4, $5)",
        now as Timestamp,
        actor.text(),
        deed.action,
        deed.target,
        details,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Up to `limit` entries after the one with this id, in order.
pub async fn entries(db: &mut PgConnection, after: i64, limit: i64) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        r#"select id, at as "at: Timestamp", actor, action, target, details
           from audit where id > $1 order by id limit $2"#,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}
