//! What a replica reads and writes: the feed and its surroundings, and what it says of itself.

mod feed;
mod signs;

pub(super) use feed::{Removal, changes, horizon, issuers, page, removals, sessions, standing_now, trim};
pub(super) use signs::{Position, begin, note, note_seen, trim_seen};
