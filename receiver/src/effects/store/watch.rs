//! SQL of watching: what was told after a position, and how far the telling has come.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::{IssuerUrl, Jti, Txn};

use super::change;
use crate::effects::{Effect, EffectId};
use crate::session::Sid;

/// How far effects were made.
#[derive(Clone, Copy, Debug)]
pub(in crate::effects) struct Head {
    /// The last one.
    pub(in crate::effects) position: i64,
    /// Of cut-offs whose sessions were not all looked at yet, when the oldest was committed.
    pub(in crate::effects) waiting_since: Option<Timestamp>,
}

impl Head {
    /// Every cut-off committed until then is in the effects up to this position, if this was read at `now`.
    pub(in crate::effects) fn told_until(&self, now: Timestamp) -> Timestamp {
        self.waiting_since.map_or(now, |since| since.min(now))
    }
}

/// Effects after a position.
#[derive(Clone, Debug)]
pub(in crate::effects) struct Page {
    /// Effects up to there may be missing.
    pub(in crate::effects) forgotten: i64,
    /// In order.
    pub(in crate::effects) effects: Vec<Effect>,
}

pub(in crate::effects) async fn head(db: &mut PgConnection) -> Result<Head, sqlx::Error> {
    sqlx::query_as!(
        Head,
        r#"select position, (select noted_at from effect_source order by id limit 1) as waiting_since from effect_feed"#
    )
    .fetch_one(db)
    .await
}

/// Up to `limit` effects after `after`, and what was forgotten, on one snapshot.
pub(in crate::effects) async fn page(db: &mut PgConnection, after: i64, limit: usize) -> Result<Page, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select f.forgotten, e.position as "position?", e.id as "id?: EffectId", e.sid as "sid?: Sid",
                  e.issuer as "issuer?: IssuerUrl", e.change as "change?", e.reason, e.event_type as "event_type?",
                  e.jti as "jti: Jti", e.txn as "txn: Txn", e.decided_at as "decided_at?",
                  e.received_at as "received_at?", e.made_at as "made_at?", e.feed_seq as "feed_seq?"
           from effect_feed f
           left join lateral (
               select * from effect where effect.position > $1 order by effect.position limit $2
           ) e on true"#,
        after,
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(db)
    .await?;
    let forgotten = rows.first().map_or(0, |row| row.forgotten);
    let mut effects = Vec::with_capacity(rows.len());
    for row in rows {
        let (Some(position), Some(id), Some(sid), Some(issuer)) = (row.position, row.id, row.sid, row.issuer) else {
            break;
        };
        let (Some(of), Some(event_type), Some(feed_seq)) = (row.change, row.event_type, row.feed_seq) else { break };
        let (Some(decided_at), Some(received_at), Some(made_at)) = (row.decided_at, row.received_at, row.made_at)
        else {
            break;
        };
        effects.push(Effect {
            id,
            position,
            sid,
            issuer,
            change: change(&of)?,
            reason: row.reason,
            event_type,
            jti: row.jti,
            txn: row.txn,
            decided_at,
            received_at,
            made_at,
            feed_seq,
        });
    }
    Ok(Page { forgotten, effects })
}
