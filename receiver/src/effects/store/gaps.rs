//! SQL of gaps: which sessions the application is told of because a decision about them may have been lost.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;

use super::change;
use super::spread::Living;
use crate::effects::news::Told;
use crate::session::{Assertions, Sid, SubjectKey};
use crate::upstream::IssuerId;
use crate::validity::Asserted;

/// A gap, and how far its sessions were looked at.
#[derive(Clone, Debug)]
pub(in crate::effects) struct Walk {
    pub(in crate::effects) gap_id: i64,
    pub(in crate::effects) issuer_id: IssuerId,
    pub(in crate::effects) issuer: IssuerUrl,
    pub(in crate::effects) until: Timestamp,
    pub(in crate::effects) reached: String,
    /// The last commit of cut-offs there was.
    pub(in crate::effects) feed_seq: i64,
}

/// The oldest gap that ended before `due`, whose issuer's sessions no operator lets go on.
pub(in crate::effects) async fn next(
    db: &mut PgConnection,
    due: Timestamp,
    now: Timestamp,
) -> Result<Option<Walk>, sqlx::Error> {
    sqlx::query_as!(
        Walk,
        r#"select w.gap_id, w.issuer_id as "issuer_id: IssuerId", i.url as "issuer: IssuerUrl",
                  w.until as "until: Timestamp", w.reached, feed.seq as feed_seq
           from gap_walk w join issuer i on i.id = w.issuer_id cross join feed
           where w.until <= $1
             and not exists (
                 select from break_glass b where b.issuer_id = w.issuer_id and b.closed_at is null and b.until > $2
             )
           order by w.gap_id limit 1"#,
        due as Timestamp,
        now as Timestamp,
    )
    .fetch_optional(db)
    .await
}

/// The next `page` living sessions of the issuer, in the order of their names.
pub(in crate::effects) async fn sessions(
    db: &mut PgConnection,
    of: &Walk,
    page: usize,
) -> Result<Vec<(Sid, Living)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.sid as "sid: Sid", s.keys as "keys: Vec<SubjectKey>", s.origin as "origin: Timestamp",
                  s.validated as "validated: Timestamp", s.expires_at as "expires_at: Timestamp", t.change as "told?",
                  t.origin as "told_origin?: Timestamp", t.validated as "told_validated?: Timestamp"
           from (
               select * from session
               where issuer_id = $1 and sid > $2 and ended_at is null
               order by sid limit $3 offset 0
           ) s
           left join lateral (select * from effect_told where effect_told.sid = s.sid offset 0) t on true
           order by s.sid"#,
        of.issuer_id as IssuerId,
        of.reached,
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
            let assertions = Assertions { origin: row.origin, validated: row.validated };
            let asserted = Asserted { assertions, expires_at: row.expires_at };
            Ok((row.sid, Living { keys: row.keys, asserted, told }))
        })
        .collect()
}

/// Notes how far a gap was gone through; `None`: to its end.
pub(in crate::effects) async fn advance(
    db: &mut PgConnection,
    gap_id: i64,
    reached: Option<&Sid>,
) -> Result<(), sqlx::Error> {
    match reached {
        Some(sid) => sqlx::query!("update gap_walk set reached = $2 where gap_id = $1", gap_id, sid.as_str()),
        None => sqlx::query!("delete from gap_walk where gap_id = $1", gap_id),
    }
    .execute(db)
    .await?;
    Ok(())
}

/// The latest end of a gap of each of these issuers whose sessions must have been proved again by now: every turn within
/// `spread` has come, and no operator lets them go on.
pub(in crate::effects) async fn ends(
    db: &mut PgConnection,
    issuers: &[IssuerId],
    spread: Duration,
    now: Timestamp,
) -> Result<BTreeMap<IssuerId, Timestamp>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select i.id as "id!: IssuerId", g.until as "until!: Timestamp"
           from unnest($1::uuid[]) as i (id)
           cross join lateral (
               select max(gap.until) as until
               from upstream u cross join lateral (
                   select until from upstream_gap where upstream_id = u.id order by id desc limit 32 offset 0
               ) gap
               where u.issuer_id = i.id and u.removed_at is null and gap.until <= $2
           ) g
           where g.until is not null
             and not exists (
                 select from break_glass b where b.issuer_id = i.id and b.closed_at is null and b.until > $3
             )"#,
        issuers as &[IssuerId],
        now.minus(spread) as Timestamp,
        now as Timestamp,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.until)).collect())
}
