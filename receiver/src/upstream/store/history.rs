//! `upstream_history`: what became of an upstream, told once and never changed.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::upstream::state::{Entry, State};
use crate::upstream::{Held, UpstreamId};

/// One line of an upstream's history.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// Its place.
    pub id: i64,
    /// When, by our clock.
    pub at: Timestamp,
    /// What.
    pub what: String,
    /// Why, safe to show.
    pub reason: Option<String>,
}

/// Appends to the history of an upstream.
pub async fn record(db: &mut PgConnection, id: UpstreamId, entries: &[Entry]) -> Result<(), sqlx::Error> {
    let whats: Vec<&str> = entries.iter().map(|entry| entry.what.as_str()).collect();
    let reasons: Vec<Option<&str>> = entries.iter().map(|entry| entry.reason.as_deref()).collect();
    let ats: Vec<Timestamp> = entries.iter().map(|entry| entry.at).collect();
    let last = sqlx::query_scalar!(
        r#"with written as (
               insert into upstream_history (upstream_id, at, what, reason)
               select $1, at, what, left(reason, 1024) from unnest($2::timestamptz[], $3::text[], $4::text[])
                   with ordinality as told (at, what, reason, place)
               order by place
               returning id
           )
           select max(id) from written"#,
        id as UpstreamId,
        &ats as &[Timestamp],
        &whats as &[&str],
        &reasons as &[Option<&str>],
    )
    .fetch_one(&mut *db)
    .await?;
    match last {
        Some(last) if last % TRIM_EVERY < 2 => trim(db, id).await,
        _ => Ok(()),
    }
}

/// Leaves the newest lines of an upstream.
async fn trim(db: &mut PgConnection, id: UpstreamId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from upstream_history
         where upstream_id = $1
           and id <= (select id from upstream_history where upstream_id = $1 order by id desc offset $2 limit 1)",
        id as UpstreamId,
        KEPT,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Up to `limit` lines of the upstream of this name before the one with this id, the newest first. `None`: there never was
/// such an upstream.
pub async fn history(
    db: &mut PgConnection,
    name: &str,
    before: i64,
    limit: i64,
) -> Result<Option<Vec<Line>>, sqlx::Error> {
    let id = sqlx::query_scalar!(r#"select id as "id: UpstreamId" from upstream where name = $1"#, name)
        .fetch_optional(&mut *db)
        .await?;
    let Some(id) = id else { return Ok(None) };
    let lines = sqlx::query_as!(
        Line,
        r#"select id, at as "at: Timestamp", what, reason from upstream_history
           where upstream_id = $1 and id < $2 order by id desc limit $3"#,
        id as UpstreamId,
        before,
        limit,
    );
    lines.fetch_all(db).await.map(Some)
}

/// The state has turned from the one that was told last, or events were lost: tells it, unless somebody else did, and
/// closes the gap if the stream flows again.
pub(in crate::upstream) async fn turn(
    db: &mut PgConnection,
    id: UpstreamId,
    held: &Held,
    to: State,
    entries: &[Entry],
    since: Timestamp,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let mut tx = sqlx::Connection::begin(db).await?;
    let done = sqlx::query!(
        "update upstream set state = $2, state_since = $4 where id = $1 and state = $3",
        id as UpstreamId,
        to.as_str(),
        held.told.as_str(),
        since as Timestamp,
    )
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 1 {
        record(&mut tx, id, entries).await?;
        close_gap(&mut tx, id, now).await?;
    }
    tx.commit().await
}

/// The stream flows again: the time in which events may have been lost becomes a gap.
async fn close_gap(db: &mut PgConnection, id: UpstreamId, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with lost as (
             select id, lost_since, lost_cause from upstream
             where id = $1 and lost_since is not null and stream_status in ('enabled', 'paused')
             for update
         ), noted as (
             insert into upstream_gap (upstream_id, since, until, cause)
             select id, least(lost_since, $2), $2, lost_cause from lost
         )
         update upstream as u set lost_since = null, lost_cause = null from lost where u.id = lost.id",
        id as UpstreamId,
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(())
}

const KEPT: i64 = 1_000;
const TRIM_EVERY: i64 = 64;
