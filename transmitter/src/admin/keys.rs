//! The keys of one issuer in an operator's hands: a look at them, and what cannot wait for the rotation.

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use sqlx::{PgPool, Postgres, Transaction};
use ssf_common::clock::Timestamp;
use ssf_common::id::KeyId;
use ssf_common::jwks::{Algorithm, ImportError, SigningKey};
use ssf_common::runtime::Env;
use utoipa::ToSchema;

use crate::audit::Actor;
use crate::config::Settings;
use crate::issuer::Issuer;
use crate::keys::{Change, Key, KeyRingError, KeyState, Rotation, SealingKey, active_of, next_of, outlook, store};
use crate::stream::{StreamKey, algorithm as signed_with};

/// What the configuration says about keys.
#[derive(Clone, Copy, Debug)]
pub struct KeyRules {
    /// How streams are signed whose issuer and client say nothing (`issuer.algorithm`).
    pub algorithm: Algorithm,
    /// How keys follow each other.
    pub rotation: Rotation,
}

impl KeyRules {
    /// Those of these settings.
    pub fn of(settings: &Settings) -> Self {
        Self { algorithm: settings.issuer.algorithm, rotation: Rotation::from(&settings.keys) }
    }
}

/// The keys of one issuer, and who wants to change them. Every change is one transaction with its entry in the audit log;
/// running services know of it at once.
#[derive(Clone, Copy, Debug)]
pub struct IssuerKeys<'a> {
    /// The database.
    pub pool: &'a PgPool,
    /// Whose keys.
    pub issuer: &'a Issuer,
    /// The configuration.
    pub rules: KeyRules,
    /// What the service seals private keys with.
    pub sealing: &'a SealingKey,
    /// Who acts.
    pub actor: &'a Actor,
    /// Time and chance.
    pub env: &'a Env,
}

/// A key as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedKey {
    /// Its id in headers and in the published set.
    pub kid: KeyId,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// next, active, retired or removed.
    pub state: &'static str,
    /// When it came into this state.
    pub since: Timestamp,
    /// When it was made or imported; published since then.
    pub created_at: Timestamp,
    /// Until when it is published, as far as that can be said; in the past if it is removed.
    pub published_until: Option<Timestamp>,
    /// The state it will come into; `None` if that is up to the operator.
    pub next_state: Option<&'static str>,
    /// When.
    pub next_at: Option<Timestamp>,
}

/// A key that was put on its way by [`IssuerKeys::rotate`] or [`IssuerKeys::import`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EnteredKey {
    /// Its id.
    pub kid: KeyId,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Since when it is published.
    pub published_since: Timestamp,
    /// From when on it signs. Sooner than the rotation would have it means: receivers that keep an older key set do not
    /// know it, and refuse what it signs until they read the set anew; those SETs are kept and sent again.
    pub signs_from: Timestamp,
    /// The key that signed until now and is retired, if this one signs already.
    pub replaced: Option<KeyId>,
    /// Whether it was there before.
    pub was_there: bool,
}

/// A key that was [retired](IssuerKeys::retire).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RetiredKey {
    /// Its id.
    pub kid: KeyId,
    /// What it signed with.
    pub algorithm: Algorithm,
    /// Until when it is published; `None` if it is removed already.
    pub published_until: Option<Timestamp>,
}

/// When a stream is signed as it was [set to](IssuerKeys::set_stream_algorithm).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum AlgorithmChange {
    /// From its next SET on.
    Now,
    /// When this key has been published long enough; until then as before.
    Later {
        /// The key it waits for.
        kid: KeyId,
        /// When that signs.
        at: Timestamp,
    },
}

