//! What waits: counted, watched and, before a window is missed, alarmed.
//!
//! Every statement that makes or settles deliveries appends what it changed to `tally` (triggers of the schema); [`Watch`]
//! adds that up once a second, looks at the head and the end of each stream's lanes, and says by [`predict`] when they
//! will be settled. Alarms go to the log and, through [`Notices`], to a webhook; a window that was missed is a [`breach`].
//! `admin` and the metrics show the same figures.

pub mod batch;
pub mod breach;
mod notices;
mod observed;
pub mod predict;
mod recount;
pub(crate) mod store;
mod watch;

use std::time::Duration;

pub use notices::Notices;
pub use observed::{Lateness, Observed, OutboxLane, Totals, outbox, streams};
use ssf_common::runtime::config::Level;
use ssf_common::uuid_id;
pub use watch::Watch;

use crate::outbox::Lane;

uuid_id! {
    /// An alarm.
    AlarmId;
    /// A webhook that tells of alarms; its `webhook-id`.
    PostId;
}

/// The windows that what waits is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    /// The level of streams that have none of their own.
    pub level: Level,
    /// The strictest window of SL2.
    pub sl2: Duration,
    /// The strictest window of SL3.
    pub sl3: Duration,
    /// The part of it that may pass before a decision is acknowledged.
    pub share: f64,
    /// Whether the windows hold for bulk too.
    pub bulk: bool,
}

impl Promise {
    /// What the settings promise.
    pub fn of(settings: &crate::config::Settings) -> Self {
        Self {
            level: settings.backlog.level,
            sl2: settings.strictest_window(Level::Sl2),
            sl3: settings.strictest_window(Level::Sl3),
            share: settings.backlog.share,
            bulk: settings.backlog.bulk,
        }
    }

    /// The lanes that are held against them.
    pub const fn lanes(&self) -> &'static [Lane] {
        if self.bulk { &Lane::ALL } else { &[Lane::Urgent, Lane::Prompt] }
    }

    /// The window of a stream with this level of its own, or none.
    pub fn window(&self, own: Option<Level>) -> Duration {
        match own.unwrap_or(self.level) {
            Level::Sl2 => self.sl2,
            Level::Sl3 => self.sl3,
        }
    }
}
