//! SQL of alarms and of the webhooks that tell of them.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::backlog::{AlarmId, PostId};
use crate::stream::StreamKey;

/// An alarm.
pub(crate) struct Alarm {
    pub(crate) id: AlarmId,
    pub(crate) stream: Option<StreamKey>,
    pub(crate) lane: i16,
    pub(crate) cause: String,
    pub(crate) waiting: i64,
    pub(crate) oldest_at: Timestamp,
    pub(crate) predicted_ms: i64,
    pub(crate) window_ms: i64,
    pub(crate) raised_at: Timestamp,
}

/// Those that ring.
pub(crate) async fn ringing(conn: &mut PgConnection) -> sqlx::Result<Vec<Alarm>> {
    sqlx::query_as!(
        Alarm,
        r#"select id as "id: AlarmId", stream_id as "stream: StreamKey", lane, cause, waiting, oldest_at, predicted_ms, window_ms, raised_at
             from backlog_alarm where cleared_at is null"#
    )
    .fetch_all(conn)
    .await
}

/// Raises one, unless one rings for the same queue; whether it does now for the first time. With `notify` a webhook is due.
pub(crate) async fn raise(conn: &mut PgConnection, alarm: &Alarm, notify: bool) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into backlog_alarm (id, stream_id, lane, cause, waiting, oldest_at, predicted_ms, window_ms, raised_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing",
        alarm.id as _,
        alarm.stream as _,
        alarm.lane,
        alarm.cause,
        alarm.waiting,
        alarm.oldest_at as _,
        alarm.predicted_ms,
        alarm.window_ms,
        alarm.raised_at as _,
    )
    .execute(&mut *conn)
    .await?;
    let is_new = done.rows_affected() == 1;
    if is_new && notify {
        note(conn, alarm.id, "raised", alarm.raised_at).await?;
    }
    Ok(is_new)
}

/// Clears one that rings; whether it did. With `notify` a webhook is due.
pub(crate) async fn clear(conn: &mut PgConnection, id: AlarmId, now: Timestamp, notify: bool) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update backlog_alarm set cleared_at = greatest($2, raised_at) where id = $1 and cleared_at is null",
        id as _,
        now as _
    )
    .execute(&mut *conn)
    .await?;
    let did = done.rows_affected() == 1;
    if did && notify {
        note(conn, id, "cleared", now).await?;
    }
    Ok(did)
}

async fn note(conn: &mut PgConnection, id: AlarmId, kind: &str, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into alarm_notice (alarm_id, kind, due_at) values ($1, $2, $3) on conflict do nothing",
        id as _,
        kind,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An alarm that is to be told.
pub(crate) struct Due {
    pub(crate) post: PostId,
    pub(crate) alarm: AlarmId,
    pub(crate) kind: String,
    pub(crate) attempts: i32,
    pub(crate) stream: Option<StreamKey>,
    pub(crate) issuer_url: Option<String>,
    pub(crate) lane: i16,
    pub(crate) cause: String,
    pub(crate) waiting: i64,
    pub(crate) oldest_at: Timestamp,
    pub(crate) predicted_ms: i64,
    pub(crate) window_ms: i64,
    pub(crate) raised_at: Timestamp,
    pub(crate) cleared_at: Option<Timestamp>,
}

/// Takes one webhook that is due, and puts it off to `until`: whoever took it sends it before, or somebody does it again. It
/// is one that was tried before, with the same alarms; or a new one, `post`, with at most `limit` alarms of one kind. An
/// alarm's clearing waits until its raising was taken or given up.
pub(crate) async fn take_due(
    conn: &mut PgConnection,
    post: PostId,
    now: Timestamp,
    until: Timestamp,
    limit: i64,
) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"with due as materialized (
               select n.alarm_id, n.kind, n.post_id, n.due_at from alarm_notice n
                where n.due_at <= $1 and (n.kind = 'raised' or not exists (
                      select from alarm_notice o where o.alarm_id = n.alarm_id and o.kind = 'raised'))
                order by n.due_at, n.post_id, n.alarm_id limit 10 * $3::bigint for update skip locked
           ), head as (
               select post_id, kind from due order by due_at, post_id, alarm_id limit 1
           ), together as (
               select d.alarm_id, d.kind from due d, head h
                where d.kind = h.kind and d.post_id is not distinct from h.post_id order by d.due_at, d.alarm_id limit $3::bigint
           ), taken as (
               update alarm_notice n set due_at = $2, attempts = n.attempts + 1, post_id = coalesce(n.post_id, $4)
                 from together t where n.alarm_id = t.alarm_id and n.kind = t.kind
               returning n.alarm_id, n.kind, n.attempts, n.post_id
           )
           select t.post_id as "post!: PostId", t.alarm_id as "alarm: AlarmId", t.kind, t.attempts, a.stream_id as "stream: StreamKey",
                  i.url as "issuer_url?", a.lane, a.cause, a.waiting, a.oldest_at, a.predicted_ms, a.window_ms, a.raised_at, a.cleared_at
             from taken t cross join lateral (select * from backlog_alarm where id = t.alarm_id offset 0) a
             left join lateral (select issuer_id from stream where stream.id = a.stream_id offset 0) s on true
             left join lateral (select url from issuer where issuer.id = s.issuer_id offset 0) i on true
            order by a.raised_at, a.id"#,
        now as _,
        until as _,
        limit,
        post as _,
    )
    .fetch_all(conn)
    .await
}

/// This webhook is over: it was taken, or is given up.
pub(crate) async fn done(conn: &mut PgConnection, post: PostId) -> sqlx::Result<()> {
    sqlx::query!("delete from alarm_notice where post_id = $1", post as _).execute(conn).await?;
    Ok(())
}

/// This webhook is tried again then.
pub(crate) async fn put_off(conn: &mut PgConnection, post: PostId, due_at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("update alarm_notice set due_at = $2 where post_id = $1", post as _, due_at as _)
        .execute(conn)
        .await?;
    Ok(())
}