impl IssuerKeys<'_> {
    /// The published keys, oldest first; removed ones before them if asked for.
    pub async fn list(&self, with_removed: bool) -> sqlx::Result<Vec<ListedKey>> {
        let mut tx = self.pool.begin().await?;
        // both readings are of one moment
        store::hold(&mut tx, self.issuer.id).await?;
        let keys = store::keys(&mut tx, &[self.issuer.id]).await?;
        let keys: Vec<Key> = keys.into_iter().map(|(_, key)| key).collect();
        let used = store::in_use(&mut tx, &[self.issuer.id]).await?;
        let in_use = used.into_iter().map(|(_, algorithm)| algorithm).chain([self.default_algorithm()]).collect();
        let removed = if with_removed { store::removed(&mut tx, self.issuer.id).await? } else { Vec::new() };
        tx.commit().await?;
        let removed = removed.into_iter().map(|key| ListedKey {
            kid: key.kid,
            algorithm: key.algorithm,
            state: "removed",
            since: key.gone_since,
            created_at: key.created_at,
            published_until: Some(key.gone_since),
            next_state: None,
            next_at: None,
        });
        Ok(removed.chain(keys.iter().map(|key| self.listed(key, &keys, &in_use))).collect())
    }

    fn listed(&self, key: &Key, keys: &[Key], in_use: &BTreeSet<Algorithm>) -> ListedKey {
        let outlook = outlook(key, keys, in_use, &self.rules.rotation);
        let after = self.rules.rotation.after;
        let (since, published_until) = match key.state {
            KeyState::Next => (key.created_at, None),
            KeyState::Active { since } => (since, outlook.map(|outlook| outlook.at.plus(after))),
            KeyState::Retired { since } => (since, Some(since.plus(after))),
        };
        ListedKey {
            kid: key.kid.clone(),
            algorithm: key.algorithm,
            state: key.state.as_str(),
            since,
            created_at: key.created_at,
            published_until,
            next_state: outlook.map(|outlook| outlook.what.state()),
            next_at: outlook.map(|outlook| outlook.at),
        }
    }

    /// Makes the next key of `algorithm`, or of each that is in use, where there is none; the rotation lets it sign when
    /// it was published long enough. `at_once` lets the next key, made now if need be, sign now: for a key that may have
    /// fallen into wrong hands. The very first keys of an issuer sign at once anyway.
    pub async fn rotate(&self, algorithm: Option<Algorithm>, at_once: bool) -> Result<Vec<EnteredKey>, KeysError> {
        let mut tx = self.pool.begin().await?;
        let mut change = self.change(&mut tx).await?;
        let algorithms = match algorithm {
            Some(algorithm) => BTreeSet::from([algorithm]),
            None => change.in_use(self.default_algorithm()).await?,
        };
        let before = change.keys().await?;
        let at_once = at_once || !change.had_any().await?;
        let mut entered = Vec::new();
        for algorithm in algorithms {
            let kid = change.make(algorithm).await?;
            entered.push(self.enter(&mut change, &kid, &before, at_once).await?);
        }
        change.finish().await?;
        tx.commit().await?;
        Ok(entered)
    }

    /// Brings a private key in, as PEM or JWK. It is next, like one of ours, or signs `at_once`, as the very first of an
    /// issuer does anyway.
    pub async fn import(
        &self,
        text: &SecretString,
        algorithm: Option<Algorithm>,
        at_once: bool,
    ) -> Result<EnteredKey, KeysError> {
        let text = text.clone();
        // checking a long RSA key takes a while
        let key = tokio::task::spawn_blocking(move || SigningKey::import(&text, algorithm)).await;
        let key = key.map_err(|_| ImportError::Broken)??;
        let mut tx = self.pool.begin().await?;
        let mut change = self.change(&mut tx).await?;
        let before = change.keys().await?;
        if before.iter().any(|known| known.kid == *key.key_id()) {
            return Err(KeysError::KidTaken);
        }
        if store::is_removed(change.conn(), self.issuer.id, key.key_id()).await? {
            return Err(KeysError::KidRemoved);
        }
        if next_of(&before, key.algorithm()).is_some() {
            return Err(KeysError::NextIsThere(key.algorithm()));
        }
        let at_once = at_once || !change.had_any().await?;
        if !change.add(&key, "key.imported").await? {
            return Err(KeysError::KidTaken);
        }
        let entered = self.enter(&mut change, key.key_id(), &before, at_once).await?;
        change.finish().await?;
        tx.commit().await?;
        Ok(entered)
    }

    async fn enter(
        &self,
        change: &mut Change<'_>,
        kid: &KeyId,
        before: &[Key],
        at_once: bool,
    ) -> Result<EnteredKey, KeysError> {
        if at_once {
            change.activate(kid).await?;
        }
        let keys = change.keys().await?;
        let key = keys.iter().find(|key| key.kid == *kid).ok_or(KeysError::Unknown)?;
        let replaced = active_of(before, key.algorithm).filter(|_| at_once).map(|key| key.kid.clone());
        Ok(EnteredKey {
            kid: kid.clone(),
            algorithm: key.algorithm,
            published_since: key.created_at,
            signs_from: match key.state {
                KeyState::Active { since } | KeyState::Retired { since } => since,
                KeyState::Next => key.created_at.plus(self.rules.rotation.ahead),
            },
            replaced,
            was_there: before.iter().any(|known| known.kid == *kid),
        })
    }

    /// Ends the signing of a key that nobody needs, or takes back a next key. With `remove` it also leaves the published
    /// set at once: for a key in wrong hands, after another took its place. Whatever it signed and is still on its way is
    /// refused then, kept, and sent again under the new one.
    pub async fn retire(&self, kid: &KeyId, remove: bool) -> Result<RetiredKey, KeysError> {
        let mut tx = self.pool.begin().await?;
        let mut change = self.change(&mut tx).await?;
        let keys = change.keys().await?;
        let key = keys.iter().find(|key| key.kid == *kid).ok_or(KeysError::Unknown)?;
        match key.state {
            KeyState::Active { .. } if change.in_use(self.default_algorithm()).await?.contains(&key.algorithm) => {
                return Err(KeysError::InUse(key.algorithm));
            }
            KeyState::Retired { .. } if !remove => return Err(KeysError::RetiredAlready),
            KeyState::Active { .. } => change.retire(kid).await?,
            KeyState::Next | KeyState::Retired { .. } => {}
        }
        // nobody can have seen anything signed by a key that never signed
        let is_removed = remove || key.state == KeyState::Next;
        if is_removed {
            change.remove(kid).await?;
        }
        change.finish().await?;
        tx.commit().await?;
        let published_until = (!is_removed).then(|| self.env.now().plus(self.rules.rotation.after));
        Ok(RetiredKey { kid: kid.clone(), algorithm: key.algorithm, published_until })
    }

    /// Signs a stream with `algorithm` from now on, or, if there is no active key for it, as soon as there is one.
    pub async fn set_stream_algorithm(
        &self,
        stream: StreamKey,
        algorithm: Algorithm,
    ) -> Result<AlgorithmChange, KeysError> {
        let now = self.env.now();
        let mut tx = self.pool.begin().await?;
        let mut change = self.change(&mut tx).await?;
        let is_active = active_of(&change.keys().await?, algorithm).is_some();
        let is_there =
            signed_with::store::set(change.conn(), self.issuer.id, stream, algorithm, is_active, now).await?;
        if !is_there {
            return Err(KeysError::NoStream);
        }
        change.record("stream.algorithm_set", stream.to_string(), json!({ "algorithm": algorithm }));
        let done = if is_active {
            AlgorithmChange::Now
        } else {
            let kid = change.make(algorithm).await?;
            let keys = change.keys().await?;
            let published = keys.iter().find(|key| key.kid == kid).map_or(now, |key| key.created_at);
            AlgorithmChange::Later { kid, at: published.plus(self.rules.rotation.ahead) }
        };
        change.finish().await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn change<'c>(&'c self, tx: &'c mut Transaction<'static, Postgres>) -> sqlx::Result<Change<'c>> {
        Change::begin(tx, self.issuer, self.actor, self.sealing, self.env).await
    }

    fn default_algorithm(&self) -> Algorithm {
        self.issuer.own.algorithm.unwrap_or(self.rules.algorithm)
    }
}

/// Why keys are left as they are.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Not published, or not this issuer's.
    #[error("this issuer publishes no key of this id; see `keys list`")]
    Unknown,
    /// Its streams could not be signed any more.
    #[error(
        "it is the active key of {0}, which is in use; let another take its place first: keys rotate --algorithm {0} --now"
    )]
    InUse(Algorithm),
    /// Nothing to do.
    #[error("it is retired already; --remove takes it out of the published set at once")]
    RetiredAlready,
    /// Two keys of one id cannot be told apart.
    #[error("this issuer has a key of the same id (`kid`) already")]
    KidTaken,
    /// Somebody may still know the other one.
    #[error("this issuer had a key of the same id (`kid`), which was removed; ids are not used again")]
    KidRemoved,
    /// One at a time.
    #[error("there is a next key of {0} already; wait until it signs, or take it back with: keys retire KID")]
    NextIsThere(Algorithm),
    /// No such stream at this issuer.
    #[error("this issuer has no such stream; see `stream list`")]
    NoStream,
    /// It is not a key we can use.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Keys could not be made or opened.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// The database did not answer.
    #[error("the keys could not be changed")]
    Database(#[from] sqlx::Error),
}
