//! An upstream as people see it, read in one statement.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use crate::upstream::overview::{Gap, Seen, Trouble};
use crate::upstream::{UpstreamId, store};

/// The upstreams of this name, or all, by name.
pub(in crate::upstream) async fn overviews(
    db: &mut PgConnection,
    name: Option<&str>,
) -> Result<Vec<Seen>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select u.id as "id: UpstreamId", u.name, i.url as issuer, u.delivery_method,
                  s.received_at as "last_set_at?: Timestamp", l.until as "held_until?: Timestamp",
                  u.updated_at as "updated_at: Timestamp",
                  u.trouble, u.trouble_at as "trouble_at: Timestamp", m.name is not null as "is_managed!",
                  (select count(*) from withheld w where w.upstream_id = u.id and w.state = 'waiting') as "withheld!"
           from upstream u
           join issuer i on i.id = u.issuer_id
           left join managed_upstream m on m.name = u.name
           left join upstream_lease l on l.upstream_id = u.id
           -- the newest by its index; whoever has received nothing has none
           left join lateral (
               select received_at from received_set where upstream_id = u.id order by received_at desc limit 1
           ) s on true
           where $1::text is null or u.name = $1
           order by u.name"#,
        name,
    )
    .fetch_all(&mut *db)
    .await?;
    let mut seen = Vec::with_capacity(rows.len());
    for row in rows {
        let held = store::held(&mut *db, row.id).await?;
        let trouble = row.trouble.zip(row.trouble_at).map(|(text, since)| Trouble { text, since });
        seen.push(Seen {
            name: row.name,
            issuer: row.issuer,
            withheld: row.withheld,
            delivery: row.delivery_method,
            is_managed: row.is_managed,
            last_set_at: row.last_set_at,
            held_until: row.held_until,
            updated_at: row.updated_at,
            trouble,
            gaps: gaps(&mut *db, row.id).await?,
            held,
        });
    }
    Ok(seen)
}

/// The newest gaps of an upstream, the newest first.
async fn gaps(db: &mut PgConnection, id: UpstreamId) -> Result<Vec<Gap>, sqlx::Error> {
    sqlx::query_as!(
        Gap,
        r#"select since as "since: Timestamp", until as "until: Timestamp", cause from upstream_gap
           where upstream_id = $1 order by id desc limit $2"#,
        id as UpstreamId,
        SHOWN_GAPS,
    )
    .fetch_all(db)
    .await
}

const SHOWN_GAPS: i64 = 20;
