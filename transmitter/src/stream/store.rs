//! SQL of streams.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::protocol::DeliveryMethod;
use ssf_common::runtime::config::Level;

use super::{Stream, StreamKey, Wanted};
use crate::client::ClientKey;
use crate::issuer::IssuerId;

/// A stream's row as the macros read it.
struct Row {
    key: StreamKey,
    issuer_id: IssuerId,
    client: ClientKey,
    audience: Vec<String>,
    status: String,
    status_reason: Option<String>,
    delivery_method: String,
    endpoint_url: Option<String>,
    events_requested: Option<Vec<String>>,
    events_delivered: Vec<String>,
    description: Option<String>,
    legacy_words: bool,
    format: Option<String>,
    algorithm: String,
    min_verification_interval_s: i32,
    inactivity_timeout_s: Option<i32>,
    created_at: Timestamp,
}

impl From<Row> for Stream {
    fn from(row: Row) -> Self {
        Self {
            key: row.key,
            issuer_id: row.issuer_id,
            client: row.client,
            audience: row.audience,
            status: row.status.parse().expect("a CHECK allows only the three statuses"),
            status_reason: row.status_reason,
            wanted: Wanted {
                events_requested: row.events_requested,
                events_delivered: row.events_delivered,
                method: if row.delivery_method == "push" { DeliveryMethod::Push } else { DeliveryMethod::Poll },
                endpoint_url: row.endpoint_url,
                description: row.description,
                legacy_words: row.legacy_words,
                format: row.format,
            },
            algorithm: row.algorithm.parse().expect("a CHECK allows only the four algorithms"),
            min_verification_interval_s: u32::try_from(row.min_verification_interval_s).unwrap_or(0),
            inactivity_timeout_s: row.inactivity_timeout_s.and_then(|s| u32::try_from(s).ok()),
            created_at: row.created_at,
        }
    }
}

/// What became of a new stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is there.
    Yes,
    /// Its client has as many as it may.
    HasAll,
    /// Its client, or its issuer, was removed meanwhile.
    Removed,
}

/// Adds a stream unless its client has as many as it may. The client's row is locked, so two requests cannot both be
/// the last one allowed, and whoever removes the client or its issuer comes before, or finds the stream.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    stream: &Stream,
    max_streams: u32,
    authorization_sealed: Option<&[u8]>,
) -> sqlx::Result<Added> {
    // a statement of its own: the count must see what was committed while this waited
    let living = sqlx::query!(
        "select c.id from client c join issuer i on i.id = c.issuer_id
          where c.id = $1 and c.removed_at is null and i.removed_at is null for update of c for share of i",
        stream.client as _
    );
    if living.fetch_optional(&mut *conn).await?.is_none() {
        return Ok(Added::Removed);
    }
    let has =
        sqlx::query_scalar!(r#"select count(*) as "count!" from stream where client_id = $1"#, stream.client as _)
            .fetch_one(&mut *conn)
            .await?;
    if has >= i64::from(max_streams) {
        return Ok(Added::HasAll);
    }
    sqlx::query!(
        "insert into stream (id, issuer_id, client_id, audience, status, delivery_method, endpoint_url, authorization_sealed,
             events_requested, events_delivered, description, algorithm, min_verification_interval_s, inactivity_timeout_s,
             last_activity_at, created_at, updated_at, legacy_words, format)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $15, $16, $17)",
        stream.key as _,
        stream.issuer_id as _,
        stream.client as _,
        &stream.audience,
        stream.status.as_str(),
        stream.wanted.method.as_str(),
        stream.wanted.endpoint_url.as_deref(),
        authorization_sealed,
        stream.wanted.events_requested.as_deref() as _,
        &stream.wanted.events_delivered,
        stream.wanted.description.as_deref(),
        stream.algorithm.as_str(),
        i32::try_from(stream.min_verification_interval_s).unwrap_or(i32::MAX),
        stream.inactivity_timeout_s.and_then(|s| i32::try_from(s).ok()),
        stream.created_at as _,
        stream.wanted.legacy_words,
        stream.wanted.format.as_deref(),
    )
    .execute(conn)
    .await?;
    Ok(Added::Yes)
}

