//! When to try again: a pure function of the schedule, the number of attempts, and chance.

use std::time::Duration;

use crate::random::Random;

/// Exponential backoff with a ceiling and jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// No delay is longer.
    pub ceiling: Duration,
}

impl Backoff {
    /// The delay after `failures` failures in a row (1 is the first): doubled each time up to the ceiling, then drawn
    /// from the upper half so that many waiters do not come back together.
    pub fn delay(&self, failures: u32, random: &dyn Random) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let full = self.first.saturating_mul(doubled).min(self.ceiling);
        full.mul_f64(0.5 + random.unit() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::SeededRandom;

    proptest! {
        #[test]
        fn a_delay_is_never_longer_than_the_ceiling_nor_shorter_than_half_its_step(failures in 0_u32..10_000, seed: u64) {
            let backoff = Backoff { first: Duration::from_millis(100), ceiling: Duration::from_mins(1) };
            let delay = backoff.delay(failures, &SeededRandom::new(seed));
            prop_assert!(delay <= backoff.ceiling);
            prop_assert!(delay >= Duration::from_millis(50));
        }
    }
}
