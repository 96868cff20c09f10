//! SQL of clients and their tokens.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::jwks::Algorithm;

use super::{AuthMethod, Client, ClientId, ClientKey, Digest, Principal, Scope, Scopes};
use crate::issuer::IssuerId;

/// Adds a client. `false` if a living one has this name.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    client: &Client,
    secret: Option<Digest>,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into client (id, issuer_id, client_id, secret_digest, scopes, audience, max_streams, events_supported, created_at, is_operator, profile)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict (issuer_id, client_id) where removed_at is null do nothing",
        client.key as _,
        client.issuer_id as _,
        client.client_id.as_str(),
        secret.as_ref().map(Digest::as_bytes) as _,
        &client.scopes.words(),
        &client.audience,
        i32::try_from(client.max_streams).unwrap_or(i32::MAX),
        client.events_supported.as_deref() as _,
        now as _,
        client.is_operator,
        client.profile.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes a client: its tokens are gone, its streams disabled. `None` if there is none of this name.
pub(crate) async fn remove(
    conn: &mut PgConnection,
    issuer: IssuerId,
    client_id: &ClientId,
    now: Timestamp,
) -> sqlx::Result<Option<ClientKey>> {
    // a statement of its own: the next one must see a stream that was created while this waited
    let living = sqlx::query_scalar!(
        r#"select id as "id: ClientKey" from client where issuer_id = $1 and client_id = $2 and removed_at is null for update"#,
        issuer as _,
        client_id.as_str(),
    );
    let Some(client) = living.fetch_optional(&mut *conn).await? else { return Ok(None) };
    sqlx::query!(
        "with gone as (
             update client set removed_at = $2 where id = $1
         ), silenced as (
             delete from access_token where client_id = $1
         ), held as (
             select id from stream where client_id = $1 order by id for no key update
         )
         update stream s set status = 'disabled', status_reason = 'the client was removed', updated_at = $2
           from held where s.id = held.id",
        client as _,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(Some(client))
}

/// Holds the rows of all living clients of an issuer, by id.
pub(crate) async fn hold_all(conn: &mut PgConnection, issuer: IssuerId) -> sqlx::Result<()> {
    sqlx::query!(
        "select id from client where issuer_id = $1 and removed_at is null order by id for update",
        issuer as _
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Removes all clients of an issuer, and their tokens; their streams are another's.
pub(crate) async fn remove_all(conn: &mut PgConnection, issuer: IssuerId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "with gone as (
             update client set removed_at = $2 where issuer_id = $1 and removed_at is null
         )
         delete from access_token t using client c where c.id = t.client_id and c.issuer_id = $1",
        issuer as _,
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A living client with the number of its streams and whether it has a secret.
pub(crate) struct Listed {
    pub(crate) client: Client,
    pub(crate) streams: i64,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) auth_method: AuthMethod,
    pub(crate) has_secret: bool,
    pub(crate) created_at: Timestamp,
}

/// The living clients of an issuer by name, from the name `from` on, without the one that has the name `but`.
pub(crate) async fn list(
    conn: &mut PgConnection,
    issuer: IssuerId,
    from: &str,
    but: &str,
    limit: i64,
) -> sqlx::Result<Vec<Listed>> {
    let rows = sqlx::query!(
        r#"select id as "key: ClientKey", client_id, scopes, audience, max_streams, events_supported, is_operator, profile, algorithm, auth_method, created_at,
                  secret_digest is not null as "has_secret!",
                  (select count(*) from stream s where s.client_id = client.id) as "streams!"
             from client
            where issuer_id = $1 and removed_at is null and client_id >= $2 and client_id <> $3
            order by client_id limit $4"#,
        issuer as _,
        from,
        but,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let listed = rows.into_iter().map(|row| Listed {
        client: Client {
            key: row.key,
            issuer_id: issuer,
            client_id: ClientId(row.client_id),
            scopes: Scopes::from_words(row.scopes.iter().map(String::as_str)),
            audience: row.audience,
            max_streams: u32::try_from(row.max_streams).unwrap_or(0),
            events_supported: row.events_supported,
            is_operator: row.is_operator,
            profile: row.profile.parse().expect("a CHECK allows only the two profiles"),
        },
        streams: row.streams,
        algorithm: row.algorithm.map(|name| name.parse().expect("a CHECK allows only the four algorithms")),
        auth_method: row.auth_method.parse().expect("a CHECK allows only the methods there are"),
        has_secret: row.has_secret,
        created_at: row.created_at,
    });
    Ok(listed.collect())
}

/// Whether the issuer ever had a client of this name.
pub(crate) async fn was_known(conn: &mut PgConnection, issuer: IssuerId, client_id: &ClientId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from client where issuer_id = $1 and client_id = $2) as "found!""#,
        issuer as _,
        client_id.as_str(),
    );
    found.fetch_one(conn).await
}

