//! The tables `issuer` and `upstream`. Called by this stage only, and by whoever sets an upstream up.

use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::IssuerUrl;

use super::{IssuerId, Method, UpstreamId};

/// An upstream to be written down for the first time; no stream exists yet.
#[derive(Clone, Debug)]
pub struct NewUpstream<'a> {
    /// Its id, if the name is new.
    pub id: UpstreamId,
    /// The operator's name for it: lower-case letters, digits, `-` and `_`.
    pub name: &'a str,
    /// Whose SETs it delivers.
    pub issuer_id: IssuerId,
    /// How they reach us.
    pub method: Method,
    /// SHA-256 of the `Authorization` value the transmitter must present; required for push.
    pub push_authorization_hash: Option<&'a [u8; 32]>,
}

/// The id of the issuer with this URL, which gets `id` if it was not known before.
pub async fn ensure_issuer(
    db: &mut PgConnection,
    url: &IssuerUrl,
    id: IssuerId,
    now: Timestamp,
) -> Result<IssuerId, sqlx::Error> {
    // The update changes nothing; it makes the row that is already there come back.
    sqlx::query_scalar!(
        r#"insert into issuer (id, url, created_at) values ($1, $2, $3)
           on conflict (url) do update set url = excluded.url
           returning id as "id: IssuerId""#,
        id as IssuerId,
        url.as_str(),
        now as Timestamp,
    )
    .fetch_one(db)
    .await
}

/// The id of the upstream with this name. It is written down if it is new; its issuer, delivery method and push
/// authorization follow the configuration.
pub async fn ensure(db: &mut PgConnection, new: &NewUpstream<'_>, now: Timestamp) -> Result<UpstreamId, sqlx::Error> {
    sqlx::query_scalar!(
        r#"insert into upstream (id, name, issuer_id, delivery_method, push_authorization_hash, created_at, updated_at)
           values ($1, $2, $3, $4, $5, $6, $6)
           on conflict (name) do update
           set issuer_id = excluded.issuer_id, delivery_method = excluded.delivery_method,
               push_authorization_hash = excluded.push_authorization_hash, updated_at = excluded.updated_at
           returning id as "id: UpstreamId""#,
        new.id as UpstreamId,
        new.name,
        new.issuer_id as IssuerId,
        new.method.as_str(),
        new.push_authorization_hash.map(<[u8; 32]>::as_slice),
        now as Timestamp,
    )
    .fetch_one(db)
    .await
}

/// Remembers that a verification with this state was asked for, in place of any that is still pending.
pub async fn await_verification(
    db: &mut PgConnection,
    id: UpstreamId,
    state: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update upstream set verification_state = $2, verification_sent_at = $3, updated_at = $3 where id = $1",
        id as UpstreamId,
        state,
        now as Timestamp,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