/// The stream, if it is this client's; the call counts as activity (§8.1.1, `inactivity_timeout`).
pub(crate) async fn of_client(
    conn: &mut PgConnection,
    key: StreamKey,
    client: ClientKey,
    now: Timestamp,
) -> sqlx::Result<Option<Stream>> {
    let row = sqlx::query_as!(
        Row,
        r#"update stream set last_activity_at = greatest(last_activity_at, $3) where id = $1 and client_id = $2
           returning id as "key: StreamKey", issuer_id as "issuer_id: IssuerId", client_id as "client: ClientKey", audience, status,
                  status_reason, delivery_method, endpoint_url, events_requested, events_delivered, description, legacy_words, format,
                  algorithm, min_verification_interval_s, inactivity_timeout_s, created_at"#,
        key as _,
        client as _,
        now as _,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Stream::from))
}

/// Whether this is a stream of this issuer whose client was not removed.
pub(crate) async fn is_living(conn: &mut PgConnection, issuer: IssuerId, key: StreamKey) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
               select 1 from stream s join client c on c.id = s.client_id
                where s.id = $1 and s.issuer_id = $2 and c.removed_at is null
           ) as "lives!""#,
        key as _,
        issuer as _,
    )
    .fetch_one(conn)
    .await
}

/// Notes a sign of life on all streams of a client (§8.1.1, `inactivity_timeout`).
pub(crate) async fn note_activity(conn: &mut PgConnection, client: ClientKey, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "with held as (select id from stream where client_id = $1 and last_activity_at < $2 order by id for no key update)
         update stream s set last_activity_at = $2 from held where s.id = held.id",
        client as _,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// All streams of a client, oldest first.
pub(crate) async fn all_of_client(conn: &mut PgConnection, client: ClientKey) -> sqlx::Result<Vec<Stream>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "key: StreamKey", issuer_id as "issuer_id: IssuerId", client_id as "client: ClientKey", audience, status,
                  status_reason, delivery_method, endpoint_url, events_requested, events_delivered, description, legacy_words, format,
                  algorithm, min_verification_interval_s, inactivity_timeout_s, created_at
             from stream where client_id = $1 order by created_at, id"#,
        client as _,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Stream::from).collect())
}

