//! SQL of calling back: taking, settling, and the state of targets.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::{IssuerUrl, Jti, Txn};

use super::change;
use crate::effects::{Effect, EffectId, LeaseId};
use crate::session::Sid;

/// A callback that may be sent now, by whoever holds it.
#[derive(Clone, Debug)]
pub(in crate::effects) struct Taken {
    pub(in crate::effects) effect: Effect,
    /// With this one.
    pub(in crate::effects) attempts: i32,
}

/// Writes down which targets there are; those that are in no settings any more get nothing new.
pub(in crate::effects) async fn name_targets(
    db: &mut PgConnection,
    targets: &[(&str, &[String])],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let names: Vec<&str> = targets.iter().map(|(name, _)| *name).collect();
    for (name, changes) in targets {
        sqlx::query!(
            "insert into effect_target (name, changes) values ($1, $2)
             on conflict (name) do update set changes = excluded.changes, removed_at = null",
            name,
            changes,
        )
        .execute(&mut *db)
        .await?;
    }
    sqlx::query!(
        "update effect_target set removed_at = $2 where removed_at is null and name <> all ($1)",
        &names as &[&str],
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes up to `room` callbacks of a target that are due, never one whose session has an earlier one there. While its
/// breaker is open only one is taken, once it is time to probe, and only by a process that has none on its way.
pub(in crate::effects) async fn take(
    db: &mut PgConnection,
    target: &str,
    (room, in_flight): (i64, i64),
    lease: LeaseId,
    now: Timestamp,
    lease_ends: Timestamp,
) -> Result<Vec<Taken>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with free as (
               select case when failures = 0 then $2::int8 when retry_at <= $4 and $3::int8 = 0 then 1 else 0 end as rows
               from effect_target where name = $1
           ), due as (
               select c.position from callback c
               where c.target = $1 and c.due_at <= $4
                 and not exists (
                     select from callback e where e.target = $1 and e.sid = c.sid and e.position < c.position
                 )
               -- those tried least first: one that is always refused is in nobody's way
               order by c.attempts, c.position
               limit (select rows from free)
               for update of c skip locked
           ), taken as (
               update callback c set lease_id = $5, due_at = $6, attempts = c.attempts + 1
               where c.target = $1 and c.position = any (array(select position from due))
               returning c.position, c.attempts
           )
           select t.attempts, e.position, e.id as "id: EffectId", e.sid as "sid: Sid", e.issuer as "issuer: IssuerUrl",
                  e.change, e.reason, e.event_type, e.jti as "jti: Jti", e.txn as "txn: Txn", e.decided_at,
                  e.received_at, e.made_at, e.feed_seq
           from taken t cross join lateral (select * from effect where effect.position = t.position offset 0) e"#,
        target,
        room,
        in_flight,
        now as Timestamp,
        lease as LeaseId,
        lease_ends as Timestamp,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let effect = Effect {
                id: row.id,
                position: row.position,
                sid: row.sid,
                issuer: row.issuer,
                change: change(&row.change)?,
                reason: row.reason,
                event_type: row.event_type,
                jti: row.jti,
                txn: row.txn,
                decided_at: row.decided_at,
                received_at: row.received_at,
                made_at: row.made_at,
                feed_seq: row.feed_seq,
            };
            Ok(Taken { effect, attempts: row.attempts })
        })
        .collect()
}

/// The target has it. `false`: the lease is another's by now.
pub(in crate::effects) async fn taken(
    db: &mut PgConnection,
    target: &str,
    position: i64,
    lease: LeaseId,
    now: Timestamp,
    a_moment_ago: Timestamp,
) -> Result<bool, sqlx::Error> {
    let gone = sqlx::query!(
        r#"with gone as (
               delete from callback where target = $1 and position = $2 and lease_id = $3 returning position
           ), well as (
               -- one row per target: it is written when something changes, and once a second, not by every callback
               update effect_target
               set failures = 0, retry_at = null, trouble = null, trouble_at = null, last_success_at = $4
               where name = $1
                 and (failures > 0 or trouble is not null or last_success_at is null or last_success_at < $5)
           )
           select count(*) as "gone!" from gone"#,
        target,
        position,
        lease as LeaseId,
        now as Timestamp,
        a_moment_ago as Timestamp,
    )
    .fetch_one(db)
    .await?;
    Ok(gone.gone == 1)
}

/// The target is there and did not take it: it comes again later, its session's later ones wait for it.
/// `false`: the lease is another's by now.
pub(in crate::effects) async fn refused(
    db: &mut PgConnection,
    target: &str,
    position: i64,
    lease: LeaseId,
    trouble: &str,
    (now, due_at): (Timestamp, Timestamp),
) -> Result<bool, sqlx::Error> {
    let put_off = sqlx::query!(
        r#"with put_off as (
               update callback set lease_id = null, due_at = $5, trouble = $4
               where target = $1 and position = $2 and lease_id = $3
               returning position
           ), there as (
               update effect_target set failures = 0, retry_at = null, trouble = $4, trouble_at = $6 where name = $1
           )
           select count(*) as "put_off!" from put_off"#,
        target,
        position,
        lease as LeaseId,
        trouble,
        due_at as Timestamp,
        now as Timestamp,
    )
    .fetch_one(db)
    .await?;
    Ok(put_off.put_off == 1)
}

/// The target is not well: its breaker opens, or stays open. Returns how often that was so in a row.
///
/// Callbacks that fail together count once: an attempt that began before the last failure was noted adds none. `None`: the
/// lease is another's by now, and what it has to say of the target is news of the past.
pub(in crate::effects) async fn failed(
    db: &mut PgConnection,
    target: &str,
    (position, lease): (i64, LeaseId),
    began_at: Timestamp,
    trouble: &str,
    now: Timestamp,
) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update effect_target
           set failures = case when failures > 0 and trouble_at >= $2 then failures else failures + 1 end,
               retry_at = greatest(retry_at, $4), trouble = $3, trouble_at = $4
           where name = $1
             and exists (select from callback where target = $1 and position = $5 and lease_id = $6)
           returning failures"#,
        target,
        began_at as Timestamp,
        trouble,
        now as Timestamp,
        position,
        lease as LeaseId,
    )
    .fetch_optional(db)
    .await
}

/// When an open breaker lets the next one through, and when the callback that failed is due again.
pub(in crate::effects) async fn put_off(
    db: &mut PgConnection,
    target: &str,
    position: i64,
    lease: LeaseId,
    trouble: &str,
    (retry_at, due_at): (Timestamp, Timestamp),
) -> Result<bool, sqlx::Error> {
    let put_off = sqlx::query!(
        r#"with put_off as (
               update callback set lease_id = null, due_at = $5, trouble = $4
               where target = $1 and position = $2 and lease_id = $3
               returning position
           ), probing as (
               update effect_target set retry_at = greatest(retry_at, $6) where name = $1 and failures > 0
           )
           select count(*) as "put_off!" from put_off"#,
        target,
        position,
        lease as LeaseId,
        trouble,
        due_at as Timestamp,
        retry_at as Timestamp,
    )
    .fetch_one(db)
    .await?;
    Ok(put_off.put_off == 1)
}
