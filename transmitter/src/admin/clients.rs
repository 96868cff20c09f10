//! Clients: adding, listing and removing receivers and producers.

use serde_json::json;
use sqlx::PgPool;
use ssf_common::jwks::Algorithm;
use ssf_common::runtime::Env;

use super::page::{Page, looked_for};
use crate::audit::{self, Actor, Deed};
use crate::client::authentication::store as registered;
use crate::client::{AuthMethod, Authentication, Client, ClientId, ClientKey, Digest, Profile, Scope, Scopes, store};
use crate::issuer::Issuer;
use crate::stream::algorithm;

/// A client to be added.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// The name it will authenticate with.
    pub client_id: ClientId,
    /// The most it may be granted.
    pub scopes: Scopes,
    /// `aud` of its SETs; a receiver needs one.
    pub audience: Vec<String>,
    /// How many streams it may have.
    pub max_streams: u32,
    /// The type URIs offered to it; `None` means all.
    pub events_supported: Option<Vec<String>>,
    /// How its new streams are signed; `None` means as the issuer's. Its first key must be published for a while before
    /// it signs; until then they are signed as the issuer's.
    pub algorithm: Option<Algorithm>,
    /// Whether it operates the whole service; then it needs the scope ssf.admin.
    pub is_operator: bool,
    /// How it shows who it is at the token endpoint.
    pub authentication: Authentication,
    /// In whose words it speaks.
    pub profile: Profile,
    /// Whether it gets a secret for the token endpoint.
    pub with_secret: bool,
    /// Whether it gets a static token.
    pub with_token: bool,
}

impl NewClient {
    /// A receiver that gets tokens from the token endpoint.
    pub fn receiver(client_id: &str, audience: &str) -> Self {
        Self {
            client_id: client_id.into(),
            scopes: [Scope::Read, Scope::Manage].into_iter().collect(),
            audience: vec![audience.to_owned()],
            max_streams: 1,
            events_supported: None,
            algorithm: None,
            is_operator: false,
            authentication: Authentication::default(),
            profile: Profile::Strict,
            with_secret: true,
            with_token: false,
        }
    }

    /// A producer with a static token.
    pub fn producer(client_id: &str) -> Self {
        Self {
            client_id: client_id.into(),
            scopes: [Scope::Emit].into_iter().collect(),
            audience: Vec::new(),
            max_streams: 0,
            events_supported: None,
            algorithm: None,
            is_operator: false,
            authentication: Authentication::default(),
            profile: Profile::Strict,
            with_secret: false,
            with_token: true,
        }
    }

    /// Somebody who operates the whole service, with a static token.
    pub fn operator(client_id: &str) -> Self {
        Self { scopes: [Scope::Admin].into_iter().collect(), is_operator: true, ..Self::producer(client_id) }
    }
}

/// The credentials of a new client, in plain text for the only time.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// For the token endpoint.
    pub secret: Option<secrecy::SecretString>,
    /// A static bearer token.
    pub token: Option<secrecy::SecretString>,
}

