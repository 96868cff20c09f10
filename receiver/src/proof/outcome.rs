//! One cut-off judged: how long after the decision somebody may still have been let in, and which leg took the time. Pure.
//!
//! For a binding class and an enforcement point that serves it:
//!
//! ```text
//! known     the moment from which every check here sees the cut-off (at each replica, else the commit)
//! possible  =  max(known, last time the point was told "active") + how long it lives on one answer
//! outcome   =  the latest `possible` of all its points  -  the decision
//! ```
//!
//! The decision is told by the issuer's clock and everything else by ours. The last verification bounds how far the two are
//! apart ([`ClockOffset`]); the outcome is told with the *smallest* correction that these bounds allow, and whether it is a
//! breach whatever the true offset is, or only perhaps.

use serde::{Deserialize, Serialize};
use ssf_common::clock::Timestamp;

use super::figures::millis;
use crate::config::{BindingClass, EnforcementPoints, Level};
use crate::timeline::ClockOffset;

/// A decision that cut something off, and the times of its road.
#[derive(Clone, Debug, PartialEq)]
pub struct CutOff {
    /// The SET.
    pub jti: String,
    /// Short name of the event type.
    pub event_type: String,
    /// `revoke`, `revalidate` or `block`.
    pub effect: String,
    /// Whose windows hold.
    pub level: Level,
    /// Issuer's clock: the decision.
    pub decided_at: Timestamp,
    /// Issuer's clock: taken up to be signed and sent; `None` if the transmitter sends no timeline.
    pub taken_at: Option<Timestamp>,
    /// Our clock: its bytes had arrived.
    pub received_at: Timestamp,
    /// Our clock: committed. `None` if a crash lost the time.
    pub applied_at: Option<Timestamp>,
    /// When it was in the memory of which process; empty if none told, or that is too long ago.
    pub visible: Vec<Visible>,
    /// When points were last told `active` about something it cuts off.
    pub seen: Vec<Seen>,
}

/// When a process saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visible {
    /// The process, by the name it has in `replica`.
    pub replica: String,
    /// From then on each of its answers took the cut-off into account; by its clock.
    pub visible_at: Timestamp,
}

/// What one enforcement point was told about what a decision cuts off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The point.
    pub point: String,
    /// The binding class of what it asked for.
    pub class: BindingClass,
    /// The last yes, by our clock.
    pub last_allowed_at: Timestamp,
    /// How many sessions and tokens turned from yes to no.
    pub denied: i64,
}

/// The judgement on one cut-off in one binding class. Times in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The last moment at which a point of this class can have let somebody in.
    pub last_possible_at: Timestamp,
    /// Which point that was.
    pub point: String,
    /// From the decision until then; not less than 0.
    pub took: i64,
    /// From the decision to the last yes that was told; 0 if that was before the decision, `None` if nobody asked.
    pub seen_took: Option<i64>,
    /// Where the time went.
    pub legs: Legs,
}

/// Where the time went, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Legs {
    /// The issuer's own: decision → taken up to be sent, by its clock. `None` without a timeline: it is then in `way`.
    pub issuer: Option<i64>,
    /// Until the bytes were here; crosses the clocks.
    pub way: i64,
    /// Until every check here saw it, by our clock.
    pub receiver: i64,
    /// Until the last point stopped living on an earlier answer, by our clock.
    pub points: i64,
}

