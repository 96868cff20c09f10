//! When decisions come, and chance that is the same for the same seed. Pure.

/// What goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Urgent,
    Prompt,
}

/// One decision that comes: when, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) at: f64,
    pub(super) lane: Lane,
}

/// Arrivals that know nothing of each other (Poisson), `per_second` of them, every other one by chance urgent.
pub(super) fn arrivals(per_second: f64, count: usize, seed: u64) -> Vec<Arrival> {
    let (mut chance, mut at) = (Chance(seed), 0.0);
    let next = || {
        at -= (1.0 - chance.unit()).ln() / per_second;
        Arrival { at, lane: if chance.unit() < 0.5 { Lane::Urgent } else { Lane::Prompt } }
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Arrivals in even steps, urgent and prompt in turns.
pub(super) fn evenly(per_second: f64, count: usize) -> Vec<Arrival> {
    let lanes = [Lane::Urgent, Lane::Prompt].into_iter().cycle();
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let at = |number: usize| number as f64 / per_second;
    lanes.take(count).enumerate().map(|(number, lane)| Arrival { at: at(number), lane }).collect()
}

/// splitmix64: a million draws are nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// From 0.0 up to but not including 1.0.
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    pub(super) fn one_of(&mut self, samples: &[f64]) -> f64 {
        let place = (self.unit() * samples.len() as f64) as usize;
        samples.get(place).copied().unwrap_or(0.0)
    }
}
