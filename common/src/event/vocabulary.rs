//! [`Vocabulary`]: which URI our `revalidate` event has, and under which others we understand it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EventType;
use crate::subject::syntax::is_uri;

/// The names no standard has settled yet. Part of the settings of both services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vocabulary {
    /// The URI with which `revalidate` is sent. The default belongs to no one's domain.
    pub revalidate_uri: String,
    /// Further URIs under which it is understood when received.
    pub revalidate_aliases: Vec<String>,
    /// What further URIs mean that a peer has of its own; for receiving only.
    #[serde(skip)]
    pub event_aliases: BTreeMap<String, EventType>,
}

impl Vocabulary {
    /// Refuses names that are no absolute URIs, and names that a standard has given to another event type.
    pub fn check(&self) -> Result<(), VocabularyError> {
        let ours = std::iter::once(&self.revalidate_uri).chain(&self.revalidate_aliases);
        ours.chain(self.event_aliases.keys()).try_for_each(|uri| {
            if !is_uri(uri) {
                Err(VocabularyError::NotAUri(uri.clone()))
            } else if EventType::standard(uri).is_some() {
                Err(VocabularyError::Taken(uri.clone()))
            } else {
                Ok(())
            }
        })
    }

    /// The type this peer means by `uri`, if it has a name of its own for it.
    pub(super) fn alias(&self, uri: &str) -> Option<EventType> {
        self.event_aliases.get(uri).cloned()
    }

    /// Whether `uri` means `revalidate`.
    pub(super) fn is_revalidate(&self, uri: &str) -> bool {
        uri == self.revalidate_uri || self.revalidate_aliases.iter().any(|alias| alias == uri)
    }
}

impl Default for Vocabulary {
    fn default() -> Self {
        Self { revalidate_uri: REVALIDATE.to_owned(), revalidate_aliases: Vec::new(), event_aliases: BTreeMap::new() }
    }
}

/// A vocabulary was refused. The texts are settings, not personal data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VocabularyError {
    /// Not an absolute URI.
    #[error("{0:?} is not an absolute URI, so it cannot name an event type")]
    NotAUri(String),
    /// The URI of an event type of CAEP, RISC or SSF.
    #[error("{0:?} is another event type, so it cannot name another")]
    Taken(String),
}

const REVALIDATE: &str = "urn:uuid:0d607c6e-95de-5e8e-bc1d-e33d8059032c";
