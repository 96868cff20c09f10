//! What reports on the windows look like, as `GET /v1/windows` answers and the command line reads them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ssf_common::clock::Timestamp;

use super::figures::{Bucket, Distribution};
use super::outcome::{LegsMs, Seen, Visible};
use crate::config::{BindingClass, Level, Mechanism};
use crate::timeline::ClockOffset;

/// How the windows were kept by decisions that arrived since a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowsReport {
    /// Decisions received from then on are counted.
    pub since: Timestamp,
    /// When the report was made.
    pub as_of: Timestamp,
    /// What the figures mean where two clocks meet.
    pub clocks: String,
    /// The enforcement points, what they live on, and the bound that this guarantees.
    pub points: Vec<PointRow>,
    /// Per upstream, level and binding class.
    pub rows: Vec<Row>,
    /// The probes that began since then, the newest first, at most 100 of each upstream.
    #[serde(default)]
    pub probes: Vec<ProbeRow>,
    /// Every breach, the latest last.
    pub breaches: Vec<Breach>,
    /// How many further breaches are not listed here; `/v1/windows/cutoffs` has all of them.
    pub breaches_left_off: usize,
}

/// An enforcement point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointRow {
    /// Its name.
    pub name: String,
    /// `checked`, `cached` or `stateless`.
    pub mechanism: Mechanism,
    /// How long it lives on one answer.
    pub reuse_ms: f64,
    /// For each level and binding class it serves.
    pub bounds: Vec<PointBound>,
}

/// What an enforcement point guarantees in one window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointBound {
    /// The level.
    pub level: Level,
    /// The binding class.
    pub class: BindingClass,
    /// The longest it may let somebody in after a decision, whatever happens to the decision on its way: as long as this
    /// service believes a silent issuer, and as long as the point lives on one answer.
    pub bound_ms: f64,
    /// The window, which counts from the decision.
    pub window_ms: f64,
}

/// One upstream at one level in one binding class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The upstream's name.
    pub upstream: String,
    /// The level when the decisions arrived.
    pub level: Level,
    /// The binding class.
    pub class: BindingClass,
    /// The window.
    pub window_ms: f64,
    /// From the decision until nobody can have been let in any more.
    pub outcome: Distribution,
    /// The longest outcome as a share of the window.
    pub share_of_window: Option<f64>,
    /// From the decision to the last yes that was told, of those cut-offs that somebody ran into.
    pub seen: Distribution,
    /// The IdP's share: until the bytes were here.
    pub idp: Distribution,
    /// Ours, from then on.
    pub rp: Distribution,
    /// How many outcomes exceed the window.
    pub breaches: usize,
    /// How far the issuer's clock is ahead of ours; `null` if that is not known.
    pub clock_offset_ms: Option<ClockOffset>,
    /// The outcomes, for a chart.
    pub histogram: Vec<Bucket>,
}

/// A session that existed only to be revoked, timed from outside by our clock alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeRow {
    /// The upstream's name.
    pub upstream: String,
    /// Whose window for bearer tokens held.
    pub level: Level,
    /// The issuer was about to be asked to revoke it.
    pub started_at: Timestamp,
    /// The last yes.
    pub last_allowed_at: Option<Timestamp>,
    /// The first no.
    pub denied_at: Option<Timestamp>,
    /// From the one to the other.
    pub took_ms: Option<f64>,
    /// `denied` within the window, `late`, or `failed`: it could not be made.
    pub outcome: String,
    /// Of a failed one: why.
    pub fault: Option<String>,
}

/// An outcome that exceeds its window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    /// The binding class.
    pub class: BindingClass,
    /// The window.
    pub window_ms: f64,
    /// From the decision until nobody can have been let in any more.
    pub outcome_ms: f64,
    /// Whatever the clocks say. `false`: clocks that are further apart than assumed would explain it.
    pub is_certain: bool,
    /// The last moment at which somebody can have been let in.
    pub last_possible_at: Timestamp,
    /// By which enforcement point.
    pub point: String,
    /// Where the time went, in this class.
    pub legs_ms: LegsMs,
    /// The leg that took longest: `issuer`, `way`, `receiver` or `points`.
    pub slowest: String,
    /// The decision, and the times of its road.
    pub cutoff: Line,
}

/// One cut-off, with the times of its road.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The upstream's name.
    pub upstream: String,
    /// The SET.
    pub jti: String,
    /// Short name of the event type.
    pub event_type: String,
    /// `revoke`, `revalidate` or `block`.
    pub effect: String,
    /// Whose windows hold.
    pub level: Level,
    /// The decision, by the issuer's clock.
    pub decided_at: Timestamp,
    /// Taken up to be sent, by the issuer's clock.
    pub taken_at: Option<Timestamp>,
    /// Received here (T3).
    pub received_at: Timestamp,
    /// Applied here (T4).
    pub applied_at: Option<Timestamp>,
    /// Seen by the last replica (T5).
    pub visible_at: Option<Timestamp>,
    /// The same replica by replica.
    #[serde(default)]
    pub visible: Vec<Visible>,
    /// The last yes of any enforcement point about what it cuts off (T6).
    pub last_allowed_at: Option<Timestamp>,
    /// The same by enforcement point and binding class.
    pub seen: Vec<Seen>,
    /// From the decision until nobody can have been let in any more, by binding class.
    pub outcome_ms: BTreeMap<BindingClass, f64>,
    /// The binding classes whose window that exceeds.
    pub breached: Vec<BindingClass>,
    /// Where the time went, in the class that took longest.
    pub legs_ms: Option<LegsMs>,
}

/// A page of cut-offs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    /// By upstream, in the order of arrival.
    pub cutoffs: Vec<Line>,
    /// Where the next page begins; `null` at the end.
    pub next: Option<String>,
}

/// The last cut-off of a page, in the order of names, arrival and ids; as text, what stands in `next` and `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its upstream.
    pub upstream: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Its SET.
    pub jti: String,
}

/// The text is not one that we gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a `next` of an earlier page")]
pub struct NotACursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.upstream, self.received_at.unix_micros(), self.jti)
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let mut parts = text.splitn(3, '/');
        let (Some(upstream), Some(at), Some(jti)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NotACursor);
        };
        let at: i64 = at.parse().ok().filter(|at| (0..LAST).contains(at)).ok_or(NotACursor)?;
        if text.contains('\0') {
            return Err(NotACursor);
        }
        Ok(Self { upstream: upstream.to_owned(), received_at: Timestamp::from_unix_micros(at), jti: jti.to_owned() })
    }
}

/// The year 10000, in microseconds.
const LAST: i64 = 253_402_300_800_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_whatever_the_id_is() {
        for jti in ["1", "a/b/c", "", "ü"] {
            let received_at = Timestamp::from_unix_micros(1_795_000_000_000_001);
            let cursor = Cursor { upstream: "idp".to_owned(), received_at, jti: jti.to_owned() };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in ["", "idp", "idp/1", "idp/x/1", "idp/-1/1", "idp/9223372036854775807/1", "i/1/\0"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NotACursor), "{wrong:?}");
        }
    }
}
