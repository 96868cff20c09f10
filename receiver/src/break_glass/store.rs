//! The table `break_glass`.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;

use super::Opening;

/// What is to be opened.
pub(super) struct New<'a> {
    pub(super) until: Timestamp,
    pub(super) opened_by: &'a str,
    pub(super) reason: &'a str,
}

/// `false`: nobody listens to the issuer.
pub(super) async fn open(
    db: &mut PgConnection,
    issuer: &IssuerUrl,
    new: &New<'_>,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into break_glass (issuer_id, opened_at, until, opened_by, reason)
         select i.id, $2, $3, $4, $5 from issuer i
         where i.url = $1 and exists (select from upstream u where u.issuer_id = i.id and u.removed_at is null)",
        issuer.as_str(),
        now as Timestamp,
        new.until as Timestamp,
        new.opened_by,
        new.reason,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends whatever is open; says how much was.
pub(super) async fn close(
    db: &mut PgConnection,
    issuer: &IssuerUrl,
    closed_by: &str,
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update break_glass set closed_at = $2, closed_by = $3
         where closed_at is null and until > $2 and issuer_id = (select id from issuer where url = $1)",
        issuer.as_str(),
        now as Timestamp,
        closed_by,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn list(db: &mut PgConnection, now: Timestamp, limit: i64) -> Result<Vec<Opening>, sqlx::Error> {
    sqlx::query_as!(
        Opening,
        r#"select i.url as "issuer: IssuerUrl", b.opened_at as "opened_at: Timestamp", b.until as "until: Timestamp",
                  b.opened_by, b.reason, b.closed_at as "closed_at: Timestamp", b.closed_by,
                  (b.closed_at is null and b.until > $1) as "is_open!"
           from break_glass b join issuer i on i.id = b.issuer_id
           order by b.id desc limit $2"#,
        now as Timestamp,
        limit,
    )
    .fetch_all(db)
    .await
}
