//! Streams as an operator sees them: configuration and health.

use sqlx::PgPool;

use crate::issuer::Issuer;
use crate::stream::Stream;

/// A stream as a list shows it: its configuration, and how delivery to it goes.
#[derive(Clone, Debug)]
pub struct ListedStream {
    /// The stream.
    pub stream: Stream,
    /// How it will be signed, once there is an active key for it.
    pub algorithm_wanted: Option<ssf_common::jwks::Algorithm>,
    /// Failed attempts in a row; 0 when the receiver answers.
    pub failures: i32,
    /// What the receiver answered last, if it fails.
    pub trouble: Option<String>,
    /// The last acknowledgement over push.
    pub last_success_at: Option<ssf_common::clock::Timestamp>,
    /// SETs not yet settled.
    pub waiting: i64,
    /// The decision behind the oldest of them.
    pub oldest_decision: Option<ssf_common::clock::Timestamp>,
    /// SETs given up.
    pub dead_letters: i64,
    /// `ALL` but those removed, or `NONE` but those added.
    pub default_subjects: String,
    /// How many subjects were added or removed by name.
    pub subjects: i32,
    /// How many of them were removed from a stream that has all others.
    pub subjects_excluded: i32,
}

/// The streams of an issuer, oldest first.
pub async fn list_streams(pool: &PgPool, issuer: &Issuer) -> sqlx::Result<Vec<ListedStream>> {
    let mut conn = pool.acquire().await?;
    let streams = crate::stream::store::all_of_issuer(&mut conn, issuer.id).await?;
    let awaited = crate::stream::algorithm::store::awaited(&mut conn, issuer.id).await?;
    let mut health = crate::stream::store::health(&mut conn, issuer.id).await?;
    let listed = streams.into_iter().filter_map(|stream| {
        let at = health.iter().position(|health| health.key == stream.key)?;
        let health = health.swap_remove(at);
        let algorithm_wanted = awaited.iter().find(|(key, _)| *key == stream.key).map(|(_, wanted)| *wanted);
        Some(ListedStream {
            stream,
            algorithm_wanted,
            failures: health.failures,
            trouble: health.trouble,
            last_success_at: health.last_success_at,
            waiting: health.waiting,
            oldest_decision: health.oldest_decision,
            dead_letters: health.dead_letters,
            default_subjects: health.default_subjects,
            subjects: health.subjects,
            subjects_excluded: health.subjects_excluded,
        })
    });
    Ok(listed.collect())
}