/// Disables every stream of an issuer.
pub(crate) async fn disable_all(
    conn: &mut PgConnection,
    issuer: IssuerId,
    reason: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with held as (select id from stream where issuer_id = $1 and status <> 'disabled' order by id for no key update)
         update stream s set status = 'disabled', status_reason = $2, updated_at = $3 from held where s.id = held.id",
        issuer as _,
        reason,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What becomes of the stored authorization header.
pub(crate) enum StoredAuthorization<'a> {
    /// It stays.
    Keep,
    /// It is replaced, or removed.
    Replace(Option<&'a [u8]>),
}

/// Writes what the receiver wants now.
pub(crate) async fn configure(
    conn: &mut PgConnection,
    key: StreamKey,
    wanted: &Wanted,
    authorization: StoredAuthorization<'_>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let (replaces, replacement) = match authorization {
        StoredAuthorization::Keep => (false, None),
        StoredAuthorization::Replace(sealed) => (true, sealed),
    };
    sqlx::query!(
        "update stream set events_requested = $2, events_delivered = $3, delivery_method = $4, endpoint_url = $5, description = $6,
                authorization_sealed = case when $7 then $8 else authorization_sealed end, updated_at = $9, legacy_words = $10, format = $11
          where id = $1",
        key as _,
        wanted.events_requested.as_deref() as _,
        &wanted.events_delivered,
        wanted.method.as_str(),
        wanted.endpoint_url.as_deref(),
        wanted.description.as_deref(),
        replaces,
        replacement,
        now as _,
        wanted.legacy_words,
        wanted.format.as_deref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets what trouble there was with the receiver: a new address, or new credentials, start with a closed breaker.
pub(crate) async fn forget_trouble(conn: &mut PgConnection, key: StreamKey) -> sqlx::Result<()> {
    sqlx::query!(
        "update stream_health set failures = 0, retry_at = null, trouble = null where stream_id = $1 and failures > 0",
        key as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Until the transaction ends nothing can be added to the stream.
pub(crate) async fn hold(conn: &mut PgConnection, key: StreamKey) -> sqlx::Result<()> {
    sqlx::query!("select id from stream where id = $1 for update", key as _).fetch_optional(conn).await?;
    Ok(())
}

/// Removes the stream's row; nothing may wait on it any more.
pub(crate) async fn delete(conn: &mut PgConnection, key: StreamKey) -> sqlx::Result<()> {
    sqlx::query!("delete from stream where id = $1", key as _).execute(conn).await?;
    Ok(())
}

/// Takes the right to one verification request; `Err(seconds)` to wait (rounded up) if the receiver is faster than its interval
/// (§8.1.4.2), counted per stream.
pub(crate) async fn take_verification(
    conn: &mut PgConnection,
    key: StreamKey,
    now: Timestamp,
) -> sqlx::Result<Result<(), u64>> {
    let taken = sqlx::query!(
        "update stream set last_verification_at = $2 where id = $1
            and (last_verification_at is null or last_verification_at + make_interval(secs => min_verification_interval_s) <= $2)",
        key as _,
        now as _,
    )
    .execute(&mut *conn)
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(Ok(()));
    }
    let free_at = sqlx::query_scalar!(
        r#"select last_verification_at + make_interval(secs => min_verification_interval_s) as "at: Timestamp" from stream where id = $1"#,
        key as _,
    )
    .fetch_optional(conn)
    .await?;
    Ok(Err(free_at.flatten().map_or(1, |at| at.since(now).as_millis().div_ceil(1_000).try_into().unwrap_or(1))))
}

/// The status of this stream, if it is the issuer's.
pub(crate) async fn status_of(
    conn: &mut PgConnection,
    key: StreamKey,
    issuer: IssuerId,
) -> sqlx::Result<Option<StreamStatus>> {
    let status =
        sqlx::query_scalar!("select status from stream where id = $1 and issuer_id = $2", key as _, issuer as _);
    let status = status.fetch_optional(conn).await?;
    Ok(status.map(|word| word.parse().expect("a CHECK allows only the three statuses")))
}

/// What fan-out must know of a stream.
pub(crate) struct Subscription {
    pub(crate) key: StreamKey,
    pub(crate) issuer_id: IssuerId,
    pub(crate) status: StreamStatus,
    pub(crate) method: DeliveryMethod,
    pub(crate) events_delivered: Vec<String>,
    /// Whether it may not want every subject.
    pub(crate) filters_subjects: bool,
}

/// The streams that hold or send: enabled and paused ones.
pub(crate) async fn subscriptions(conn: &mut PgConnection, issuers: &[IssuerId]) -> sqlx::Result<Vec<Subscription>> {
    let rows = sqlx::query!(
        r#"select id as "key: StreamKey", issuer_id as "issuer_id: IssuerId", status, delivery_method, events_delivered,
                  (default_subjects = 'NONE' or subjects_excluded > 0) as "filters_subjects!"
             from stream where issuer_id = any($1) and status <> 'disabled' order by id"#,
        issuers as _,
    )
    .fetch_all(conn)
    .await?;
    let subscriptions = rows.into_iter().map(|row| Subscription {
        key: row.key,
        issuer_id: row.issuer_id,
        status: row.status.parse().expect("a CHECK allows only the three statuses"),
        method: if row.delivery_method == "push" { DeliveryMethod::Push } else { DeliveryMethod::Poll },
        events_delivered: row.events_delivered,
        filters_subjects: row.filters_subjects,
    });
    Ok(subscriptions.collect())
}

/// Sets whose windows hold on a stream.
pub(crate) async fn set_level(
    conn: &mut PgConnection,
    stream: StreamKey,
    level: Option<Level>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let level = level.map(Level::as_str);
    sqlx::query!("update stream set level = $2, updated_at = $3 where id = $1", stream as _, level, now as _)
        .execute(conn)
        .await?;
    Ok(())
}
