//! SQL of how clients show who they are: methods, secrets and keys, used assertions, static tokens.

use serde_json::Value;
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;

use super::{Authentication, ClientKeys, PublicKeys, Registered, StaticToken};
use crate::client::{Client, ClientId, ClientKey, Digest, Scopes, TokenId};
use crate::issuer::IssuerId;

/// The living client of this name with what it registered.
pub(crate) async fn registered(
    conn: &mut PgConnection,
    issuer: IssuerId,
    client_id: &ClientId,
) -> sqlx::Result<Option<Registered>> {
    let row = sqlx::query!(
        r#"select id as "key: ClientKey", scopes, audience, max_streams, events_supported, is_operator, profile, auth_method,
                  jwks as "jwks: Value", jwks_uri, authorization_server, secret_digest, previous_secret_digest, previous_secret_until
             from client where issuer_id = $1 and client_id = $2 and removed_at is null"#,
        issuer as _,
        client_id.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Registered {
        client: Client {
            key: row.key,
            issuer_id: issuer,
            client_id: client_id.clone(),
            scopes: Scopes::from_words(row.scopes.iter().map(String::as_str)),
            audience: row.audience,
            max_streams: u32::try_from(row.max_streams).unwrap_or(0),
            events_supported: row.events_supported,
            is_operator: row.is_operator,
            profile: row.profile.parse().expect("a CHECK allows only the two profiles"),
        },
        authentication: match (row.auth_method.as_str(), row.jwks, row.jwks_uri.and_then(|uri| uri.parse().ok())) {
            ("none", ..) => Authentication::Public,
            ("authorization_server", ..) => Authentication::Outside(row.authorization_server.unwrap_or_default()),
            ("client_secret_post", ..) => Authentication::SecretPost,
            ("private_key_jwt", Some(set), _) => Authentication::Keys(ClientKeys::Here(PublicKeys::stored(set))),
            ("private_key_jwt", None, Some(uri)) => Authentication::Keys(ClientKeys::At(uri)),
            _ => Authentication::SecretBasic,
        },
        secret: row.secret_digest.as_deref().and_then(Digest::stored),
        previous: row.previous_secret_digest.as_deref().and_then(Digest::stored).zip(row.previous_secret_until),
    }))
}

/// Gives a client this method and what belongs to it; a secret of before is gone unless `secret` is given.
pub(crate) async fn set(
    conn: &mut PgConnection,
    client: ClientKey,
    authentication: &Authentication,
    secret: Option<Digest>,
) -> sqlx::Result<()> {
    let (jwks, jwks_uri) = match authentication {
        Authentication::Keys(ClientKeys::Here(keys)) => (Some(&keys.0), None),
        Authentication::Keys(ClientKeys::At(uri)) => (None, Some(uri.as_str())),
        _ => (None, None),
    };
    let server = match authentication {
        Authentication::Outside(issuer) => Some(issuer.as_str()),
        _ => None,
    };
    sqlx::query!(
        "update client set auth_method = $2, jwks = $3, jwks_uri = $4, secret_digest = $5, previous_secret_digest = null,
                previous_secret_until = null, authorization_server = $6
          where id = $1",
        client as _,
        authentication.method().as_str(),
        jwks as _,
        jwks_uri,
        secret.as_ref().map(Digest::as_bytes) as _,
        server,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps the digest of a token that was granted to `known`, unless the client was removed, or its method or secret changed,
/// since it was read: `false` then, and nothing is kept.
pub(crate) async fn grant_token(
    conn: &mut PgConnection,
    token: Digest,
    known: &Registered,
    scopes: &Scopes,
    now: Timestamp,
    expires_at: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "with unchanged as (
             select id from client
              where id = $2 and removed_at is null and auth_method = $3 and secret_digest is not distinct from $4
                for share
         )
         insert into access_token (digest, client_id, kind, scopes, created_at, expires_at)
         select $1, id, 'issued', $5, $6, $7 from unchanged",
        token.as_bytes(),
        known.client.key as _,
        known.authentication.method().as_str(),
        known.secret.as_ref().map(Digest::as_bytes) as _,
        &scopes.words(),
        now as _,
        expires_at as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Holds the client's row, so that no token is granted while its credential changes.
pub(crate) async fn hold(conn: &mut PgConnection, client: ClientKey) -> sqlx::Result<()> {
    sqlx::query!("select id from client where id = $1 for update", client as _).fetch_optional(conn).await?;
    Ok(())
}

/// Gives a client a new secret; the old one stays good until `until`. Without that, what was issued by the old one ends too.
pub(crate) async fn rotate_secret(
    conn: &mut PgConnection,
    client: ClientKey,
    secret: Digest,
    until: Option<Timestamp>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with rotated as (
             update client set secret_digest = $2,
                    previous_secret_digest = case when $3::timestamptz is null then null else secret_digest end,
                    previous_secret_until = case when secret_digest is null then null else $3::timestamptz end
              where id = $1
         )
         delete from access_token where client_id = $1 and kind = 'issued' and $3::timestamptz is null",
        client as _,
        secret.as_bytes(),
        until as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether this assertion was not used before; from now on it was.
pub(crate) async fn use_assertion(
    conn: &mut PgConnection,
    client: ClientKey,
    jti: Digest,
    expires_at: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into client_assertion (client_id, jti_digest, expires_at) values ($1, $2, $3) on conflict do nothing",
        client as _,
        jti.as_bytes(),
        expires_at as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets assertions that ended before `before`; returns how many.
pub(crate) async fn forget_assertions(conn: &mut PgConnection, before: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query!("delete from client_assertion where expires_at < $1", before as _).execute(conn).await?;
    Ok(done.rows_affected())
}

/// Keeps a further static token's digest. `false` if the client has one of this label.
pub(crate) async fn add_static_token(
    conn: &mut PgConnection,
    token: Digest,
    client: ClientKey,
    of: &StaticToken,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into access_token (digest, client_id, kind, scopes, created_at, id, label) values ($1, $2, 'static', $3, $4, $5, $6)
         on conflict (client_id, label) where label is not null do nothing",
        token.as_bytes(),
        client as _,
        &of.scopes.words(),
        of.created_at as _,
        of.id as _,
        of.label,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A client's static tokens, oldest first.
pub(crate) async fn static_tokens(conn: &mut PgConnection, client: ClientKey) -> sqlx::Result<Vec<StaticToken>> {
    let rows = sqlx::query!(
        r#"select id as "id: TokenId", label, scopes, created_at from access_token
            where client_id = $1 and kind = 'static' order by created_at, id"#,
        client as _,
    )
    .fetch_all(conn)
    .await?;
    let tokens = rows.into_iter().map(|row| StaticToken {
        id: row.id,
        label: row.label,
        scopes: Scopes::from_words(row.scopes.iter().map(String::as_str)),
        created_at: row.created_at,
    });
    Ok(tokens.collect())
}

/// Ends a static token; `false` if the client has none of this id.
pub(crate) async fn revoke_static_token(conn: &mut PgConnection, client: ClientKey, id: TokenId) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "delete from access_token where client_id = $1 and id = $2 and kind = 'static'",
        client as _,
        id as _
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
