//! `upstream_lease`: one process at a time looks after an upstream.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::upstream::UpstreamId;
use crate::upstream::lease::ProcessId;

/// Takes the lease, or prolongs it, unless another process holds one that has not ended. Says whether it is ours.
pub(in crate::upstream) async fn take(
    db: &mut PgConnection,
    id: UpstreamId,
    holder: ProcessId,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query!(
        "insert into upstream_lease as l (upstream_id, holder, until) values ($1, $2, $4)
         on conflict (upstream_id) do update set holder = excluded.holder, until = excluded.until
         where l.holder = excluded.holder or l.until <= $3",
        id as UpstreamId,
        holder as ProcessId,
        now as Timestamp,
        until as Timestamp,
    );
    Ok(taken.execute(db).await?.rows_affected() == 1)
}

/// Gives back what this process holds, and wakes those who wait for it.
pub async fn release(db: &mut PgConnection, holder: ProcessId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with given as (delete from upstream_lease where holder = $1 returning upstream_id)
         select pg_notify('ssf_upstream', '') from (select count(*) as leases from given) as counted where leases > 0",
        holder as ProcessId,
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}
