//! SQL of going through the sessions that a cut-off reaches.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::{IssuerUrl, Jti, Txn};

use super::change;
use crate::cutoff::{Cut, Registers};
use crate::effects::Effect;
use crate::effects::news::Told;
use crate::session::{Assertions, Sid, SubjectKey};
use crate::upstream::IssuerId;
use crate::validity::Asserted;

/// A cut-off that moved, and how far its sessions were looked at.
#[derive(Clone, Debug)]
pub(in crate::effects) struct Source {
    pub(in crate::effects) id: i64,
    pub(in crate::effects) issuer_id: IssuerId,
    pub(in crate::effects) issuer: IssuerUrl,
    pub(in crate::effects) key: SubjectKey,
    pub(in crate::effects) cut: Cut,
    pub(in crate::effects) jti: Option<Jti>,
    pub(in crate::effects) txn: Option<Txn>,
    pub(in crate::effects) event_type: String,
    pub(in crate::effects) decided_at: Timestamp,
    pub(in crate::effects) received_at: Timestamp,
    pub(in crate::effects) feed_seq: i64,
    pub(in crate::effects) reached: String,
}

/// One session behind a source.
#[derive(Clone, Debug)]
pub(in crate::effects) struct Reached {
    /// The source's place among those asked for.
    pub(in crate::effects) place: usize,
    pub(in crate::effects) sid: Sid,
    /// `None` if it has ended meanwhile.
    pub(in crate::effects) living: Option<Living>,
}

/// What is known of a living session.
#[derive(Clone, Debug)]
pub(in crate::effects) struct Living {
    pub(in crate::effects) keys: Vec<SubjectKey>,
    pub(in crate::effects) asserted: Asserted,
    pub(in crate::effects) told: Option<Told>,
}

/// Takes the right to make effects until the end of the transaction, and says the position of the last one.
pub(in crate::effects) async fn lock_feed(db: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("select position from effect_feed for update").fetch_one(db).await
}

/// The sources that were gone through least: a long one waits after each step until others had theirs.
pub(in crate::effects) async fn sources(db: &mut PgConnection, limit: i64) -> Result<Vec<Source>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.id, s.issuer_id as "issuer_id: IssuerId", i.url as "issuer: IssuerUrl", s.key as "key: SubjectKey",
                  s.cut, s.jti as "jti: Jti", s.txn as "txn: Txn", s.event_type, s.decided_at, s.received_at,
                  s.feed_seq, s.reached
           from (select * from effect_source order by steps, id limit $1) s
           cross join lateral (select url from issuer where issuer.id = s.issuer_id offset 0) i"#,
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Source {
                id: row.id,
                issuer_id: row.issuer_id,
                issuer: row.issuer,
                key: row.key,
                cut: cut(&row.cut)?,
                jti: row.jti,
                txn: row.txn,
                event_type: row.event_type,
                decided_at: row.decided_at,
                received_at: row.received_at,
                feed_seq: row.feed_seq,
                reached: row.reached,
            })
        })
        .collect()
}

/// The next `page` sessions behind each source, in the order of their names.
pub(in crate::effects) async fn reached(
    db: &mut PgConnection,
    sources: &[Source],
    page: usize,
) -> Result<Vec<Reached>, sqlx::Error> {
    let places: Vec<i32> = (0..).take(sources.len()).collect();
    let issuers: Vec<IssuerId> = sources.iter().map(|source| source.issuer_id).collect();
    let keys: Vec<SubjectKey> = sources.iter().map(|source| source.key).collect();
    let after: Vec<&str> = sources.iter().map(|source| source.reached.as_str()).collect();
    let rows = sqlx::query!(
        // laterals with `offset 0` look each row up, whatever the planner thinks of how many there are
        r#"select q.place as "place!", k.sid as "sid!: Sid", s.keys as "keys?: Vec<SubjectKey>", s.origin as "origin?",
                  s.validated as "validated?", s.expires_at as "expires_at?", t.change as "told?",
                  t.origin as "told_origin?", t.validated as "told_validated?"
           from unnest($1::int4[], $2::uuid[], $3::bytea[], $4::text[]) as q (place, issuer_id, key, reached)
           cross join lateral (
               select k.sid from session_key k
               where k.issuer_id = q.issuer_id and k.key = q.key and k.sid > q.reached
               order by k.sid limit $5 offset 0
           ) k
           left join lateral (
               select * from session where session.sid = k.sid and session.ended_at is null offset 0
           ) s on true
           left join lateral (select * from effect_told where effect_told.sid = k.sid offset 0) t on true
           order by q.place, k.sid"#,
        &places,
        &issuers as &[IssuerId],
        &keys as &[SubjectKey],
        &after as &[&str],
        i64::try_from(page).unwrap_or(i64::MAX),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let told = match (row.told, row.told_origin, row.told_validated) {
                (Some(told), Some(origin), Some(validated)) => {
                    Some(Told { change: change(&told)?, assertions: Assertions { origin, validated } })
                }
                _ => None,
            };
            let living = match (row.keys, row.origin, row.validated) {
                (Some(keys), Some(origin), Some(validated)) => Some(Living {
                    keys,
                    asserted: Asserted { assertions: Assertions { origin, validated }, expires_at: row.expires_at },
                    told,
                }),
                _ => None,
            };
            Ok(Reached { place: usize::try_from(row.place).unwrap_or(usize::MAX), sid: row.sid, living })
        })
        .collect()
}

