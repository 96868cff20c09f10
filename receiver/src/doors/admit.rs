//! Bytes of an upstream → a commit, a refusal, or "not now". Called by the push endpoint and the poll loop.

use std::sync::Arc;

use ssf_common::event::EventType;
use ssf_common::id::KeyId;
use ssf_common::runtime::telemetry::chain;
use ssf_common::set::{ErrorCode, Refusal, VerifiedSet};

use crate::cutoff::Withheld;
use crate::inbox::{Context, Inbox, InboxError, Receipt, Refused};
use crate::upstream::state::{Entry, What};
use crate::upstream::{LinkError, Upstream, keys};

/// The way in for the SETs of one upstream.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Whose.
    pub upstream: Arc<Upstream>,
    /// Where they are committed.
    pub inbox: Inbox,
}

/// Why a SET was not admitted.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// The SET is refused, and the refusal is noted.
    #[error("the SET is refused: {0}")]
    Refused(#[source] Refusal),
    /// The SET verified and still cannot be stored: a fault of this program, told so that the SET does not come for ever.
    #[error("the SET cannot be stored here")]
    Unstorable,
    /// Not now; it must come again.
    #[error("the SET cannot be judged now")]
    Unjudged(#[source] LinkError),
    /// Not now; it must come again.
    #[error("the stream is not known well enough yet")]
    TooSoon,
    /// Not now; it must come again.
    #[error("the SET cannot be stored now")]
    Unstored(#[source] InboxError),
}

impl NotAdmitted {
    /// What the transmitter is told if the SET shall not come again; `None`: it shall.
    pub fn answer(&self) -> Option<(ErrorCode, String)> {
        match self {
            Self::Refused(refusal) => Some((refusal.code(), refusal.description())),
            Self::Unstorable => Some((ErrorCode::InvalidRequest, self.to_string())),
            Self::Unjudged(_) | Self::TooSoon | Self::Unstored(_) => None,
        }
    }
}

impl Admission {
    /// Verifies and commits. Returns after the commit.
    pub async fn admit(&self, raw: &[u8], context: Context) -> Result<Receipt, NotAdmitted> {
        let set = match self.verified(raw, context).await? {
            Ok(set) => set,
            Err(refusal) => return Err(self.refused(refusal, raw, context).await),
        };
        let is_verification = set.event.event_type == EventType::Verification;
        let is_about_the_stream = is_verification || set.event.event_type == EventType::StreamUpdated;
        let receipt =
            self.inbox.receive_under(&self.upstream.rules, set, context).await.map_err(|error| match error {
                InboxError::Refused(refusal) => NotAdmitted::Refused(refusal),
                InboxError::Unstorable => NotAdmitted::Unstorable,
                InboxError::Unavailable(_) | InboxError::UnknownUpstream => NotAdmitted::Unstored(error),
            })?;
        if let Receipt::Withheld { why } = receipt {
            self.tell_withheld(why, context).await;
        }
        if is_about_the_stream && matches!(receipt, Receipt::Applied { .. }) {
            // The keeper tells what has turned.
            self.upstream.news.wake();
        }
        if is_verification && matches!(receipt, Receipt::Applied { .. }) {
            let method = context.method.as_str();
            tracing::debug!(
                upstream.name = self.upstream.name,
                method,
                "a verification event has come: the stream works"
            );
        }
        Ok(receipt)
    }

    /// Notes a refusal. That it could not be noted does not make it less of one.
    pub async fn refused(&self, refusal: Refusal, raw: &[u8], context: Context) -> NotAdmitted {
        if let Err(error) = self.inbox.refuse(&Refused::new(&context, &refusal, raw)).await {
            tracing::warn!(error = %chain(&error), "a refusal could not be noted");
        }
        tracing::info!(
            upstream.name = self.upstream.name,
            method = context.method.as_str(),
            code = refusal.code().as_str(),
            "a SET is refused: {refusal}"
        );
        NotAdmitted::Refused(refusal)
    }

    /// In the log and in the upstream's history; that it could not be told does not change what it is.
    async fn tell_withheld(&self, why: Withheld, context: Context) {
        tracing::warn!(
            upstream.name = self.upstream.name,
            reason = why.as_str(),
            "a decision is WITHHELD and has no effect: {}; see `ssf-receiver withheld list`",
            why.sentence()
        );
        if let Err(error) =
            self.upstream.tell(Entry::because(What::Withheld, why.sentence(), context.received_at)).await
        {
            tracing::warn!(error = %chain(&error), "a line of an upstream's history could not be written");
        }
    }

    async fn verified(&self, raw: &[u8], context: Context) -> Result<Result<VerifiedSet, Refusal>, NotAdmitted> {
        let policy = self.upstream.policy();
        if policy.audiences.is_empty() {
            return Err(NotAdmitted::TooSoon);
        }
        let look_for = async |key_id: &KeyId| self.upstream.look_for(key_id).await.map_err(NotAdmitted::Unjudged);
        keys::verified(raw, &policy, &self.upstream.keys(), context.received_at, look_for).await
    }
}
