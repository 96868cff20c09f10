//! The table `session`.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::record::{Assertions, Binding, Session};
use super::{Described, Sid, SubjectKey};

/// Writes a session down under a name that is free. `false`: the name is taken, nothing was written.
/// `None`: the issuer is not known here.
pub async fn insert(
    db: &mut PgConnection,
    sid: &Sid,
    session: &Described,
    now: Timestamp,
) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with theirs as (
               select id from issuer
               where url = $2 and exists (select from upstream u where u.issuer_id = issuer.id and u.removed_at is null)
           ),
           written as (
               insert into session (sid, issuer_id, keys, origin, validated, expires_at, binding, created_at, updated_at)
               select $1, theirs.id, $3, $4, $5, $6, $7, $8, $8 from theirs
               on conflict (sid) do nothing
               returning sid
           )
           select exists (select from written) as "written!" from theirs"#,
        sid.as_str(),
        session.issuer.as_str(),
        &session.keys as &[SubjectKey],
        session.assertions.origin as Timestamp,
        session.assertions.validated as Timestamp,
        session.expires_at as Option<Timestamp>,
        session.binding.as_str(),
        now as Timestamp,
    )
    .fetch_optional(db)
    .await
}

/// The session of this name, locked until the end of the transaction.
pub async fn lock(db: &mut PgConnection, sid: &Sid) -> Result<Option<Session>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select i.url, s.keys as "keys: Vec<SubjectKey>", s.origin, s.validated, s.expires_at, s.binding, s.ended_at
           from session s join issuer i on i.id = s.issuer_id
           where s.sid = $1
           for update of s"#,
        sid.as_str(),
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Session {
            described: Described {
                issuer: row.url.into(),
                keys: row.keys,
                assertions: Assertions { origin: row.origin, validated: row.validated },
                expires_at: row.expires_at,
                binding: binding(&row.binding)?,
            },
            ended_at: row.ended_at,
        })
    })
    .transpose()
}

/// Replaces a session that is locked; it lives from now on.
pub async fn replace(
    db: &mut PgConnection,
    sid: &Sid,
    session: &Described,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update session s
         set issuer_id = i.id, keys = $3, origin = $4, validated = $5, expires_at = $6, binding = $7,
             updated_at = $8, ended_at = null
         from issuer i
         where s.sid = $1 and i.url = $2",
        sid.as_str(),
        session.issuer.as_str(),
        &session.keys as &[SubjectKey],
        session.assertions.origin as Timestamp,
        session.assertions.validated as Timestamp,
        session.expires_at as Option<Timestamp>,
        session.binding.as_str(),
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes a newer assertion about a living session; an older one changes nothing ([`Assertions::validated_at`]).
/// `false`: there is no such session.
pub async fn validated(
    db: &mut PgConnection,
    sid: &Sid,
    at: Timestamp,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update session
         set validated = greatest(validated, $2), expires_at = coalesce($3, expires_at), updated_at = $4
         where sid = $1 and ended_at is null",
        sid.as_str(),
        at as Timestamp,
        expires_at as Option<Timestamp>,
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Marks a session as ended by the application itself. `false`: there was none, or it had ended.
pub async fn end(db: &mut PgConnection, sid: &Sid, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update session set ended_at = $2, updated_at = $2 where sid = $1 and ended_at is null",
        sid.as_str(),
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn binding(name: &str) -> Result<Binding, sqlx::Error> {
    Binding::from_name(name).ok_or_else(|| sqlx::Error::Decode("session.binding holds no known binding".into()))
}

/// The value that the first process on this database noted: this one, if there was none.
pub(super) async fn first_check_value(db: &mut PgConnection, value: &[u8; 16]) -> Result<Vec<u8>, sqlx::Error> {
    sqlx::query_scalar!(
        // the update changes nothing; it makes the row that is already there come back
        "insert into subject_key_check as known (digest) values ($1)
         on conflict (one) do update set digest = known.digest
         returning digest",
        value.as_slice(),
    )
    .fetch_one(db)
    .await
}
