//! [`Judge`]: what becomes of each SET, and [`Seen`], which is shown of it.

use std::sync::Arc;

use serde_json::Value;
use ssf_common::id::KeyId;
use ssf_common::runtime::Env;
use ssf_common::set::{Policy, Refusal, Shapes, VerifiedSet};
use url::Url;

use super::check::claims;
use super::{Fault, Peer};
use crate::upstream::keys::{self, Keys};
use crate::upstream::link::{key_set_of, policy_of};
use crate::upstream::{KeysError, LinkError};

/// Verifies the SETs of one stream with the keys its transmitter publishes.
#[derive(Debug)]
pub(super) struct Judge {
    peer: Arc<Peer>,
    policy: Policy,
    key_set: Url,
}

/// A SET that came, and what is thought of it.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It is good.
    Verified {
        /// What it says, as we read it.
        set: Box<VerifiedSet>,
        /// Its claims as they were written.
        claims: Value,
    },
    /// It is refused.
    Refused {
        /// Its `jti`, as far as one can be read.
        jti: Option<String>,
        /// Why.
        refusal: Refusal,
    },
}

impl Judge {
    /// For SETs to these audiences. Reads the key set: one exchange.
    pub(super) async fn new(peer: Arc<Peer>, audiences: Vec<String>) -> Result<Self, Fault> {
        let key_set = key_set_of(&peer.metadata, peer.settings.is_development())?;
        peer.keys.refresh(&key_set).await.map_err(LinkError::from)?;
        let mut policy = policy_of(&peer.settings, audiences, Some(&peer.metadata), peer.max_set_bytes);
        if peer.is_lenient {
            policy.shapes = Shapes::Legacy;
        }
        Ok(Self { peer, policy, key_set })
    }

    /// What to think of it. `received_as` is the name under which it was handed out, if it was.
    ///
    /// # Errors
    /// The keys cannot be had just now.
    pub(super) async fn judged(&self, raw: &[u8], received_as: Option<&str>) -> Result<Seen, KeysError> {
        let Peer { keys, env, .. } = &*self.peer;
        let verified = self.verified(raw, keys, env).await?;
        let written = std::str::from_utf8(raw).ok().and_then(claims).unwrap_or_default();
        Ok(match verified {
            Ok(set) => Seen::Verified { set: Box::new(set), claims: written },
            Err(refusal) => {
                let of_claims = || written.get("jti").and_then(Value::as_str);
                Seen::Refused { jti: received_as.or_else(of_claims).map(ToOwned::to_owned), refusal }
            }
        })
    }

    async fn verified(&self, raw: &[u8], keys: &Keys, env: &Env) -> Result<Result<VerifiedSet, Refusal>, KeysError> {
        let look_for = async |key_id: &KeyId| keys.look_for(key_id, &self.key_set).await;
        keys::verified(raw, &self.policy, &keys.present(), env.now(), look_for).await
    }
}
