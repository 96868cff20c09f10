//! SQL of counting again: what waits on a stream, beside what the sums say.

use sqlx::PgConnection;

use crate::stream::StreamKey;

/// What a count found.
pub(crate) struct Recounted {
    /// How many deliveries wait on the stream.
    pub(crate) waiting: i64,
    /// By how much the sums of its lanes were wrong, all together.
    pub(crate) wrong: i64,
}

/// The stream after `after` by id.
pub(crate) async fn next(conn: &mut PgConnection, after: StreamKey) -> sqlx::Result<Option<StreamKey>> {
    sqlx::query_scalar!(r#"select id as "id: StreamKey" from stream where id > $1 order by id limit 1"#, after as _)
        .fetch_optional(conn)
        .await
}

/// Counts what waits on a stream, and appends to the tally what the sums and the tally miss. One statement, and so one view
/// of all three: whatever is made, settled or added up meanwhile is in all of them or in none.
pub(crate) async fn recount(conn: &mut PgConnection, stream: StreamKey) -> sqlx::Result<Recounted> {
    sqlx::query_as!(
        Recounted,
        r#"with here as materialized (
               select lanes.lane, (select count(*) from delivery d where d.stream_id = $1 and d.lane = lanes.lane) as waiting,
                      coalesce((select b.waiting from stream_backlog b where b.stream_id = $1 and b.lane = lanes.lane), 0)
                      + coalesce((select sum(t.waiting)::bigint from tally t where t.stream_id = $1 and t.lane = lanes.lane), 0) as told
                 from (values (0::smallint), (1::smallint), (2::smallint)) lanes (lane)
           ), corrected as (
               insert into tally (stream_id, lane, waiting) select $1, lane, waiting - told from here where waiting <> told
           )
           select sum(waiting)::bigint as "waiting!", sum(abs(waiting - told))::bigint as "wrong!" from here"#,
        stream as _,
    )
    .fetch_one(conn)
    .await
}
