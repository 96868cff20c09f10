//! SQL of issuers and of the short names `ssf_emit` knows.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::Algorithm;
use ssf_common::protocol::DefaultSubjects;

use super::{Issuer, IssuerId, OwnDefaults};

/// An issuer's row as the macros read it.
struct Row {
    id: IssuerId,
    url: IssuerUrl,
    algorithm: Option<String>,
    default_subjects: Option<String>,
    min_verification_interval_s: Option<i32>,
    inactivity_timeout_s: Option<i32>,
    max_streams: Option<i32>,
}

impl From<Row> for Issuer {
    fn from(row: Row) -> Self {
        let seconds = |value: Option<i32>| value.and_then(|s| u32::try_from(s).ok());
        Self {
            id: row.id,
            url: row.url,
            own: OwnDefaults {
                algorithm: row.algorithm.map(|name| name.parse().expect("a CHECK allows only the four algorithms")),
                default_subjects: row
                    .default_subjects
                    .map(|word| if word == "NONE" { DefaultSubjects::None } else { DefaultSubjects::All }),
                min_verification_interval_s: seconds(row.min_verification_interval_s),
                inactivity_timeout_s: seconds(row.inactivity_timeout_s),
                max_streams: seconds(row.max_streams),
            },
        }
    }
}

/// Serves the issuer of this URL: makes its row, or serves one again that was removed. `false` if it is served already.
pub(crate) async fn add(
    conn: &mut PgConnection,
    url: &IssuerUrl,
    new_id: IssuerId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into issuer (id, url, created_at) values ($1, $2, $3)
         on conflict (url) do update set removed_at = null where issuer.removed_at is not null",
        new_id as _,
        url as _,
        now as _,
    )
    .execute(&mut *conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The issuer of this row, if it is served; its row is held.
pub(crate) async fn hold(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<Option<Issuer>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: IssuerId", url as "url: IssuerUrl", algorithm, default_subjects, min_verification_interval_s,
                  inactivity_timeout_s, max_streams
             from issuer where id = $1 and removed_at is null for no key update"#,
        issuer as _,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Issuer::from))
}

/// The issuer of this URL, if it is served.
pub(crate) async fn find(conn: &mut PgConnection, url: &IssuerUrl) -> sqlx::Result<Option<Issuer>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: IssuerId", url as "url: IssuerUrl", algorithm, default_subjects, min_verification_interval_s,
                  inactivity_timeout_s, max_streams
             from issuer where url = $1 and removed_at is null"#,
        url as _,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Issuer::from))
}

/// All issuers that are served, by birth.
pub(crate) async fn served(conn: &mut PgConnection) -> sqlx::Result<Vec<Issuer>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: IssuerId", url as "url: IssuerUrl", algorithm, default_subjects, min_verification_interval_s,
                  inactivity_timeout_s, max_streams
             from issuer where removed_at is null order by id"#,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Issuer::from).collect())
}

/// Issuers that are served, by birth, from `from` on and without the issuer `but`.
pub(crate) async fn page(
    conn: &mut PgConnection,
    from: IssuerId,
    but: Option<IssuerId>,
    limit: i64,
) -> sqlx::Result<Vec<Issuer>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: IssuerId", url as "url: IssuerUrl", algorithm, default_subjects, min_verification_interval_s,
                  inactivity_timeout_s, max_streams
             from issuer where removed_at is null and id >= $1 and id is distinct from $2 order by id limit $3"#,
        from as _,
        but as _,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Issuer::from).collect())
}

/// Writes what the issuer says of its new streams.
pub(crate) async fn set_own(conn: &mut PgConnection, issuer: IssuerId, own: &OwnDefaults) -> sqlx::Result<()> {
    let number = |value: Option<u32>| value.map(|n| i32::try_from(n).unwrap_or(i32::MAX));
    sqlx::query!(
        "update issuer set algorithm = $2, default_subjects = $3, min_verification_interval_s = $4, inactivity_timeout_s = $5,
                max_streams = $6
          where id = $1",
        issuer as _,
        own.algorithm.map(Algorithm::as_str),
        own.default_subjects.map(|subjects| if subjects == DefaultSubjects::None { "NONE" } else { "ALL" }),
        number(own.min_verification_interval_s),
        number(own.inactivity_timeout_s),
        number(own.max_streams),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stops serving the issuer.
pub(crate) async fn remove(conn: &mut PgConnection, issuer: IssuerId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("update issuer set removed_at = $2 where id = $1 and removed_at is null", issuer as _, now as _)
        .execute(conn)
        .await?;
    Ok(())
}

/// Tells every process, at commit, that issuers or their keys changed.
pub(crate) async fn ring(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_notify('ssf_issuer', '')").execute(conn).await?;
    Ok(())
}

/// Brings the short names up to date: (name, URI, lane) each.
pub(crate) async fn name_event_types(
    conn: &mut PgConnection,
    names: &[String],
    uris: &[String],
    lanes: &[i16],
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into event_type (name, uri, lane) select * from unnest($1::text[], $2::text[], $3::smallint[])
         on conflict (name) do update set uri = excluded.uri, lane = excluded.lane
         where (event_type.uri, event_type.lane) is distinct from (excluded.uri, excluded.lane)",
        names,
        uris,
        lanes,
    )
    .execute(conn)
    .await?;
    Ok(())
}
