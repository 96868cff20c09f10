//! Distributions of how long something took: percentiles that occurred, and a histogram for the chart. Pure.

use serde::{Deserialize, Serialize};

/// How long it took, in milliseconds. The percentiles are times that occurred, not interpolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many.
    pub count: usize,
    /// Half of them took no longer.
    pub p50_ms: Option<f64>,
    /// 90 % of them took no longer.
    pub p90_ms: Option<f64>,
    /// 99 % of them took no longer.
    pub p99_ms: Option<f64>,
    /// None took longer.
    pub max_ms: Option<f64>,
}

impl Distribution {
    /// Of these, in microseconds; they are sorted on the way.
    pub fn of(micros: &mut [i64]) -> Self {
        micros.sort_unstable();
        let at = |percent| percentile(micros, percent).map(millis);
        Self { count: micros.len(), p50_ms: at(50), p90_ms: at(90), p99_ms: at(99), max_ms: at(100) }
    }
}

/// One bar of a histogram whose edges are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// It counts what took longer than half of this, and no longer than this, in milliseconds; the first also all below.
    pub up_to_ms: u64,
    /// How many.
    pub count: usize,
}

/// How many fall into each bucket; buckets in which there are none are left out.
pub fn histogram(micros: &[i64]) -> Vec<Bucket> {
    let mut counts = std::collections::BTreeMap::<u64, usize>::new();
    for took in micros {
        let up_to = u64::try_from(*took).unwrap_or(0).div_ceil(1_000).max(1).next_power_of_two();
        *counts.entry(up_to).or_default() += 1;
    }
    counts.into_iter().map(|(up_to_ms, count)| Bucket { up_to_ms, count }).collect()
}

/// The least of the sorted values that `percent` of them do not exceed.
fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    sorted.get((sorted.len() * percent).div_ceil(100).checked_sub(1)?).copied()
}

/// Milliseconds as reports tell them.
#[expect(clippy::cast_precision_loss, reason = "nothing takes 2^52 microseconds, which is 142 years")]
pub const fn millis(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_nothing_there_are_no_percentiles() {
        assert_eq!(Distribution::of(&mut []), Distribution::default());
    }

    #[test]
    fn the_percentiles_of_a_hundred_are_the_obvious_ones() {
        let mut micros: Vec<i64> = (1..=100).rev().map(|n| n * 1_000).collect();
        let expected = Distribution {
            count: 100,
            p50_ms: Some(50.0),
            p90_ms: Some(90.0),
            p99_ms: Some(99.0),
            max_ms: Some(100.0),
        };
        assert_eq!(Distribution::of(&mut micros), expected);
        assert_eq!(Distribution::of(&mut [7_000]).p50_ms, Some(7.0));
    }

    #[test]
    fn a_bucket_ends_at_a_power_of_two() {
        let of = |micros: &[i64]| histogram(micros).iter().map(|b| (b.up_to_ms, b.count)).collect::<Vec<_>>();
        assert_eq!(of(&[-5, 0, 1, 1_000, 1_001, 2_000, 4_000, 4_001]), [(1, 4), (2, 2), (4, 1), (8, 1)]);
    }

    proptest! {
        #[test]
        fn a_percentile_occurred_and_its_share_is_not_above_it(mut micros in prop::collection::vec(-9_i64..2_000, 1..300)) {
            micros.sort_unstable();
            for percent in [50, 90, 99, 100] {
                let found = percentile(&micros, percent).unwrap();
                prop_assert!(micros.contains(&found));
                let not_above = micros.iter().filter(|m| **m <= found).count();
                let below = micros.iter().filter(|m| **m < found).count();
                prop_assert!(not_above * 100 >= percent * micros.len() && below * 100 < percent * micros.len());
            }
        }

        #[test]
        fn a_histogram_counts_everything_once(micros in prop::collection::vec(any::<i32>(), 0..200)) {
            let micros: Vec<i64> = micros.into_iter().map(i64::from).collect();
            prop_assert_eq!(histogram(&micros).iter().map(|b| b.count).sum::<usize>(), micros.len());
        }
    }
}
