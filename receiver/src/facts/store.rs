//! Reads `fact`; the inbox writes it.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;

use super::Known;
use crate::session::{Sid, SubjectKey};
use crate::upstream::IssuerId;

/// The issuer and the keys of a registered session.
pub(super) async fn session(
    db: &mut PgConnection,
    sid: &Sid,
) -> Result<Option<(IssuerId, Vec<SubjectKey>)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select issuer_id as "issuer_id: IssuerId", keys as "keys: Vec<SubjectKey>"
           from session where sid = $1 and ended_at is null"#,
        sid.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.issuer_id, row.keys)))
}

/// The issuer of this URL.
pub(super) async fn issuer(db: &mut PgConnection, url: &IssuerUrl) -> Result<Option<IssuerId>, sqlx::Error> {
    sqlx::query_scalar!(r#"select id as "id: IssuerId" from issuer where url = $1"#, url.as_str())
        .fetch_optional(db)
        .await
}

/// What was told under any of these keys; of each kind and name the one that counts.
pub(super) async fn facts(
    db: &mut PgConnection,
    issuer: IssuerId,
    keys: &[SubjectKey],
) -> Result<Vec<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        r#"select distinct on (f.kind, f.name) f.kind, f.name, f.value, f.occurred_at as "occurred_at: Timestamp",
                  f.received_at as "received_at: Timestamp", f.event_type
           from unnest($2::bytea[]) as asked (key)
           cross join lateral (select * from fact where fact.issuer_id = $1 and fact.key = asked.key offset 0) f
           order by f.kind, f.name, f.occurred_at desc, f.weight desc, f.value collate "C" desc"#,
        issuer as IssuerId,
        keys as &[SubjectKey],
    )
    .fetch_all(db)
    .await
}
