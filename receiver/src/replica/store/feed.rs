//! What a replica reads: cut-offs in the order of their commits, what became of sessions, who is listened to.

use std::sync::Arc;

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;

use crate::config::Level;
use crate::cutoff::Registers;
use crate::replica::issuers::Heard;
use crate::replica::sessions::Known;
use crate::session::{Assertions, Binding, Sid, SubjectKey};
use crate::upstream::IssuerId;

/// One look at the feed.
#[derive(Debug)]
pub(in crate::replica) struct Page {
    /// The number of the last commit there was.
    pub(in crate::replica) head: i64,
    /// What moved since the number asked for, in the order of commits, each with its number.
    pub(in crate::replica) moved: Vec<Moved>,
}

/// One key's registers as they stand.
#[derive(Debug)]
pub(in crate::replica) struct Moved {
    pub(in crate::replica) issuer: IssuerId,
    pub(in crate::replica) key: SubjectKey,
    pub(in crate::replica) registers: Registers,
    pub(in crate::replica) seq: i64,
}

/// The cut-offs that moved after the commit with number `after`: about `limit` of them, but whole commits. A key that
/// moved several times comes once, under its last number.
pub(in crate::replica) async fn page(db: &mut PgConnection, after: i64, limit: i64) -> Result<Page, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select feed.seq as head, c.issuer_id as "issuer_id?: IssuerId", c.key as "key?: SubjectKey",
                  c.revoked_before as "revoked_before?", c.revalidate_before as "revalidate_before?",
                  c.blocked_at as "blocked_at?", c.unblocked_at as "unblocked_at?", c.feed_seq as "feed_seq?"
           from feed left join lateral (
               select * from cutoff where feed_seq > $1 order by feed_seq
               -- never half a commit: the next look begins behind the last number seen
               fetch first ($2::bigint) rows with ties
           ) c on true
           where feed.one"#,
        after,
        limit,
    )
    .fetch_all(db)
    .await?;
    let head = rows.first().map_or(0, |row| row.head);
    let moved = rows.into_iter().filter_map(|row| {
        let registers = Registers {
            revoked_before: row.revoked_before,
            revalidate_before: row.revalidate_before,
            blocked_at: row.blocked_at,
            unblocked_at: row.unblocked_at,
        };
        Some(Moved { issuer: row.issuer_id?, key: row.key?, registers, seq: row.feed_seq? })
    });
    Ok(Page { head, moved: moved.collect() })
}

/// Who is listened to, and how that goes: a row per upstream.
pub(in crate::replica) async fn issuers(
    db: &mut PgConnection,
    now: Timestamp,
) -> Result<Vec<(IssuerUrl, IssuerId, Heard)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select i.url as "url: IssuerUrl", i.id as "id: IssuerId", u.level,
                  -- what we call there tells that somebody is at home, not that events would come
                  greatest(u.created_at, u.last_verified_at, r.received_at) as "heard_at!: Timestamp",
                  array(
                      select until from upstream_gap g where g.upstream_id = u.id order by g.id desc limit $2
                  ) as "gaps!: Vec<Timestamp>",
                  (select max(b.until) from break_glass b
                   where b.issuer_id = i.id and b.closed_at is null and b.until > $1) as "break_glass_until: Timestamp"
           from upstream u join issuer i on i.id = u.issuer_id
           left join lateral (
               select received_at from received_set s where s.upstream_id = u.id order by s.received_at desc limit 1
           ) r on true
           where u.removed_at is null"#,
        now as Timestamp,
        MOST_GAPS,
    )
    .fetch_all(db)
    .await?;
    let issuers = rows.into_iter().map(|row| {
        let level = Level::ALL.into_iter().find(|level| level.as_str() == row.level);
        let level = level.ok_or_else(|| sqlx::Error::Decode("upstream.level holds no known level".into()))?;
        let heard = Heard { at: row.heard_at, level, gaps: row.gaps, break_glass_until: row.break_glass_until };
        Ok((row.url, row.id, heard))
    });
    issuers.collect()
}

/// The number below which every transaction has ended, and its effects are seen from now on.
pub(in crate::replica) async fn horizon(db: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "horizon!""#)
        .fetch_one(db)
        .await
}

/// What became of sessions since a horizon.
#[derive(Debug)]
pub(in crate::replica) struct Changes {
    /// As [`horizon`], of the same snapshot: what a transaction below it did is in this answer or in an earlier one, so
    /// the next look begins here.
    pub(in crate::replica) horizon: i64,
    /// Sessions that were changed or removed, at most as many as asked for.
    pub(in crate::replica) sids: Vec<Sid>,
    /// The transactions that did it, all of them, at most as many as asked for.
    pub(in crate::replica) xids: Vec<i64>,
}

