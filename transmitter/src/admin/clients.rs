//! Clients: adding, listing and removing receivers and producers.

use sqlx::PgPool;
use ssf_common::runtime::Env;

use crate::client::{Client, ClientId, ClientKey, Digest, Profile, Scope, Scopes, store};
use crate::issuer::Issuer;

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
            profile: Profile::Strict,
            with_secret: false,
            with_token: true,
        }
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
        profile: new.profile,
    };
    let secret = new.with_secret.then(|| env.random.secret());
    let token = new.with_token.then(|| env.random.secret());
    let mut tx = pool.begin().await?;
    if !store::insert(&mut tx, &client, secret.as_deref().map(Digest::of), now).await? {
        return Ok(None);
    }
    if let Some(token) = &token {
        store::insert_token(&mut tx, Digest::of(token), client.key, &client.scopes, now, None).await?;
    }
    tx.commit().await?;
    Ok(Some(Credentials { secret: secret.map(Into::into), token: token.map(Into::into) }))
}

/// Removes a client: its tokens end and its streams are disabled at once; what waited on them is recorded as discarded. `false` if there is none of this name.
pub async fn remove_client(pool: &PgPool, issuer: &Issuer, client_id: &ClientId, env: &Env) -> sqlx::Result<bool> {
    let now = env.now();
    let mut tx = pool.begin().await?;
    let Some(client) = store::remove(&mut tx, issuer.id, client_id, now).await? else { return Ok(false) };
    for stream in crate::stream::store::all_of_client(&mut tx, client).await? {
        crate::stream::store::discard(&mut tx, stream.key, "client_removed", now).await?;
    }
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
    /// Whether it can use the token endpoint.
    pub has_secret: bool,
    /// When it was added.
    pub created_at: ssf_common::clock::Timestamp,
}

/// The living clients by name.
pub async fn list_clients(pool: &PgPool, issuer: &Issuer) -> sqlx::Result<Vec<ListedClient>> {
    let listed = store::list(&mut *pool.acquire().await?, issuer.id).await?;
    let show = |row: store::Listed| ListedClient {
        client: row.client,
        streams: row.streams,
        has_secret: row.has_secret,
        created_at: row.created_at,
    };
    Ok(listed.into_iter().map(show).collect())
}
