//! SQL of a stream's list. Whoever changes one holds the stream's row until the transaction ends.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::protocol::DefaultSubjects;

use crate::issuer::IssuerId;
use crate::stream::StreamKey;
use crate::stream::subjects::keys::{Entry, Key, Shape};

/// The sealed secret of an issuer's subjects.
pub(crate) async fn secret(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!("select sealed from subject_secret where issuer_id = $1", issuer as _)
        .fetch_optional(conn)
        .await
}

/// Keeps a secret for an issuer that has none.
pub(crate) async fn insert_secret(
    conn: &mut PgConnection,
    issuer: IssuerId,
    sealed: &[u8],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into subject_secret (issuer_id, sealed, created_at) values ($1, $2, $3) on conflict do nothing",
        issuer as _,
        sealed,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Says whether a new stream has all subjects or none; it stays so.
pub(crate) async fn set_default(
    conn: &mut PgConnection,
    stream: StreamKey,
    default: DefaultSubjects,
) -> sqlx::Result<()> {
    let word = if default == DefaultSubjects::None { "NONE" } else { "ALL" };
    sqlx::query!("update stream set default_subjects = $2 where id = $1", stream as _, word).execute(conn).await?;
    Ok(())
}

/// A stream and its list as a whole.
pub(crate) struct Standing {
    /// Whether it has all subjects but those removed, or only those added.
    pub(crate) default: DefaultSubjects,
    /// How many keys its subjects have together.
    pub(crate) subject_keys: u32,
}

/// How a stream's list stands.
pub(crate) async fn standing(conn: &mut PgConnection, stream: StreamKey) -> sqlx::Result<Standing> {
    let row = sqlx::query!("select default_subjects, subject_keys from stream where id = $1", stream as _)
        .fetch_one(conn)
        .await?;
    Ok(Standing {
        default: if row.default_subjects == "NONE" { DefaultSubjects::None } else { DefaultSubjects::All },
        subject_keys: u32::try_from(row.subject_keys).unwrap_or(0),
    })
}

/// How a subject stands on a list.
pub(crate) struct Listed {
    /// It was added, and not removed since.
    pub(crate) stays: bool,
    /// It was removed from a stream that has all others.
    pub(crate) excluded: bool,
    /// As the receiver said.
    pub(crate) verified: bool,
}

/// How the subject stands, if it is on the list.
pub(crate) async fn listed(conn: &mut PgConnection, stream: StreamKey, digest: Key) -> sqlx::Result<Option<Listed>> {
    sqlx::query_as!(
        Listed,
        r#"select coalesce(included_until = 'infinity', false) as "stays!", excluded_from is not null as "excluded!", verified
             from stream_subject where stream_id = $1 and digest = $2 limit 1"#,
        stream as _,
        digest as _,
    )
    .fetch_optional(conn)
    .await
}

/// What a receiver said of a subject that is not on its list.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    /// Its events are wanted.
    Added {
        /// As the receiver said.
        verified: bool,
    },
    /// On a stream that has all: its events are no longer wanted from then on.
    Removed {
        /// The end of the grace.
        from: Timestamp,
    },
}

/// Puts a subject on the list.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    stream: StreamKey,
    entry: &Entry,
    word: Word,
    now: Timestamp,
) -> sqlx::Result<()> {
    let (verified, excluded_from) = match word {
        Word::Added { verified } => (verified, None),
        Word::Removed { from } => (true, Some(from)),
    };
    sqlx::query!(
        "insert into stream_subject (stream_id, digest, key, shape, included_until, excluded_from, verified, changed_at)
         select $1, $2, key, $4, case when $5::timestamptz is null then 'infinity'::timestamptz end, $5, $6, $7
           from unnest($3::bytea[]) as k (key)",
        stream as _,
        entry.digest as _,
        &entry.keys as &[Key],
        entry.shape.as_ref().map(|shape| shape.id) as _,
        excluded_from as _,
        verified,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The subject is wanted, whatever was said before.
pub(crate) async fn include(
    conn: &mut PgConnection,
    stream: StreamKey,
    digest: Key,
    verified: bool,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update stream_subject set included_until = 'infinity', excluded_from = null, verified = $3, changed_at = $4
          where stream_id = $1 and digest = $2",
        stream as _,
        digest as _,
        verified,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The subject is no longer wanted from `ends_at` on: what was added ends then, and a stream that has all others
/// (`excludes`) has all but this.
pub(crate) async fn end(
    conn: &mut PgConnection,
    stream: StreamKey,
    digest: Key,
    ends_at: Timestamp,
    excludes: bool,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update stream_subject
            set included_until = case when included_until = 'infinity' then $3 else included_until end,
                excluded_from = case when $4 then coalesce(excluded_from, $3) else excluded_from end, changed_at = $5
          where stream_id = $1 and digest = $2",
        stream as _,
        digest as _,
        ends_at as _,
        excludes,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// By how much a list grew; less than 0 where it shrank.
#[derive(Clone, Copy, Default)]
pub(crate) struct Change {
    pub(crate) subjects: i32,
    pub(crate) keys: i32,
    pub(crate) excluded: i32,
}

/// Counts a change of the list.
pub(crate) async fn count(conn: &mut PgConnection, stream: StreamKey, change: Change) -> sqlx::Result<()> {
    sqlx::query!(
        "update stream set subjects = subjects + $2, subject_keys = subject_keys + $3, subjects_excluded = subjects_excluded + $4
          where id = $1",
        stream as _,
        change.subjects,
        change.keys,
        change.excluded,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts one more subject of this shape; `false` if that would be a shape more than `most`.
pub(crate) async fn count_shape(
    conn: &mut PgConnection,
    stream: StreamKey,
    shape: &Shape,
    most: u32,
) -> sqlx::Result<bool> {
    let counted = sqlx::query!(
        "insert into stream_subject_shape as known (stream_id, shape, names, subjects)
         select $1, $2, $3, 1
          where exists (select 1 from stream_subject_shape where stream_id = $1 and shape = $2)
             or (select count(*) from stream_subject_shape where stream_id = $1) < $4
         on conflict (stream_id, shape) do update set subjects = known.subjects + 1",
        stream as _,
        shape.id as _,
        &shape.names as &[Key],
        i64::from(most),
    )
    .execute(conn)
    .await?;
    Ok(counted.rows_affected() == 1)
}

/// Forgets the whole list of a stream that is about to be deleted. A long one is left to upkeep (a trigger remembers it), so
/// that neither the receiver nor a fan-out waits for it.
pub(crate) async fn clear(conn: &mut PgConnection, stream: StreamKey) -> sqlx::Result<()> {
    let short = sqlx::query!(
        "update stream set subjects = 0, subject_keys = 0, subjects_excluded = 0 where id = $1 and subject_keys <= $2",
        stream as _,
        CLEARED_AT_ONCE,
    )
    .execute(&mut *conn)
    .await?;
    if short.rows_affected() == 1 {
        sqlx::query!("delete from stream_subject where stream_id = $1", stream as _).execute(conn).await?;
    }
    Ok(())
}

const CLEARED_AT_ONCE: i32 = 1_000;
