//! SQL of issuers and of the short names `ssf_emit` knows.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;

use super::{Issuer, IssuerId};

/// The issuer of this URL, made if it is new.
pub(crate) async fn ensure(
    conn: &mut PgConnection,
    url: &IssuerUrl,
    new_id: IssuerId,
    now: Timestamp,
) -> sqlx::Result<Issuer> {
    sqlx::query!(
        "insert into issuer (id, url, created_at) values ($1, $2, $3) on conflict (url) do nothing",
        new_id as _,
        url as _,
        now as _,
    )
    .execute(&mut *conn)
    .await?;
    let id = sqlx::query_scalar!(r#"select id as "id: IssuerId" from issuer where url = $1"#, url as _)
        .fetch_one(conn)
        .await?;
    Ok(Issuer { id, url: url.clone() })
}

/// The URLs of other issuers that have living clients.
pub(crate) async fn others_with_clients(conn: &mut PgConnection, own: IssuerId) -> sqlx::Result<Vec<IssuerUrl>> {
    sqlx::query_scalar!(
        r#"select url as "url: IssuerUrl" from issuer i
            where id <> $1 and exists (select 1 from client c where c.issuer_id = i.id and c.removed_at is null) order by url"#,
        own as _,
    )
    .fetch_all(conn)
    .await
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
