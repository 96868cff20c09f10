//! Clients: receivers that manage and read their streams, producers that emit. Both are known by a bearer token.

pub(crate) mod authentication;
mod credential;
pub(crate) mod store;

pub use authentication::{
    AuthMethod, Authentication, ClientKeys, PublicKeys, PublicKeysError, StaticToken, UnknownMethod,
};
pub use credential::{Digest, Scope, Scopes, UnknownScope};
use ssf_common::{text_id, uuid_id};

use crate::audit::Actor;
use crate::issuer::IssuerId;

uuid_id! {
    /// A client's row.
    ClientKey;
    /// What an operator calls a static token by; says nothing of the token.
    TokenId;
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
    /// In whose words it speaks.
    pub profile: Profile,
}

/// In whose words a receiver speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// SSF 1.0 as it is written.
    #[default]
    Strict,
    /// Old RISC's delivery URIs and its `format` are understood too, and answered in the same words.
    Legacy,
}

impl Profile {
    /// As the database and the command line write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Legacy => "legacy",
        }
    }
}

/// The word is not a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write strict or legacy")]
pub struct UnknownProfile;

impl std::str::FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(word: &str) -> Result<Self, UnknownProfile> {
        [Self::Strict, Self::Legacy].into_iter().find(|profile| profile.as_str() == word).ok_or(UnknownProfile)
    }
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

    /// Whether it may operate the whole service: its client is an operator, and this token lets it administer.
    pub fn is_operator(&self) -> bool {
        self.client.is_operator && self.may(Scope::Admin)
    }

    /// Who it is in the audit log.
    pub fn actor(&self) -> Actor {
        let name = self.client.client_id.to_string();
        if self.client.is_operator { Actor::Operator(name) } else { Actor::Client(name) }
    }
}
