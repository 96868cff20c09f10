//! Time and chance in one hand: what every stage that writes rows or draws ids is given at its birth.

use std::sync::Arc;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::random::{Random, SystemRandom};

/// Where a stage takes its time and its chance from. Cloning is cheap and shares both.
#[derive(Clone, Debug)]
pub struct Env {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where random bytes come from.
    pub random: Arc<dyn Random>,
}

impl Env {
    /// The machine's wall clock and the operating system's random source.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
