//! SQL of looking at callbacks and sending them again, for people.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::{IssuerUrl, Jti, Txn};

use super::change;
use crate::effects::desk::{Called, Standing, TargetState};
use crate::effects::{Effect, EffectId};
use crate::session::Sid;

/// How each target stands.
pub(in crate::effects) async fn targets(db: &mut PgConnection) -> Result<Vec<TargetState>, sqlx::Error> {
    sqlx::query_as!(
        TargetState,
        r#"select t.name, t.changes, t.removed_at, t.last_success_at, t.failures, t.retry_at, t.trouble, t.trouble_at,
                  (select count(*) from callback c where c.target = t.name) as "waiting!",
                  (select min(c.born_at) from callback c where c.target = t.name) as waiting_since,
                  (select count(*) from callback_dead d where d.target = t.name) as "dead!"
           from effect_target t order by t.name"#
    )
    .fetch_all(db)
    .await
}

/// Up to `limit` callbacks of a target (of all for `None`) in a standing, after a position, in order.
pub(in crate::effects) async fn called(
    db: &mut PgConnection,
    target: Option<&str>,
    standing: Standing,
    after: i64,
    limit: i64,
) -> Result<Vec<Called>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select c.target as "target!", c.position as "position!", e.id as "id: EffectId", e.sid as "sid: Sid",
                  e.change, c.attempts as "attempts!", c.born_at as "born_at!", c.died_at, c.due_at, c.trouble
           from (
               select target, position, attempts, born_at, due_at, null::timestamptz as died_at, trouble from callback
               where $2 = 'waiting' and position > $3 and ($1::text is null or target = $1)
               union all
               select target, position, attempts, born_at, null, died_at, trouble from callback_dead
               where $2 = 'dead' and position > $3 and ($1::text is null or target = $1)
               order by position, target limit $4
           ) c cross join lateral (select * from effect where effect.position = c.position offset 0) e
           order by c.position, c.target"#,
        target,
        standing.as_str(),
        after,
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Called {
                target: row.target,
                position: row.position,
                id: row.id,
                sid: row.sid,
                change: change(&row.change)?,
                standing,
                attempts: row.attempts,
                born_at: row.born_at,
                due_at: row.due_at,
                died_at: row.died_at,
                trouble: row.trouble,
            })
        })
        .collect()
}

/// One effect.
pub(in crate::effects) async fn effect(db: &mut PgConnection, id: EffectId) -> Result<Option<Effect>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select position, id as "id: EffectId", sid as "sid: Sid", issuer as "issuer: IssuerUrl", change, reason,
                  event_type, jti as "jti: Jti", txn as "txn: Txn", decided_at, received_at, made_at, feed_seq
           from effect where id = $1"#,
        id as EffectId,
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Effect {
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
        })
    })
    .transpose()
}

/// Where one effect stands at each target that has not taken it.
pub(in crate::effects) async fn of_effect(db: &mut PgConnection, effect: &Effect) -> Result<Vec<Called>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select target as "target!", attempts as "attempts!", born_at as "born_at!", due_at, null::timestamptz as died_at,
                  trouble
           from callback where position = $1
           union all
           select target, attempts, born_at, null, died_at, trouble from callback_dead where position = $1"#,
        effect.position,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Called {
            target: row.target,
            position: effect.position,
            id: effect.id,
            sid: effect.sid.clone(),
            change: effect.change,
            standing: if row.died_at.is_some() { Standing::Dead } else { Standing::Waiting },
            attempts: row.attempts,
            born_at: row.born_at,
            due_at: row.due_at,
            died_at: row.died_at,
            trouble: row.trouble,
        })
        .collect())
}

/// Takes up to `limit` dead letters of a target up, the oldest first, as if they were new. Returns how many.
pub(in crate::effects) async fn revive(
    db: &mut PgConnection,
    target: &str,
    now: Timestamp,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let revived = sqlx::query!(
        r#"with risen as (
               delete from callback_dead
               where target = $1 and position = any (array(
                   select position from callback_dead where target = $1 and died_at < $2 order by position limit $3
               ))
               returning target, position, sid
           )
           insert into callback (target, position, sid, due_at, born_at)
           select target, position, sid, $2, $2 from risen
           on conflict do nothing"#,
        target,
        now as Timestamp,
        limit,
    )
    .execute(db)
    .await?;
    Ok(revived.rows_affected())
}

/// Tells one effect again, dead or taken, to a target (all present ones for `None`). Returns to how many.
pub(in crate::effects) async fn tell_again(
    db: &mut PgConnection,
    effect: &Effect,
    target: Option<&str>,
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    let told = sqlx::query!(
        r#"with risen as (
               delete from callback_dead where position = $1 and ($3::text is null or target = $3)
           )
           insert into callback (target, position, sid, due_at, born_at)
           select name, $1, $2, $4, $4 from effect_target
           where removed_at is null and ($3::text is null or name = $3)
           on conflict do nothing"#,
        effect.position,
        effect.sid.as_str(),
        target,
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(told.rows_affected())
}

/// Rings who calls back, at the commit.
pub(in crate::effects) async fn ring(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_notify('ssf_effect', '') is null as rung").fetch_one(db).await?;
    Ok(())
}
