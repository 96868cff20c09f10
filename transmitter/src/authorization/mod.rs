//! Whose word about a caller counts besides our own table: outside authorization servers, and clients' own keys.
//!
//! [`Outside`] judges access tokens that are not ours, by key set (RFC 9068) or by asking (RFC 7662); [`Assertions`]
//! judges what a client signed itself at the token endpoint (RFC 7523). Both reach out through [`Fetcher`] only, and both
//! keep apart "this is not good" from "we cannot know now".

mod assertion;
mod fetch;
mod introspection;
mod key_set;
mod outside;
mod server;

pub(crate) use assertion::claimed_client;
pub use assertion::{Assertion, AssertionRefusal, Assertions};
pub use fetch::{FetchError, Fetcher};
pub use outside::{Grant, Outside, Verdict};

use std::time::Duration;

/// How often and how long others are asked.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How old a key set may be before it is read anew.
    pub refresh: Duration,
    /// How often at most a key that is not there makes us read the set anew.
    pub cooldown: Duration,
    /// How long an answer about a token is believed.
    pub introspection_cache: Duration,
}
