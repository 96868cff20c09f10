//! The recount: now and then what waits is counted stream by stream, and sums that are wrong are put right.
//!
//! Triggers count whatever statements do to deliveries. They do not see a TRUNCATE, a restored table, or somebody who
//! switched them off, and nothing else would ever mend what that leaves behind.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;

use super::store::{recount as store, tally};
use crate::stream::StreamKey;

/// How far it has come.
#[derive(Debug)]
pub(super) struct Recount {
    last: Mutex<(Timestamp, StreamKey)>,
}

impl Recount {
    /// The first one is a while after `now`: after a start there is other work.
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { last: Mutex::new((now, FIRST)) }
    }

    /// If it is time for it, counts the next streams until it has met enough deliveries, or was at all streams.
    pub(super) async fn go_on(&self, pool: &PgPool, now: Timestamp) -> sqlx::Result<()> {
        let (at, mut last) = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(at) < EVERY {
            return Ok(());
        }
        let (mut counted, mut streams) = (0, 0);
        while counted < COUNTED_AT_ONCE && streams < STREAMS_AT_ONCE {
            let mut tx = pool.begin().await?;
            // two that correct the same sum would correct it twice
            if !tally::is_ours(&mut tx).await? {
                return Ok(());
            }
            let Some(stream) = store::next(&mut tx, last).await? else {
                last = FIRST;
                break;
            };
            let found = store::recount(&mut tx, stream).await?;
            tx.commit().await?;
            if found.wrong > 0 {
                tracing::warn!(stream.id = %stream, deliveries = found.wrong, "the sums of what waits were wrong and are put right; was a table changed past its triggers?");
            }
            counted += found.waiting;
            streams += 1;
            last = stream;
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (now, last);
        Ok(())
    }
}

/// Before every stream there can be.
const FIRST: StreamKey = StreamKey(uuid::Uuid::nil());
const EVERY: Duration = Duration::from_mins(1);
/// Deliveries counted in one go, but for the last stream's.
const COUNTED_AT_ONCE: i64 = 100_000;
const STREAMS_AT_ONCE: u32 = 1_000;