/// How many living operators there are, at all issuers that are served, who have a credential to operate with.
pub(crate) async fn count_operators(conn: &mut PgConnection) -> sqlx::Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from client c join issuer i on i.id = c.issuer_id
            where c.is_operator and c.removed_at is null and i.removed_at is null
              and (c.secret_digest is not null or c.auth_method in ('private_key_jwt', 'none')
                   or exists (select from access_token t where t.client_id = c.id and t.kind = 'static'))"#
    );
    count.fetch_one(conn).await
}

/// Keeps a static token's digest.
pub(crate) async fn insert_token(
    conn: &mut PgConnection,
    token: Digest,
    client: ClientKey,
    scopes: &Scopes,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into access_token (digest, client_id, kind, scopes, created_at) values ($1, $2, 'static', $3, $4)",
        token.as_bytes(),
        client as _,
        &scopes.words(),
        now as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Who holds this token at this issuer, unless it ended; one from the token endpoint only if `with_issued`. What the
/// client may today limits what the token says; an operator of another issuer may administer here, and nothing else.
pub(crate) async fn principal(
    conn: &mut PgConnection,
    issuer: IssuerId,
    token: Digest,
    with_issued: bool,
    now: Timestamp,
) -> sqlx::Result<Option<Principal>> {
    let row = sqlx::query!(
        r#"select c.id as "key: ClientKey", c.issuer_id as "issuer_id: IssuerId", c.client_id, c.scopes, c.audience, c.max_streams,
                  c.events_supported, c.is_operator, c.profile, t.scopes as granted
             from access_token t join client c on c.id = t.client_id
            where t.digest = $1 and (c.issuer_id = $2 or c.is_operator) and c.removed_at is null
              and (t.expires_at is null or t.expires_at > $3) and (t.kind = 'static' or $4)"#,
        token.as_bytes(),
        issuer as _,
        now as _,
        with_issued,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let limit = Scopes::from_words(row.scopes.iter().map(String::as_str));
        let mut scopes = Scopes::from_words(row.granted.iter().map(String::as_str)).within(&limit);
        if row.issuer_id != issuer {
            scopes = scopes.within(&Scopes::from_iter([Scope::Admin]));
        }
        let client = Client {
            key: row.key,
            issuer_id: row.issuer_id,
            client_id: ClientId(row.client_id),
            scopes: limit,
            audience: row.audience,
            max_streams: u32::try_from(row.max_streams).unwrap_or(0),
            events_supported: row.events_supported,
            is_operator: row.is_operator,
            profile: row.profile.parse().expect("a CHECK allows only the two profiles"),
        };
        Principal { client, scopes }
    }))
}

/// Forgets issued tokens that ended before `before`; returns how many.
pub(crate) async fn forget_expired_tokens(conn: &mut PgConnection, before: Timestamp) -> sqlx::Result<u64> {
    Ok(sqlx::query!("delete from access_token where expires_at < $1", before as _).execute(conn).await?.rows_affected())
}
