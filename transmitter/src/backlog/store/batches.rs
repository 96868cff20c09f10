//! SQL of following a batch: sums, and what is not yet added up.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::issuer::IssuerId;
use crate::outbox::BatchId;
use crate::stream::StreamKey;

/// A batch's decisions.
pub(crate) struct Row {
    pub(crate) created_at: Timestamp,
    pub(crate) announced: Option<i64>,
    pub(crate) recorded: i64,
    pub(crate) fanned_out: i64,
}

/// The batch, if it is the issuer's.
pub(crate) async fn one(conn: &mut PgConnection, issuer: IssuerId, batch: BatchId) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        r#"select b.created_at, b.announced,
                  (select coalesce(sum(p.events), 0)::bigint from batch_portion p where p.batch_id = b.id) as "recorded!",
                  b.fanned_out + (select coalesce(sum(t.fanned_out), 0)::bigint from tally t where t.batch_id = b.id) as "fanned_out!"
             from batch b where b.id = $1 and b.issuer_id = $2"#,
        batch as _,
        issuer as _,
    )
    .fetch_optional(conn)
    .await
}

/// A batch at one stream.
pub(crate) struct StreamRow {
    pub(crate) stream: StreamKey,
    pub(crate) waiting: i64,
    pub(crate) acknowledged: i64,
    pub(crate) refused: i64,
    pub(crate) expired: i64,
    pub(crate) discarded: i64,
    pub(crate) last_settled_at: Option<Timestamp>,
}

/// The batch at each of its streams.
pub(crate) async fn streams(conn: &mut PgConnection, batch: BatchId) -> sqlx::Result<Vec<StreamRow>> {
    sqlx::query_as!(
        StreamRow,
        r#"select stream_id as "stream!: StreamKey", sum(waiting)::bigint as "waiting!", sum(acknowledged)::bigint as "acknowledged!",
                  sum(refused)::bigint as "refused!", sum(expired)::bigint as "expired!", sum(discarded)::bigint as "discarded!",
                  max(last_settled_at) as last_settled_at
             from (select stream_id, waiting, acknowledged, refused, expired, discarded, last_settled_at
                     from batch_stream where batch_id = $1
                   union all
                   select stream_id, waiting, acknowledged, refused, expired, discarded, last_at
                     from tally where batch_id = $1 and stream_id is not null) parts
            group by stream_id"#,
        batch as _,
    )
    .fetch_all(conn)
    .await
}
