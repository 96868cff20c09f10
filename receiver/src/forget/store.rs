//! Removes what hangs on the keys of a subject: rows of `session`, `fact`, `withheld`, `cutoff`; `enforcement` is unlinked.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;

use crate::session::{Sid, SubjectKey};
use crate::upstream::IssuerId;

/// The keys of a subject: of its identifiers alone, and of each as a member.
pub(super) struct Named<'a> {
    pub(super) alone: &'a [SubjectKey],
    pub(super) as_member: &'a [SubjectKey],
}

impl Named<'_> {
    fn all(&self) -> Vec<SubjectKey> {
        self.alone.iter().chain(self.as_member).copied().collect()
    }
}

pub(super) async fn issuer(db: &mut PgConnection, url: &IssuerUrl) -> Result<Option<IssuerId>, sqlx::Error> {
    sqlx::query_scalar!(r#"select id as "id: IssuerId" from issuer where url = $1"#, url.as_str())
        .fetch_optional(db)
        .await
}

/// Ended ones, too: these have no row in `session_key` any more.
pub(super) async fn remove_sessions(
    db: &mut PgConnection,
    issuer: IssuerId,
    named: &Named<'_>,
) -> Result<Vec<Sid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"delete from session where issuer_id = $1 and keys && $2 returning sid as "sid: Sid""#,
        issuer as IssuerId,
        &named.all() as &[SubjectKey],
    )
    .fetch_all(db)
    .await
}

pub(super) async fn remove_facts(
    db: &mut PgConnection,
    issuer: IssuerId,
    named: &Named<'_>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from fact
         where issuer_id = $1 and exists (select from unnest($2::bytea[]) as k (key) where position(k.key in about) > 0)",
        issuer as IssuerId,
        named.alone as &[SubjectKey],
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn remove_withheld(
    db: &mut PgConnection,
    issuer: IssuerId,
    named: &Named<'_>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from withheld
         where issuer_id = $1 and exists (select from unnest($2::bytea[]) as k (key) where position(k.key in about) > 0)",
        issuer as IssuerId,
        named.alone as &[SubjectKey],
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// The evidence that a window was kept stays; whose decision it was, nobody can tell any more.
pub(super) async fn unlink(db: &mut PgConnection, issuer: IssuerId, named: &Named<'_>) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update enforcement set key = decode(repeat('00', 16), 'hex') where issuer_id = $1 and key = any($2)",
        issuer as IssuerId,
        &named.all() as &[SubjectKey],
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Those of which every register is as old as `old`, blocks among them.
pub(super) async fn remove_cutoffs(
    db: &mut PgConnection,
    issuer: IssuerId,
    named: &Named<'_>,
    old: Timestamp,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from cutoff
         where issuer_id = $1 and key = any($2)
           and greatest(revoked_before, revalidate_before, blocked_at, unblocked_at) <= $3",
        issuer as IssuerId,
        &named.all() as &[SubjectKey],
        old as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn cutoffs(db: &mut PgConnection, issuer: IssuerId, named: &Named<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from cutoff where issuer_id = $1 and key = any($2)"#,
        issuer as IssuerId,
        &named.all() as &[SubjectKey],
    )
    .fetch_one(db)
    .await
}
