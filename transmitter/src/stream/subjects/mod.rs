//! The subjects of a stream: which of an issuer's events its receiver wants (SSF 1.0 §8.1.3).
//!
//! An event is sent to a stream if an added subject matches it, or, on a stream that has all subjects by default, if no
//! removed one covers it ([`wanted`], over the relations of [`ssf_common::subject`]). What was added outweighs what was
//! removed: with a removed tenant, an added user of it is still heard of.
//!
//! * [`Subjects::add`] and [`Subjects::remove`] change the list for the API; both are idempotent, and calls for one stream
//!   go one after the other, because each holds the stream's row.
//! * A removal takes effect after a grace (§9.3): an attacker with a receiver's credential shall not blind it at once.
//!   Adding takes effect at once and cancels a removal.
//! * [`Subjects::unwanted`] answers the fan-out from an index: a list is never read through, so it may be long.
//! * Only the identical subject takes away what was added. Nothing else is inferred from a removal.
//! * `verified` is kept as the receiver said it and changes nothing, nor is an unknown subject treated otherwise than a
//!   known one (§9.1): the list is the receiver's filter, not a permission. What a receiver may hear at all is said by its
//!   credential and by the event types offered to it.
//!
//! No subject is stored. `keys` makes keyed digests, `secret` holds what they are keyed with.

mod filter;
mod keys;
mod list;
mod secret;
pub(crate) mod store;
#[cfg(test)]
mod tests;

pub(crate) use filter::Asked;
pub use keys::TooManyKeys;
pub use list::{ListError, Subjects};
pub use secret::SecretError;
use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::protocol::DefaultSubjects;
use ssf_common::subject::Subject;

/// Forgets subjects whose grace has passed and lists whose stream is gone, a bounded number of them; returns how many rows
/// were tidied up.
pub(crate) async fn tidy(pool: &PgPool, now: Timestamp) -> sqlx::Result<u64> {
    let mut tidied = 0;
    for _ in 0..BATCHES_AT_ONCE {
        let mut tx = pool.begin().await?;
        let Some(stream) = store::upkeep::stream_with_ended(&mut tx, now).await? else { break };
        tidied += store::upkeep::forget_ended(&mut tx, stream, now, KEYS_AT_ONCE).await?;
        tx.commit().await?;
    }
    for _ in 0..BATCHES_AT_ONCE {
        let mut tx = pool.begin().await?;
        let Some(stream) = store::upkeep::stream_left(&mut tx).await? else { break };
        tidied += store::upkeep::delete_left(&mut tx, stream, KEYS_AT_ONCE).await?;
        tx.commit().await?;
    }
    Ok(tidied)
}

/// The rule, on whole lists: whether an event about `event` is sent. What the database answers by its index must be this.
pub fn wanted(default: DefaultSubjects, added: &[Subject], removed: &[Subject], event: &Subject) -> bool {
    added.iter().any(|subject| subject.matches(event))
        || (default == DefaultSubjects::All && !removed.iter().any(|subject| subject.covers(event)))
}

const BATCHES_AT_ONCE: usize = 20;
const KEYS_AT_ONCE: i64 = 2_000;
