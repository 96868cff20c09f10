//! How often somebody may do something: a token bucket for each, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// So many in so long, and as many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; 0 means that nothing is limited.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// The buckets of all who came by lately. Of more than twice `capacity` the longest unseen are forgotten, which is kind
/// to them.
#[derive(Debug)]
pub struct Rates<K> {
    rate: Rate,
    capacity: usize,
    buckets: Mutex<Generations<K>>,
}

#[derive(Debug)]
struct Generations<K> {
    young: HashMap<K, Bucket>,
    old: HashMap<K, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Microseconds' worth of what is left.
    left: u64,
    at: Timestamp,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    /// Everybody begins with a full bucket.
    pub fn new(rate: Rate, capacity: usize) -> Self {
        let buckets = Mutex::new(Generations { young: HashMap::new(), old: HashMap::new() });
        Self { rate, capacity: capacity.max(1), buckets }
    }

    /// Counts one of `who`. `Err` says in how long it may come again, and then nothing was counted.
    pub fn take(&self, who: &K, now: Timestamp) -> Result<(), Duration> {
        self.with_bucket(who, now, |bucket, cost| {
            bucket.left = bucket.left.checked_sub(cost).ok_or_else(|| Duration::from_micros(cost - bucket.left))?;
            Ok(())
        })
    }

    /// Looks whether one more of `who` would be too much, and counts nothing.
    pub fn look(&self, who: &K, now: Timestamp) -> Result<(), Duration> {
        self.with_bucket(who, now, |bucket, cost| match cost.checked_sub(bucket.left) {
            None | Some(0) => Ok(()),
            Some(missing) => Err(Duration::from_micros(missing)),
        })
    }

    fn with_bucket(
        &self,
        who: &K,
        now: Timestamp,
        act: impl FnOnce(&mut Bucket, u64) -> Result<(), Duration>,
    ) -> Result<(), Duration> {
        if self.rate.count == 0 {
            return Ok(());
        }
        // a bucket holds the time it takes to fill it, and one of them costs its share
        let full = u64::try_from(self.rate.per.as_micros()).unwrap_or(u64::MAX);
        let cost = (full / u64::from(self.rate.count)).max(1);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = buckets.young.get(who).or_else(|| buckets.old.get(who)).copied();
        let mut bucket = known.unwrap_or(Bucket { left: full, at: now });
        let passed = u64::try_from(now.since(bucket.at).as_micros()).unwrap_or(u64::MAX);
        bucket.left = bucket.left.saturating_add(passed).min(full);
        bucket.at = bucket.at.max(now);
        let acted = act(&mut bucket, cost);
        if bucket.left < full || known.is_some() {
            buckets.keep(who, bucket, self.capacity);
        }
        acted
    }
}

impl<K: Eq + Hash + Clone> Generations<K> {
    fn keep(&mut self, who: &K, bucket: Bucket, capacity: usize) {
        if let Some(kept) = self.young.get_mut(who) {
            *kept = bucket;
            return;
        }
        if self.young.len() >= capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(who.clone(), bucket);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_795_000_000_000 + millis)
    }

    fn rates(count: u32, capacity: usize) -> Rates<u32> {
        Rates::new(Rate { count, per: Duration::from_secs(10) }, capacity)
    }

    #[test]
    fn a_bucket_is_emptied_at_once_and_fills_up_with_time() {
        let rates = rates(5, 10);
        for _ in 0..5 {
            rates.take(&1, at(0)).unwrap();
        }
        assert_eq!(rates.take(&1, at(0)), Err(Duration::from_secs(2)));
        assert_eq!(rates.take(&1, at(500)), Err(Duration::from_millis(1500)));
        assert!(rates.take(&2, at(0)).is_ok(), "everybody has their own");
        assert_eq!(rates.look(&1, at(2000)), Ok(()));
        assert!(rates.take(&1, at(2000)).is_ok() && rates.take(&1, at(2000)).is_err());
        // a clock that goes back gives nothing
        assert!(rates.take(&1, at(0)).is_err());
    }

    #[test]
    fn nothing_is_limited_by_a_rate_of_none() {
        let rates = rates(0, 10);
        assert!((0..1000).all(|_| rates.take(&1, at(0)).is_ok()));
    }

    #[test]
    fn memory_is_bounded_and_whoever_comes_often_is_not_forgotten() {
        let rates = rates(2, 100);
        rates.take(&0, at(0)).unwrap();
        rates.take(&0, at(0)).unwrap();
        for stranger in 1..10_000 {
            let _ = rates.take(&stranger, at(0));
            assert!(rates.take(&0, at(0)).is_err(), "after {stranger}");
        }
        let buckets = rates.buckets.lock().unwrap();
        assert!(buckets.young.len() + buckets.old.len() <= 200);
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_one_bucket(steps in proptest::collection::vec(0_i64..3000, 1..200)) {
            let rates = rates(5, 10);
            let (mut now, mut taken) = (0, 0);
            for step in steps {
                now += step;
                taken += i64::from(rates.take(&1, at(now)).is_ok());
                prop_assert!(taken <= 5 + now / 2000);
            }
        }
    }
}