/// The sessions that were changed by transactions from the number `since` on, up to `limit` of them; without those of the
/// transactions `seen`, which were read before: what a transaction did is seen whole or not at all.
pub(in crate::replica) async fn changes(
    db: &mut PgConnection,
    since: i64,
    seen: &[i64],
    limit: i64,
) -> Result<Changes, sqlx::Error> {
    let row = sqlx::query!(
        r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "horizon!",
                  array(
                      select sid from session_change where xid >= $1 and xid <> all($3) order by xid, sid limit $2
                  ) as "sids!: Vec<Sid>",
                  array(
                      select distinct xid from session_change where xid >= $1 and xid <> all($3) order by xid limit $2
                  ) as "xids!: Vec<i64>""#,
        since,
        limit,
        seen,
    )
    .fetch_one(db)
    .await?;
    Ok(Changes { horizon: row.horizon, sids: row.sids, xids: row.xids })
}

/// One cut-off that was removed.
#[derive(Clone, Copy, Debug)]
pub(in crate::replica) struct Removal {
    /// The transaction that did it.
    pub(in crate::replica) xid: i64,
    pub(in crate::replica) issuer: IssuerId,
    pub(in crate::replica) key: SubjectKey,
}

/// The cut-offs that were removed after this one in the order of transactions, up to `limit` of them.
pub(in crate::replica) async fn removals(
    db: &mut PgConnection,
    after: Removal,
    limit: i64,
) -> Result<Vec<Removal>, sqlx::Error> {
    sqlx::query_as!(
        Removal,
        r#"select xid, issuer_id as "issuer: IssuerId", key as "key: SubjectKey" from cutoff_removal
           where (xid, issuer_id, key) > ($1, $2, $3)
           order by xid, issuer_id, key limit $4"#,
        after.xid,
        after.issuer as IssuerId,
        after.key as SubjectKey,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Removes the notes of transactions below this number, the oldest first, at most `limit` of each kind.
pub(in crate::replica) async fn trim(db: &mut PgConnection, below: i64, limit: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from session_change where ctid = any(array(
             select ctid from session_change where xid < $1 order by xid, sid limit $2
         ))",
        below,
        limit,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "delete from cutoff_removal where ctid = any(array(
             select ctid from cutoff_removal where xid < $1 order by xid, issuer_id, key limit $2
         ))",
        below,
        limit,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What stands under these keys now; what is missing in the answer is gone.
pub(in crate::replica) async fn standing_now(
    db: &mut PgConnection,
    keys: &[(IssuerId, SubjectKey)],
) -> Result<Vec<(IssuerId, SubjectKey, Registers)>, sqlx::Error> {
    let (issuers, keys): (Vec<IssuerId>, Vec<SubjectKey>) = keys.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"select c.issuer_id as "issuer_id: IssuerId", c.key as "key: SubjectKey", c.revoked_before,
                  c.revalidate_before, c.blocked_at, c.unblocked_at
           from unnest($1::uuid[], $2::bytea[]) as asked (issuer_id, key)
           cross join lateral (
               select * from cutoff where cutoff.issuer_id = asked.issuer_id and cutoff.key = asked.key offset 0
           ) c"#,
        &issuers as &[IssuerId],
        &keys as &[SubjectKey],
    )
    .fetch_all(db)
    .await?;
    let registers = rows.into_iter().map(|row| {
        let registers = Registers {
            revoked_before: row.revoked_before,
            revalidate_before: row.revalidate_before,
            blocked_at: row.blocked_at,
            unblocked_at: row.unblocked_at,
        };
        (row.issuer_id, row.key, registers)
    });
    Ok(registers.collect())
}

/// The living sessions of these names.
pub(in crate::replica) async fn sessions(
    db: &mut PgConnection,
    sids: &[&str],
) -> Result<Vec<(Sid, Arc<Known>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.sid as "sid: Sid", s.issuer_id as "issuer_id: IssuerId", s.keys as "keys: Vec<SubjectKey>", s.origin,
                  s.validated, s.expires_at, s.binding
           from unnest($1::text[]) as asked (sid)
           cross join lateral (
               select * from session where session.sid = asked.sid and ended_at is null offset 0
           ) s"#,
        sids as &[&str],
    )
    .fetch_all(db)
    .await?;
    let known = rows.into_iter().map(|row| {
        let known = Known {
            issuer: row.issuer_id,
            keys: row.keys.into(),
            assertions: Assertions { origin: row.origin, validated: row.validated },
            expires_at: row.expires_at,
            binding: Binding::from_name(&row.binding)
                .ok_or_else(|| sqlx::Error::Decode("session.binding holds no known binding".into()))?,
        };
        Ok((row.sid, Arc::new(known)))
    });
    known.collect()
}

/// Older gaps than these matter to nobody whom a newer one does not concern.
const MOST_GAPS: i64 = 32;
