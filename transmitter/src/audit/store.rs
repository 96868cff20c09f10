//! SQL of the audit log.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::Entry;
use crate::issuer::IssuerId;

/// The issuer's last entry (its place and hash). Until the transaction ends nobody else appends to this issuer's log.
pub(crate) async fn lock_last(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<Option<(i64, Vec<u8>)>> {
    // a statement of its own: the next one must see what was committed while this waited
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtext('ssf_transmitter.audit'), hashtext(current_schema || ($1::uuid)::text))",
        issuer as _
    )
    .execute(&mut *conn)
    .await?;
    let last = sqlx::query!("select seq, hash from audit where issuer_id = $1 order by seq desc limit 1", issuer as _);
    Ok(last.fetch_optional(conn).await?.map(|row| (row.seq, row.hash)))
}

/// Appends one entry.
pub(crate) async fn append(conn: &mut PgConnection, issuer: IssuerId, entry: &Entry) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into audit (issuer_id, seq, at, actor, action, target, details, previous, hash) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        issuer as _,
        entry.seq,
        entry.at as _,
        entry.actor,
        entry.action,
        entry.target,
        entry.details,
        entry.previous,
        entry.hash,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Entries after place `after`, in order, at most `limit`.
pub(crate) async fn page(
    conn: &mut PgConnection,
    issuer: IssuerId,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Entry>> {
    sqlx::query_as!(
        Entry,
        r#"select seq, at as "at: Timestamp", actor, action, target, details, previous, hash
             from audit where issuer_id = $1 and seq > $2 order by seq limit $3"#,
        issuer as _,
        after,
        limit,
    )
    .fetch_all(conn)
    .await
}
