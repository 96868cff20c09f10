//! A client's credentials after it was added: another secret, another method, further static tokens.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use ssf_common::runtime::Env;

use crate::audit::{self, Actor, Deed};
use crate::client::authentication::Registered;
use crate::client::authentication::store;
use crate::client::{self, AuthMethod, Authentication, ClientId, Digest, Scope, Scopes, StaticToken, TokenId};
use crate::issuer::Issuer;

/// Why a credential was not changed.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// There is no such client.
    #[error("there is no client named {0}")]
    NoClient(ClientId),
    /// The client has no secret to be changed.
    #[error("the client shows who it is by {0}, not by a secret")]
    NoSecret(AuthMethod),
    /// It could operate nothing any more.
    #[error("the whole service is operated with credentials of its own: an operator's are a secret, keys or a token")]
    OutsideOperator,
    /// The old secret would stay good for too long.
    #[error("the old secret may stay good for at most 30 days")]
    Overlap,
    /// It may not be granted that.
    #[error("the client may not be granted any of these scopes; it has {0}")]
    Scope(Scopes),
    /// The label says nothing, or too much.
    #[error("a label has 1 to 200 characters")]
    Label,
    /// There is one already.
    #[error("the client has a token of this label")]
    Labelled,
    /// There is none.
    #[error("the client has no such static token")]
    NoToken,
    /// The database did not answer.
    #[error("the database could not be used")]
    Database(#[from] sqlx::Error),
}

/// Gives a client a new secret. The old one stays good for `overlap`; with an overlap of zero it ends now, and with it
/// every token that was issued for it, as after a leak.
pub async fn rotate_secret(
    pool: &PgPool,
    issuer: &Issuer,
    client_id: &ClientId,
    overlap: Duration,
    actor: &Actor,
    env: &Env,
) -> Result<SecretString, CredentialError> {
    if overlap > LONGEST_OVERLAP {
        return Err(CredentialError::Overlap);
    }
    let now = env.now();
    let mut tx = pool.begin().await?;
    let known = known(&mut tx, issuer, client_id).await?;
    if !known.authentication.has_secret() {
        return Err(CredentialError::NoSecret(known.authentication.method()));
    }
    let secret = env.random.secret();
    let until = (!overlap.is_zero()).then(|| now.plus(overlap));
    // a statement of its own: the next one must see a token that was granted while this waited
    store::hold(&mut tx, known.client.key).await?;
    store::rotate_secret(&mut tx, known.client.key, Digest::of(&secret), until).await?;
    let details = json!({"overlap_s": overlap.as_secs()});
    let deed = Deed { actor, action: "client.secret_rotated", target: client_id.to_string(), details };
    audit::record(&mut tx, issuer.id, &deed, now).await?;
    tx.commit().await?;
    Ok(secret.into())
}

/// Gives a client another method of showing who it is; with a method that needs one, a new secret. What it had before is
/// good no more; tokens that were issued live on.
pub async fn set_authentication(
    pool: &PgPool,
    issuer: &Issuer,
    client_id: &ClientId,
    authentication: &Authentication,
    actor: &Actor,
    env: &Env,
) -> Result<Option<SecretString>, CredentialError> {
    let mut tx = pool.begin().await?;
    let known = known(&mut tx, issuer, client_id).await?;
    if known.client.is_operator && authentication.method() == AuthMethod::Outside {
        return Err(CredentialError::OutsideOperator);
    }
    let secret = authentication.has_secret().then(|| env.random.secret());
    store::set(&mut tx, known.client.key, authentication, secret.as_deref().map(Digest::of)).await?;
    let details = json!({"method": authentication.method().as_str()});
    let deed = Deed { actor, action: "client.method_changed", target: client_id.to_string(), details };
    audit::record(&mut tx, issuer.id, &deed, env.now()).await?;
    tx.commit().await?;
    Ok(secret.map(Into::into))
}

/// Gives a client a further static token, for `scopes` or for all it may.
pub async fn add_token(
    pool: &PgPool,
    issuer: &Issuer,
    client_id: &ClientId,
    label: Option<&str>,
    scopes: Option<&Scopes>,
    actor: &Actor,
    env: &Env,
) -> Result<(TokenId, SecretString), CredentialError> {
    if label.is_some_and(|label| !(1..=200).contains(&label.chars().count()) || label.contains('\0')) {
        return Err(CredentialError::Label);
    }
    let now = env.now();
    let mut tx = pool.begin().await?;
    let known = known(&mut tx, issuer, client_id).await?;
    let limit = &known.client.scopes;
    let scopes = scopes.map_or_else(|| limit.clone(), |asked| asked.within(limit));
    if scopes.is_empty() {
        return Err(CredentialError::Scope(limit.clone()));
    }
    let token = env.random.secret();
    let id = TokenId::new(now, &*env.random);
    let details = json!({"token": id, "label": label, "scopes": scopes.to_string()});
    let of = StaticToken { id, label: label.map(ToOwned::to_owned), scopes, created_at: now };
    if !store::add_static_token(&mut tx, Digest::of(&token), known.client.key, &of).await? {
        return Err(CredentialError::Labelled);
    }
    let deed = Deed { actor, action: "client.token_added", target: client_id.to_string(), details };
    audit::record(&mut tx, issuer.id, &deed, now).await?;
    tx.commit().await?;
    Ok((id, token.into()))
}

/// A client's static tokens, oldest first; the tokens themselves are nowhere.
pub async fn list_tokens(
    pool: &PgPool,
    issuer: &Issuer,
    client_id: &ClientId,
) -> Result<Vec<StaticToken>, CredentialError> {
    let mut conn = pool.acquire().await?;
    let known = known(&mut conn, issuer, client_id).await?;
    Ok(store::static_tokens(&mut conn, known.client.key).await?)
}

/// Ends one static token, named by its id or its label.
pub async fn revoke_token(
    pool: &PgPool,
    issuer: &Issuer,
    client_id: &ClientId,
    token: &str,
    actor: &Actor,
    env: &Env,
) -> Result<(), CredentialError> {
    let mut tx = pool.begin().await?;
    let known = known(&mut tx, issuer, client_id).await?;
    let tokens = store::static_tokens(&mut tx, known.client.key).await?;
    let named = |of: &&StaticToken| of.label.as_deref() == Some(token) || of.id.to_string() == token;
    let of = tokens.iter().find(named).ok_or(CredentialError::NoToken)?;
    if !store::revoke_static_token(&mut tx, known.client.key, of.id).await? {
        return Err(CredentialError::NoToken);
    }
    let details = json!({"token": of.id, "label": of.label});
    let deed = Deed { actor, action: "client.token_revoked", target: client_id.to_string(), details };
    audit::record(&mut tx, issuer.id, &deed, env.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// Whether this token may do what `scope` covers at this issuer, now.
pub async fn is_good_for(
    pool: &PgPool,
    issuer: &Issuer,
    token: &SecretString,
    scope: Scope,
    env: &Env,
) -> sqlx::Result<bool> {
    let mut conn = pool.acquire().await?;
    let token = Digest::of(token.expose_secret());
    let holder = client::store::principal(&mut conn, issuer.id, token, true, env.now()).await?;
    Ok(holder.is_some_and(|holder| holder.may(scope)))
}

async fn known(conn: &mut PgConnection, issuer: &Issuer, client_id: &ClientId) -> Result<Registered, CredentialError> {
    let known = store::registered(conn, issuer.id, client_id).await?;
    known.ok_or_else(|| CredentialError::NoClient(client_id.clone()))
}

const LONGEST_OVERLAP: Duration = Duration::from_hours(24 * 30);
