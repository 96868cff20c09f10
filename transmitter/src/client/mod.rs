//! Clients: receivers that manage and read their streams, producers that emit. Both are known by a bearer token.

mod credential;
pub(crate) mod store;

pub use credential::{Digest, Scope, Scopes, UnknownScope};
use ssf_common::{text_id, uuid_id};

use crate::issuer::IssuerId;

uuid_id! {
    /// A client's row.
    ClientKey;
}

text_id! {
    /// The name a client authenticates with (RFC 6749 §2.2).
    ClientId;
}

/// A client as the operator registered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its row.
    pub key: ClientKey,
    /// At which issuer.
    pub issuer_id: IssuerId,
    /// The name it authenticates with.
    pub client_id: ClientId,
    /// The most it may be granted.
    pub scopes: Scopes,
    /// `aud` of its SETs.
    pub audience: Vec<String>,
    /// How many streams it may have.
    pub max_streams: u32,
    /// The type URIs offered to it; `None` means all.
    pub events_supported: Option<Vec<String>>,
    /// Whether it operates the whole service: its `ssf.admin` may add and remove issuers.
    pub is_operator: bool,
}

/// Who calls: a client with what its token allows. Only the token check makes one.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Who.
    pub client: Client,
    /// What this token allows.
    pub scopes: Scopes,
}

impl Principal {
    /// Whether it may do what `scope` covers; `ssf.manage` covers `ssf.read`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }
}
