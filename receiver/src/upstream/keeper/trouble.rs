//! What is wrong with an upstream: written down once, told in its history, and over when a step succeeds.

use std::sync::PoisonError;
use std::time::Duration;

use ssf_common::runtime::telemetry::chain;

use super::{Keeper, KeeperError};
use crate::upstream::state::{Entry, What};
use crate::upstream::store;

impl Keeper {
    /// Trouble that lasts is written down once; a transmitter that asks for patience gets it.
    pub(super) async fn remember(&self, error: &KeeperError) {
        let upstream = &self.upstream;
        let now = upstream.env.now();
        let wait = match error {
            // within bounds: a slip of the pen must not make us deaf for a day
            KeeperError::Call { source, .. } => source.retry_after().map(|wish| wish.min(LONGEST_PATIENCE)),
            // Only people can help; asking every few seconds does not.
            KeeperError::Stream { .. } | KeeperError::NoneIsOurs { .. } => Some(FOR_PEOPLE),
            _ => None,
        };
        if let Some(wait) = wait {
            self.note(|progress| progress.not_before = Some(now.plus(wait)));
        }
        let text: String = chain(error).chars().filter(|c| *c != '\0').take(MAX_TROUBLE).collect();
        if matches!(error, KeeperError::Superseded { .. }) {
            return;
        }
        let is_news =
            self.trouble.lock().unwrap_or_else(PoisonError::into_inner).replace(text.clone()).as_ref() != Some(&text);
        if is_news && !matches!(error, KeeperError::Store(_)) {
            let what = if error.is_refusal() { What::Refused } else { What::Trouble };
            let noted = async {
                if store::note_trouble(&mut *self.db().await?, upstream.id, &text, now).await? {
                    store::record(&mut *self.db().await?, upstream.id, &[Entry::because(what, text, now)]).await?;
                }
                Ok::<_, sqlx::Error>(())
            }
            .await;
            if let Err(error) = noted {
                tracing::debug!(error = %chain(&error), "the trouble of an upstream could not be noted");
            }
        }
    }

    /// A step that succeeded ends the trouble.
    pub(super) async fn recovered(&self) {
        let is_remembered = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take().is_some();
        if !is_remembered && self.upstream.held().trouble_at.is_none() {
            return;
        }
        let (id, now) = (self.upstream.id, self.upstream.env.now());
        let noted = async {
            if store::note_contact(&mut *self.db().await?, id, now).await? {
                store::record(&mut *self.db().await?, id, &[Entry::new(What::Healed, now)]).await?;
            }
            self.upstream.read_held().await
        };
        if let Err(error) = noted.await {
            tracing::debug!(error = %chain(&error), "the end of an upstream's trouble could not be noted");
        }
    }
}

const MAX_TROUBLE: usize = 1_024;
const FOR_PEOPLE: Duration = Duration::from_mins(1);
const LONGEST_PATIENCE: Duration = Duration::from_mins(10);
