//! The tables `withheld` and `withheld_key`; the inbox writes them.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::Held;

/// What settling one needs to know.
pub(super) struct Locked {
    pub(super) upstream: String,
    pub(super) jti: String,
    pub(super) effect: String,
    pub(super) reason: String,
}

/// See [`list`](super::list).
pub(super) async fn list(
    db: &mut PgConnection,
    upstream: Option<&str>,
    all: bool,
    after: i64,
    limit: i64,
) -> Result<Vec<Held>, sqlx::Error> {
    sqlx::query_as!(
        Held,
        r#"select w.id, u.name as upstream, w.jti, w.txn, w.event_type, w.effect, w.reason,
                  w.decided_at as "decided_at: Timestamp", w.received_at as "received_at: Timestamp", w.state,
                  w.settled_at as "settled_at: Timestamp", w.settled_by
           from withheld w join upstream u on u.id = w.upstream_id
           where ($1::text is null or u.name = $1) and ($2 or w.state = 'waiting') and w.id > $3
           order by w.id limit $4"#,
        upstream,
        all,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The one of this number, if it waits; locked until the end of the transaction.
pub(super) async fn lock(db: &mut PgConnection, id: i64) -> Result<Option<Locked>, sqlx::Error> {
    sqlx::query_as!(
        Locked,
        "select u.name as upstream, w.jti, w.effect, w.reason
         from withheld w join upstream u on u.id = w.upstream_id
         where w.id = $1 and w.state = 'waiting'
         for update of w",
        id,
    )
    .fetch_optional(db)
    .await
}

/// Moves the registers of its keys, in a commit of its own number of the feed; takes its locks in the order in which the
/// inbox does.
pub(super) async fn apply(db: &mut PgConnection, id: i64, by: &str, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"with chosen as (
               update withheld set state = 'applied', settled_at = $3, settled_by = $2 where id = $1 returning *
           ), numbered as (
               update feed set seq = seq + 1 from (select count(*) as count from chosen) as counted
               where counted.count > 0
               returning feed.seq
           ), cut as (
               insert into cutoff (
                   issuer_id, key, revoked_before, revalidate_before, blocked_at, unblocked_at, feed_seq, updated_at
               )
               select issuer_id, k.key, revoked_before, revalidate_before, blocked_at, unblocked_at, seq, $3
               from chosen join withheld_key k on k.withheld_id = chosen.id cross join numbered
               order by issuer_id, k.key
               on conflict (issuer_id, key) do update
               set revoked_before = greatest(cutoff.revoked_before, excluded.revoked_before),
                   revalidate_before = greatest(cutoff.revalidate_before, excluded.revalidate_before),
                   blocked_at = greatest(cutoff.blocked_at, excluded.blocked_at),
                   unblocked_at = greatest(cutoff.unblocked_at, excluded.unblocked_at),
                   feed_seq = excluded.feed_seq, updated_at = excluded.updated_at
               where excluded.revoked_before > coalesce(cutoff.revoked_before, '-infinity')
                  or excluded.revalidate_before > coalesce(cutoff.revalidate_before, '-infinity')
                  or excluded.blocked_at > coalesce(cutoff.blocked_at, '-infinity')
                  or excluded.unblocked_at > coalesce(cutoff.unblocked_at, '-infinity')
               returning cutoff.issuer_id, cutoff.key, cutoff.feed_seq
           )
           insert into effect_source (
               issuer_id, key, cut, upstream_id, jti, txn, event_type, decided_at, received_at, feed_seq, noted_at
           )
           select cut.issuer_id, cut.key, chosen.effect, chosen.upstream_id, chosen.jti, chosen.txn, chosen.event_type,
                  chosen.decided_at, chosen.received_at, cut.feed_seq, $3
           from cut cross join chosen"#,
        id,
        by,
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// It waits no more.
pub(super) async fn discard(db: &mut PgConnection, id: i64, by: &str, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update withheld set state = 'discarded', settled_at = $3, settled_by = $2 where id = $1",
        id,
        by,
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(())
}