/// What is known of these keys; those of which nothing is known are missing.
pub(in crate::effects) async fn registers(
    db: &mut PgConnection,
    keys: impl IntoIterator<Item = (IssuerId, SubjectKey)>,
) -> Result<BTreeMap<(IssuerId, SubjectKey), Registers>, sqlx::Error> {
    let (issuers, keys): (Vec<IssuerId>, Vec<SubjectKey>) = keys.into_iter().unzip();
    let rows = sqlx::query!(
        r#"select c.issuer_id as "issuer_id: IssuerId", c.key as "key: SubjectKey", c.revoked_before,
                  c.revalidate_before, c.blocked_at, c.unblocked_at
           from unnest($1::uuid[], $2::bytea[]) as q (issuer_id, key)
           cross join lateral (
               select * from cutoff where cutoff.issuer_id = q.issuer_id and cutoff.key = q.key offset 0
           ) c"#,
        &issuers as &[IssuerId],
        &keys as &[SubjectKey],
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let registers = Registers {
                revoked_before: row.revoked_before,
                revalidate_before: row.revalidate_before,
                blocked_at: row.blocked_at,
                unblocked_at: row.unblocked_at,
            };
            ((row.issuer_id, row.key), registers)
        })
        .collect())
}

/// Writes effects, notes what their sessions were told, and gives every target its callbacks; then rings who tells.
/// `told` are the assertions of each effect's session.
pub(in crate::effects) async fn write(
    db: &mut PgConnection,
    effects: &[Effect],
    told: &[Assertions],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    macro_rules! column {
        ($($field:tt)+) => { effects.iter().map(|effect| effect.$($field)+).collect::<Vec<_>>() };
    }
    let origins: Vec<Timestamp> = told.iter().map(|told| told.origin).collect();
    let validated: Vec<Timestamp> = told.iter().map(|told| told.validated).collect();
    sqlx::query!(
        r#"with made as (
               insert into effect (
                   position, id, sid, issuer, change, reason, event_type, jti, txn, decided_at, received_at, feed_seq,
                   made_at
               )
               select e.*, $13 from unnest(
                   $1::int8[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                   $9::text[], $10::timestamptz[], $11::timestamptz[], $12::int8[]
               ) as e
               returning position, sid, change
           ), told as (
               insert into effect_told (sid, change, origin, validated)
               select * from unnest($3::text[], $5::text[], $14::timestamptz[], $15::timestamptz[])
               on conflict (sid) do update
               set change = excluded.change, origin = excluded.origin, validated = excluded.validated
           ), called as (
               insert into callback (target, position, sid, due_at, born_at)
               select target.name, made.position, made.sid, $13, $13
               from made cross join effect_target target
               where target.removed_at is null
                 and (cardinality(target.changes) = 0 or made.change = any (target.changes))
           )
           update effect_feed set position = position + (select count(*) from made)
           returning pg_notify('ssf_effect', '') is null as rung"#,
        &column!(position),
        &column!(id) as &[_],
        &column!(sid.as_str()) as &[&str],
        &column!(issuer.as_str()) as &[&str],
        &column!(change.as_str()) as &[&str],
        &column!(reason.as_deref()) as &[Option<&str>],
        &column!(event_type.as_str()) as &[&str],
        &column!(jti.as_ref().map(Jti::as_str)) as &[Option<&str>],
        &column!(txn.as_ref().map(Txn::as_str)) as &[Option<&str>],
        &column!(decided_at) as &[Timestamp],
        &column!(received_at) as &[Timestamp],
        &column!(feed_seq),
        now as Timestamp,
        &origins as &[Timestamp],
        &validated as &[Timestamp],
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Notes how far sources were gone through, and removes those of which no session is left.
pub(in crate::effects) async fn advance(
    db: &mut PgConnection,
    further: &[(i64, &str)],
    done: &[i64],
) -> Result<(), sqlx::Error> {
    let (ids, reached): (Vec<i64>, Vec<&str>) = further.iter().copied().unzip();
    sqlx::query!(
        "with gone as (delete from effect_source where id = any ($3))
         update effect_source s set steps = s.steps + 1, reached = q.reached
         from unnest($1::int8[], $2::text[]) as q (id, reached)
         where s.id = q.id",
        &ids,
        &reached as &[&str],
        done,
    )
    .execute(db)
    .await?;
    Ok(())
}

fn cut(name: &str) -> Result<Cut, sqlx::Error> {
    match name {
        "revoke" => Ok(Cut::Revoke),
        "revalidate" => Ok(Cut::Revalidate),
        "block" => Ok(Cut::Block),
        "unblock" => Ok(Cut::Unblock),
        _ => Err(sqlx::Error::Decode("effect_source.cut holds no known cut-off".into())),
    }
}