/// Adds a client. `None` if a living one has this name.
pub async fn add_client(
    pool: &PgPool,
    issuer: &Issuer,
    new: &NewClient,
    actor: &Actor,
    env: &Env,
) -> sqlx::Result<Option<Credentials>> {
    let now = env.now();
    let client = Client {
        key: ClientKey::new(now, &*env.random),
        issuer_id: issuer.id,
        client_id: new.client_id.clone(),
        scopes: new.scopes.clone(),
        audience: new.audience.clone(),
        max_streams: new.max_streams,
        events_supported: new.events_supported.clone(),
        is_operator: new.is_operator,
        profile: new.profile,
    };
    let secret = (new.with_secret && new.authentication.has_secret()).then(|| env.random.secret());
    let token = new.with_token.then(|| env.random.secret());
    let mut tx = pool.begin().await?;
    if !store::insert(&mut tx, &client, secret.as_deref().map(Digest::of), now).await? {
        return Ok(None);
    }
    if new.algorithm.is_some() {
        algorithm::store::set_for_client(&mut tx, client.key, new.algorithm).await?;
        // whoever makes keys hears of it
        crate::issuer::store::ring(&mut tx).await?;
    }
    if new.authentication != Authentication::default() {
        registered::set(&mut tx, client.key, &new.authentication, secret.as_deref().map(Digest::of)).await?;
    }
    if let Some(token) = &token {
        store::insert_token(&mut tx, Digest::of(token), client.key, &client.scopes, now).await?;
    }
    let details = json!({
        "scopes": new.scopes.to_string(), "audience": new.audience, "algorithm": new.algorithm, "operator": new.is_operator,
        "max_streams": new.max_streams, "events_supported": new.events_supported, "profile": new.profile.as_str(),
        "method": new.authentication.method().as_str(), "at": new.authentication.place(), "token": new.with_token,
    });
    let deed = Deed { actor, action: "client.added", target: new.client_id.to_string(), details };
    audit::record(&mut tx, issuer.id, &deed, now).await?;
    tx.commit().await?;
    Ok(Some(Credentials { secret: secret.map(Into::into), token: token.map(Into::into) }))
}

/// Removes a client: its tokens end and its streams are disabled at once; what waited on them the upkeep records as
/// discarded, in steps, for it may be much.
/// `false` if there is none of this name.
pub async fn remove_client(
    pool: &PgPool,
    issuer: &Issuer,
    client_id: &ClientId,
    actor: &Actor,
    env: &Env,
) -> sqlx::Result<bool> {
    let now = env.now();
    let mut tx = pool.begin().await?;
    if store::remove(&mut tx, issuer.id, client_id, now).await?.is_none() {
        return Ok(false);
    }
    let deed = Deed { actor, action: "client.removed", target: client_id.to_string(), details: json!({}) };
    audit::record(&mut tx, issuer.id, &deed, now).await?;
    tx.commit().await?;
    Ok(true)
}

/// A client as a list shows it.
#[derive(Clone, Debug)]
pub struct ListedClient {
    /// The client.
    pub client: Client,
    /// How many streams it has.
    pub streams: i64,
    /// How its new streams are signed, if not as the issuer's.
    pub algorithm: Option<Algorithm>,
    /// How it shows who it is, besides static tokens.
    pub auth_method: AuthMethod,
    /// Whether it has a secret for the token endpoint.
    pub has_secret: bool,
    /// When it was added.
    pub created_at: ssf_common::clock::Timestamp,
}

/// The living clients by name, behind the name `after`.
pub async fn list_clients(pool: &PgPool, issuer: &Issuer, after: &str, limit: u16) -> sqlx::Result<Page<ListedClient>> {
    let found = store::list(&mut *pool.acquire().await?, issuer.id, after, after, looked_for(limit)).await?;
    Ok(Page::of(found, limit, |row| row.client.client_id.to_string()).map(listed))
}

/// The living client of this name.
pub async fn find_client(pool: &PgPool, issuer: &Issuer, client_id: &ClientId) -> sqlx::Result<Option<ListedClient>> {
    let found = store::list(&mut *pool.acquire().await?, issuer.id, client_id.as_str(), "", 1).await?;
    Ok(found.into_iter().find(|row| row.client.client_id == *client_id).map(listed))
}

/// Whether the issuer ever had a client of this name, removed or not.
pub async fn was_client(pool: &PgPool, issuer: &Issuer, client_id: &ClientId) -> sqlx::Result<bool> {
    store::was_known(&mut *pool.acquire().await?, issuer.id, client_id).await
}

/// How many operators of the whole service there are.
pub async fn count_operators(pool: &PgPool) -> sqlx::Result<i64> {
    store::count_operators(&mut *pool.acquire().await?).await
}

fn listed(row: store::Listed) -> ListedClient {
    ListedClient {
        client: row.client,
        streams: row.streams,
        algorithm: row.algorithm,
        auth_method: row.auth_method,
        has_secret: row.has_secret,
        created_at: row.created_at,
    }
}