impl CutOff {
    /// The judgement on this class; `None` if no point serves it.
    pub fn outcome(
        &self,
        class: BindingClass,
        points: &EnforcementPoints,
        offset: Option<&ClockOffset>,
    ) -> Option<Outcome> {
        let known = self.known_at();
        let of_class = || self.seen.iter().filter(|seen| seen.class == class);
        let serving = points.iter().filter(|(_, point)| point.serves(class)).map(|(name, point)| {
            let last = of_class().filter(|seen| seen.point == name).map(|seen| seen.last_allowed_at).max();
            (name, known.max(last.unwrap_or(known)).plus(point.reuse()))
        });
        // a point that is declared no more was still told what it was told
        let gone = of_class().filter(|seen| points.named(&seen.point).is_none_or(|point| !point.serves(class)));
        let gone = gone.map(|seen| (seen.point.as_str(), known.max(seen.last_allowed_at)));
        let (point, last_possible_at) = serving.chain(gone).max_by_key(|(_, until)| *until)?;
        let decided = self.decided_here(offset);
        let seen = of_class().map(|seen| seen.last_allowed_at).max();
        let taken = self.taken_at.map(|taken| taken.unix_micros() - correction(offset));
        let left = taken.unwrap_or(decided);
        Some(Outcome {
            last_possible_at,
            point: point.to_owned(),
            took: (last_possible_at.unix_micros() - decided).max(0),
            seen_took: seen.map(|seen| (seen.unix_micros() - decided).max(0)),
            legs: Legs {
                issuer: taken.map(|taken| (taken - decided).max(0)),
                way: (self.received_at.unix_micros() - left).max(0),
                receiver: (known.unix_micros() - self.received_at.unix_micros()).max(0),
                points: (last_possible_at.unix_micros() - known.unix_micros()).max(0),
            },
        })
    }

    /// From then on every check here saw it.
    pub fn known_at(&self) -> Timestamp {
        let applied = self.applied_at.unwrap_or(self.received_at);
        self.visible_at().map_or(applied, |visible| visible.max(applied))
    }

    /// The last process saw it; `None` if none told.
    pub fn visible_at(&self) -> Option<Timestamp> {
        self.visible.iter().map(|seen| seen.visible_at).max()
    }

    /// The last yes of any point about anything it cuts off.
    pub fn last_allowed_at(&self) -> Option<Timestamp> {
        self.seen.iter().map(|seen| seen.last_allowed_at).max()
    }

    /// The decision as our clock would have told it, in microseconds.
    fn decided_here(&self, offset: Option<&ClockOffset>) -> i64 {
        self.decided_at.unix_micros() - correction(offset)
    }
}

impl Outcome {
    /// How sure it is that this exceeds the window: `None`, it does not; `Some(true)`, whatever the clocks; `Some(false)`,
    /// unless the clocks are further apart than the smallest correction, or nobody knows how far they are.
    pub fn breach(&self, window: std::time::Duration, offset: Option<&ClockOffset>) -> Option<bool> {
        let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
        let smallest = correction(offset);
        let least = offset.is_some_and(|offset| self.took - smallest + micros(offset.min) > window);
        (self.took > window).then_some(least)
    }
}

impl Legs {
    /// The IdP's share: until the bytes were here.
    pub fn idps(&self) -> i64 {
        self.issuer.unwrap_or(0) + self.way
    }

    /// Ours.
    pub const fn ours(&self) -> i64 {
        self.receiver + self.points
    }

    /// The one that took longest.
    pub fn slowest(&self) -> &'static str {
        let legs = [
            ("issuer", self.issuer.unwrap_or(0)),
            ("way", self.way),
            ("receiver", self.receiver),
            ("points", self.points),
        ];
        // the first of equals: who comes earlier on the road
        legs.iter().rev().max_by_key(|(_, took)| *took).map_or("issuer", |(name, _)| name)
    }
}

/// How far the issuer's clock is taken to be ahead of ours, in microseconds: as little as the bounds allow.
fn correction(offset: Option<&ClockOffset>) -> i64 {
    offset.map_or(0, |offset| 0.clamp(micros(offset.min), micros(offset.max).max(micros(offset.min))))
}

#[expect(clippy::cast_possible_truncation, reason = "clocks are apart by far less than 2^52 microseconds")]
fn micros(ms: f64) -> i64 {
    (ms * 1_000.0).round() as i64
}

/// A leg as reports tell it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LegsMs {
    /// Decision → taken up to be sent, by the issuer's clock; absent without a timeline.
    pub issuer: Option<f64>,
    /// … → received here; crosses the clocks.
    pub way: f64,
    /// … → seen by every check here, by our clock.
    pub receiver: f64,
    /// … → no enforcement point lives on an earlier answer, by our clock.
    pub points: f64,
}

impl From<Legs> for LegsMs {
    fn from(legs: Legs) -> Self {
        Self {
            issuer: legs.issuer.map(millis),
            way: millis(legs.way),
            receiver: millis(legs.receiver),
            points: millis(legs.points),
        }
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
