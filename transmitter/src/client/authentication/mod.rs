//! How a client shows who it is: by one method, with a secret, with keys of its own, or by the word of an outside server.

pub(crate) mod store;

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use ssf_common::clock::Timestamp;
use ssf_common::jwks::VerifyingKeys;
use subtle::ConstantTimeEq as _;
use url::Url;

use super::{Client, Digest};

/// A method of client authentication, by its registered name (RFC 7591 §2, RFC 8414 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMethod {
    /// `client_secret_basic`: a secret in the header (RFC 6749 §2.3.1).
    #[default]
    SecretBasic,
    /// `client_secret_post`: a secret in the body.
    SecretPost,
    /// `private_key_jwt`: an assertion signed with a key of its own (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// `none`: its name alone, for closed test setups.
    None,
    /// `authorization_server`: not at our token endpoint, but by the tokens of an outside authorization server. The name is
    /// ours.
    Outside,
}

impl AuthMethod {
    /// Every method.
    pub const ALL: [Self; 5] = [Self::SecretBasic, Self::SecretPost, Self::PrivateKeyJwt, Self::None, Self::Outside];
    /// Those of the token endpoint.
    pub const AT_TOKEN_ENDPOINT: [Self; 4] = [Self::SecretBasic, Self::SecretPost, Self::PrivateKeyJwt, Self::None];

    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecretBasic => "client_secret_basic",
            Self::SecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::None => "none",
            Self::Outside => "authorization_server",
        }
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is not a method of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use client_secret_basic, client_secret_post, private_key_jwt, none or authorization_server")]
pub struct UnknownMethod;

impl FromStr for AuthMethod {
    type Err = UnknownMethod;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|method| method.as_str() == word).ok_or(UnknownMethod)
    }
}

/// A method with what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// A secret in the header.
    #[default]
    SecretBasic,
    /// A secret in the body.
    SecretPost,
    /// Keys of its own.
    Keys(ClientKeys),
    /// Nothing.
    Public,
    /// The tokens of the outside authorization server with this issuer.
    Outside(String),
}

impl Authentication {
    /// The method.
    pub const fn method(&self) -> AuthMethod {
        match self {
            Self::SecretBasic => AuthMethod::SecretBasic,
            Self::SecretPost => AuthMethod::SecretPost,
            Self::Keys(_) => AuthMethod::PrivateKeyJwt,
            Self::Public => AuthMethod::None,
            Self::Outside(_) => AuthMethod::Outside,
        }
    }

    /// Where what it is judged by is published: a client's keys, or an outside server.
    pub fn place(&self) -> Option<&str> {
        match self {
            Self::Keys(ClientKeys::At(url)) => Some(url.as_str()),
            Self::Outside(issuer) => Some(issuer),
            _ => None,
        }
    }

    /// Whether it needs a secret.
    pub const fn has_secret(&self) -> bool {
        matches!(self, Self::SecretBasic | Self::SecretPost)
    }
}

/// Where a client's public keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientKeys {
    /// Registered with us.
    Here(PublicKeys),
    /// Published by the client: https, or plain http on loopback in development.
    At(Url),
}

/// A JWK set with at least one usable key and nothing private in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys(Value);

impl PublicKeys {
    /// Reads a JWK set (RFC 7517 §5).
    pub fn parse(text: &[u8]) -> Result<Self, PublicKeysError> {
        let keys = VerifyingKeys::parse(text).map_err(|_| PublicKeysError::NotAJwkSet)?;
        let set: Value = serde_json::from_slice(text).map_err(|_| PublicKeysError::NotAJwkSet)?;
        let members = set["keys"].as_array().into_iter().flatten();
        if members.into_iter().any(|key| ["d", "p", "q", "k"].iter().any(|private| key.get(private).is_some())) {
            return Err(PublicKeysError::Private);
        }
        if keys.is_empty() { Err(PublicKeysError::NoUsableKey) } else { Ok(Self(set)) }
    }

    /// From our own table.
    fn stored(set: Value) -> Self {
        Self(set)
    }

    /// Ready to verify.
    pub fn verifying(&self) -> VerifyingKeys {
        VerifyingKeys::parse(self.0.to_string().as_bytes()).unwrap_or_default()
    }
}

/// Why a text cannot be a client's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeysError {
    /// Not one.
    #[error("this is not a JWK set: a JSON object with an array `keys`")]
    NotAJwkSet,
    /// It must not leave its owner.
    #[error("the JWK set holds a private key; register the public half only")]
    Private,
    /// Nothing in it can verify anything.
    #[error(
        "the JWK set holds no usable key: each needs a kid, and must be RSA of 2048 bits or more, P-256 or Ed25519"
    )]
    NoUsableKey,
}

/// A client with what it registered to show who it is.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) client: Client,
    pub(crate) authentication: Authentication,
    secret: Option<Digest>,
    previous: Option<(Digest, Timestamp)>,
}

impl Registered {
    /// Whether `secret` is the client's, or the one before it while that is good too.
    pub(crate) fn has_secret(&self, secret: Digest, now: Timestamp) -> bool {
        let is = |known: &Digest| bool::from(known.as_bytes().ct_eq(secret.as_bytes()));
        self.secret.as_ref().is_some_and(is)
            || self.previous.as_ref().is_some_and(|(old, until)| now < *until && is(old))
    }
}

/// A static token as a list shows it.
#[derive(Clone, Debug)]
pub struct StaticToken {
    /// What it is called by.
    pub id: super::TokenId,
    /// What it is for.
    pub label: Option<String>,
    /// What it allows.
    pub scopes: super::Scopes,
    /// When it was made.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ssf_common::jwks::{Algorithm, SigningKey};

    use super::*;

    #[test]
    fn only_a_set_of_public_and_usable_keys_is_registered() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let set = |keys: Value| json!({ "keys": keys }).to_string();
        let good = PublicKeys::parse(set(json!([key.public_jwk()])).as_bytes()).unwrap();
        assert!(good.verifying().contains(key.key_id()));
        let private: Value = serde_json::from_str(secrecy::ExposeSecret::expose_secret(&key.to_private_jwk())).unwrap();
        for (text, refusal) in [
            (set(json!([private])), PublicKeysError::Private),
            (set(json!([{"kty": "oct", "kid": "x", "k": "AAAA"}])), PublicKeysError::Private),
            (set(json!([])), PublicKeysError::NoUsableKey),
            (key.public_jwk().to_string(), PublicKeysError::NotAJwkSet),
            ("[".to_owned(), PublicKeysError::NotAJwkSet),
        ] {
            assert_eq!(PublicKeys::parse(text.as_bytes()), Err(refusal));
        }
    }
}
