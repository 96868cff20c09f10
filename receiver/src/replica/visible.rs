//! When commits became visible in this process: noted at once, written down with the next sign of life.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ssf_common::clock::Timestamp;

/// What is not written down yet.
#[derive(Debug, Default)]
pub(super) struct Visible(Mutex<Vec<Seen>>);

/// From `at` on, every answer takes the commits from `first` to `last` into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) at: Timestamp,
    /// When the first of the looks ended that share this row.
    since: Timestamp,
}

impl Visible {
    /// Notes one look that found something. Looks within some milliseconds share a row, with the time of the last: a
    /// commit was visible then or a little earlier.
    pub(super) fn note(&self, first: i64, last: i64, at: Timestamp) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = waiting.len() >= MOST_WAITING;
        match waiting.last_mut() {
            Some(seen) if seen.last + 1 == first && at.since(seen.since) < TOGETHER => {
                (seen.last, seen.at) = (last, at);
            }
            // nobody writes it down: the database is away, and the figures are not worth more memory
            _ if is_full => {}
            _ => waiting.push(Seen { first, last, at, since: at }),
        }
    }

    /// What waits, to be written down; to be [put back](Self::put_back) if that fails.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn put_back(&self, mut unwritten: Vec<Seen>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.append(&mut waiting);
        *waiting = unwritten;
    }
}

const TOGETHER: Duration = Duration::from_millis(10);
const MOST_WAITING: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_close_together_share_a_row_with_the_later_time() {
        let (visible, at) = (Visible::default(), Timestamp::from_unix_millis);
        for (first, last, ms) in [(1, 1, 100), (2, 5, 105), (6, 6, 112), (8, 8, 113)] {
            visible.note(first, last, at(ms));
        }
        let rows: Vec<_> = visible.take().iter().map(|seen| (seen.first, seen.last, seen.at.unix_millis())).collect();
        // the third is too late for the first row, and before the fourth there is a number that was not seen here
        assert_eq!(rows, [(1, 5, 105), (6, 6, 112), (8, 8, 113)]);
    }
}
