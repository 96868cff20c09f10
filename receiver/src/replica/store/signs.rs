//! The tables `replica` and `replica_seen`.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::replica::signs::{Run, RunId};
use crate::replica::visible::Seen;

/// A run begins under this name; says how far the last one came.
pub(in crate::replica) async fn begin(
    db: &mut PgConnection,
    name: &str,
    run_id: RunId,
    now: Timestamp,
) -> Result<Run, sqlx::Error> {
    let row = sqlx::query!(
        "insert into replica (name, run_id, started_at, seen_seq, seen_at) values ($1, $2, $3, 0, $3)
         on conflict (name) do update set run_id = excluded.run_id, started_at = excluded.started_at,
             seen_at = excluded.seen_at
         returning seen_seq, as_of",
        name,
        run_id as RunId,
        now as Timestamp,
    )
    .fetch_one(db)
    .await?;
    Ok(Run { id: run_id, started_at: now, seq_before: row.seen_seq, as_of_before: row.as_of })
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub(in crate::replica) struct Position {
    pub(in crate::replica) seq: i64,
    pub(in crate::replica) as_of: Timestamp,
    pub(in crate::replica) started_at: Timestamp,
    pub(in crate::replica) now: Timestamp,
}

/// The run lives and has come this far. `false`: the name has been taken by another run.
pub(in crate::replica) async fn note(
    db: &mut PgConnection,
    name: &str,
    run_id: RunId,
    at: &Position,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        // the row may have been removed if the process slept for a day
        "insert into replica as r (name, run_id, started_at, seen_seq, as_of, seen_at) values ($1, $2, $3, $4, $5, $6)
         on conflict (name) do update set seen_seq = excluded.seen_seq,
             as_of = greatest(r.as_of, excluded.as_of), seen_at = excluded.seen_at
         where r.run_id = excluded.run_id",
        name,
        run_id as RunId,
        at.started_at as Timestamp,
        at.seq,
        at.as_of as Timestamp,
        at.now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// When commits became visible at this replica.
pub(in crate::replica) async fn note_seen(db: &mut PgConnection, name: &str, seen: &[Seen]) -> Result<(), sqlx::Error> {
    let first: Vec<i64> = seen.iter().map(|seen| seen.first).collect();
    let last: Vec<i64> = seen.iter().map(|seen| seen.last).collect();
    let at: Vec<Timestamp> = seen.iter().map(|seen| seen.at).collect();
    sqlx::query!(
        "insert into replica_seen (replica, first_seq, last_seq, visible_at)
         select $1, seen.* from unnest($2::int8[], $3::int8[], $4::timestamptz[]) as seen
         on conflict do nothing",
        name,
        &first,
        &last,
        &at as &[Timestamp],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes what is older than this, in portions, and the replicas that were last heard of before `gone`.
pub(in crate::replica) async fn trim_seen(
    db: &mut PgConnection,
    before: Timestamp,
    gone: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from replica_seen where (replica, last_seq) in (
             select replica, last_seq from replica_seen where visible_at < $1 order by visible_at limit 1000
         )",
        before as Timestamp,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!("delete from replica where seen_at < $1", gone as Timestamp).execute(db).await?;
    Ok(())
}
