//! Scopes and digests of credentials.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// What a token allows (CAEP interop §2.7.3 names the first two; the others are ours).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `ssf.read`: read streams and poll.
    Read,
    /// `ssf.manage`: everything a receiver may do.
    Manage,
    /// `ssf.emit`: hand in decisions and follow them.
    Emit,
    /// `ssf.admin`: operate the service.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Read, Self::Manage, Self::Emit, Self::Admin];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "ssf.read",
            Self::Manage => "ssf.manage",
            Self::Emit => "ssf.emit",
            Self::Admin => "ssf.admin",
        }
    }
}

/// The word is not a scope of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope; use ssf.read, ssf.manage, ssf.emit or ssf.admin")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word).ok_or_else(|| UnknownScope(word.to_owned()))
    }
}

/// A set of scopes, sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Whether `scope` is covered.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || (scope == Scope::Read && self.0.contains(&Scope::Manage))
    }

    /// What both of them cover.
    #[must_use]
    pub fn within(&self, limit: &Self) -> Self {
        let both: Self = Scope::ALL.into_iter().filter(|scope| self.allow(*scope) && limit.allow(*scope)).collect();
        // to manage is to read, too: one word is enough unless both were said
        let is_said =
            |scope: &Scope| *scope != Scope::Read || self.0.contains(scope) || !both.0.contains(&Scope::Manage);
        both.0.iter().copied().filter(is_said).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As words, for a store.
    pub fn words(&self) -> Vec<String> {
        self.0.iter().map(|scope| scope.as_str().to_owned()).collect()
    }

    /// From words of a store or a request; unknown words are left out, as RFC 6749 §3.3 allows.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        words.into_iter().filter_map(|word| word.parse().ok()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

/// SHA-256 of a credential. Credentials are generated with 256 bits, never chosen, so a plain digest is enough, and
/// looking one up by its digest leaks nothing through time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `credential`.
    pub fn of(credential: &str) -> Self {
        Self(Sha256::digest(credential).into())
    }

    /// As it was stored.
    pub(super) fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes, to be a key.
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manage_covers_read_and_nothing_else_covers_more_than_itself() {
        let manage = Scopes::from_words(["ssf.manage"]);
        assert!(manage.allow(Scope::Read) && manage.allow(Scope::Manage));
        assert!(!manage.allow(Scope::Emit) && !manage.allow(Scope::Admin));
        let read = Scopes::from_words(["ssf.read", "openid"]);
        assert!(read.allow(Scope::Read) && !read.allow(Scope::Manage));
        assert_eq!(Scopes::from_words(["ssf.read", "ssf.emit"]).within(&manage).to_string(), "ssf.read");
        assert_eq!(manage.within(&read).to_string(), "ssf.read");
        assert_eq!(manage.within(&manage).to_string(), "ssf.manage");
        let both = Scopes::from_words(["ssf.read", "ssf.manage"]);
        assert_eq!(both.within(&manage), both);
        assert!(read.within(&Scopes::from_words(["ssf.emit"])).is_empty());
    }
}
