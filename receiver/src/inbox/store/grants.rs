//! The table `wide_grant`.

use sqlx::{Connection as _, PgConnection};
use ssf_common::clock::Timestamp;

use crate::config::TenantWide;
use crate::upstream::UpstreamId;

/// Lets a decision about many people through, unless there were as many as permitted in the span before `now`. Asked
/// again for the same SET it says the same; one that was withheld stays so. Whoever asks for the same upstream at the
/// same time waits.
pub(in crate::inbox) async fn grant(
    db: &mut PgConnection,
    of: UpstreamId,
    jti: &str,
    permitted: TenantWide,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let mut tx = db.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('wide_grant', $1))", lock_of(of))
        .fetch_one(&mut *tx)
        .await?;
    let granted = sqlx::query_scalar!(
        r#"with made as (
               insert into wide_grant (upstream_id, jti, granted_at)
               select $1, $2, $3
               where (select count(*) from wide_grant where upstream_id = $1 and granted_at > $4) < $5
                 and not exists (select from withheld where upstream_id = $1 and jti = $2)
               on conflict do nothing
               returning jti
           )
           select exists (select from made)
               or exists (select from wide_grant where upstream_id = $1 and jti = $2) as "granted!""#,
        of as UpstreamId,
        jti,
        now as Timestamp,
        now.minus(permitted.per.duration()) as Timestamp,
        i64::from(permitted.limit),
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(granted)
}

/// A number for the lock; two upstreams that share one only wait for each other.
fn lock_of(UpstreamId(id): UpstreamId) -> i64 {
    let (high, low) = id.as_u64_pair();
    i64::from_be_bytes((high ^ low).to_be_bytes())
}
