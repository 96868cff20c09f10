//! When each batch was done: known only after its commit, so written after it.
//!
//! A row per batch, not a column per SET: writing a time into the rows of the batch would update every one of them a
//! second time, twice the write-ahead log for a figure in a report. The next batch takes the times of the last ones
//! along in its own statement; when no next batch comes, [`AppliedLog`] as a worker writes them.

use std::sync::{Mutex, PoisonError};

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::runtime::Worker;
use ssf_common::uuid_id;

use super::store;

uuid_id! {
    /// One commit of the inbox.
    BatchId;
}

/// Commits whose time is not written down yet.
#[derive(Debug)]
pub struct AppliedLog {
    pool: PgPool,
    waiting: Mutex<Vec<(BatchId, Timestamp)>>,
}

impl AppliedLog {
    pub(super) const fn new(pool: PgPool) -> Self {
        Self { pool, waiting: Mutex::new(Vec::new()) }
    }

    pub(super) fn note(&self, batch: BatchId, at: Timestamp) {
        self.put_back(vec![(batch, at)]);
    }

    /// What waits, for a statement that will write it; to be [put back](Self::put_back) if that fails.
    pub(super) fn take(&self) -> Vec<(BatchId, Timestamp)> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn put_back(&self, mut unwritten: Vec<(BatchId, Timestamp)>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.append(&mut waiting);
        *waiting = unwritten;
    }
}

impl Worker for AppliedLog {
    const NAME: &'static str = "applied log";
    type Error = sqlx::Error;

    /// Writes down what waits. To be run every 50 ms or so.
    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let waiting = self.take();
        if waiting.is_empty() {
            return Ok(0);
        }
        let written = async { store::log_applied(&mut *self.pool.acquire().await?, &waiting).await }.await;
        match written {
            Ok(()) => Ok(waiting.len()),
            Err(error) => {
                self.put_back(waiting);
                Err(error)
            }
        }
    }
}
