//! What is known of an issuer beside its cut-offs: when it was last heard of, and what may have been lost of it.

use ssf_common::clock::Timestamp;

use crate::config::Level;

/// One upstream's part of it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When the issuer was last heard of through it: a verification event, any other SET, or its first configuration.
    pub at: Timestamp,
    /// The level agreed for it.
    pub level: Level,
    /// The ends of the times in which its events may have been lost.
    pub gaps: Vec<Timestamp>,
    /// Until when an operator lets sessions go on all the same.
    pub break_glass_until: Option<Timestamp>,
}

/// An issuer that is listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// When it was last heard of. With several upstreams, through the one that is silent longest: what only that one
    /// would bring may be missing.
    pub heard_at: Timestamp,
    /// The strictest level of its upstreams.
    pub level: Level,
    /// The ends of the times in which events may have been lost, in no order.
    pub gaps: Vec<Timestamp>,
    /// Until when an operator lets sessions go on whatever the silence and the gaps are.
    pub break_glass_until: Option<Timestamp>,
}

impl Issuer {
    /// From its first upstream.
    pub fn new(heard: Heard) -> Self {
        let Heard { at, level, gaps, break_glass_until } = heard;
        Self { heard_at: at, level, gaps, break_glass_until }
    }

    /// With a further upstream.
    pub fn add(&mut self, heard: Heard) {
        self.heard_at = self.heard_at.min(heard.at);
        self.level = self.level.max(heard.level);
        self.gaps.extend(heard.gaps);
        self.break_glass_until = self.break_glass_until.max(heard.break_glass_until);
    }

    /// Whether break-glass is open.
    pub fn is_overridden(&self, now: Timestamp) -> bool {
        self.break_glass_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_upstreams_the_one_that_is_silent_longest_and_the_strictest_level_count() {
        let at = Timestamp::from_unix_seconds;
        let heard =
            |seconds, level, gap| Heard { at: at(seconds), level, gaps: vec![at(gap)], break_glass_until: None };
        let mut issuer = Issuer::new(heard(20, Level::Sl3, 1));
        issuer.add(heard(10, Level::Sl2, 2));
        assert_eq!((issuer.heard_at, issuer.level, issuer.gaps), (at(10), Level::Sl3, vec![at(1), at(2)]));
    }
}
