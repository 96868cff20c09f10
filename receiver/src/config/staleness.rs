//! `[staleness]`: how long this receiver may be out of touch with an issuer before it says so, and before sessions wait.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ssf_common::runtime::config::{BindingClass, Level, Span, Windows};

use super::enforcement_point::EnforcementPoints;
use super::settings::{SettingsError, wrong};
use super::upstream::UpstreamSettings;

/// A section of `config.default.toml`: staleness.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means")]
pub struct StalenessSettings {
    pub spread: Span,
    #[serde(default)]
    pub sl2: LevelBounds,
    #[serde(default)]
    pub sl3: LevelBounds,
}

/// The bounds of one level.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelBounds {
    /// For what is bound to nothing.
    #[serde(default)]
    pub bearer: Bounds,
    /// For what is bound to a key of the client.
    #[serde(default)]
    pub bound: Bounds,
}

/// The bounds of one binding class; what is absent follows from the window.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// From this age on, answers say that they are stale; half the hard bound if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft: Option<Span>,
    /// Beyond this age sessions must be revalidated; if absent, the window without what the enforcement point that
    /// lives longest on one answer takes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard: Option<Span>,
}

/// What an age means for one class at one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Older than this is stale.
    pub soft: Duration,
    /// Older than this suspends.
    pub hard: Duration,
}

/// The bounds of every class, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staleness {
    limits: [[Limits; 2]; 2],
    /// Over how long it is spread that sessions are revalidated after a gap.
    pub spread: Duration,
    /// What began so long ago is over.
    pub lineage_cap: Duration,
}

impl Staleness {
    /// From the settings, with what follows from the windows and the enforcement points.
    pub fn new(settings: &StalenessSettings, windows: &Windows, points: &EnforcementPoints) -> Self {
        let limits = Level::ALL.map(|level| {
            BindingClass::ALL.map(|class| {
                let of = settings.bounds(level, class);
                let reuse = points.longest_reuse(class).map(|(_, reuse)| reuse).unwrap_or_default();
                let room = windows.window(level, class).saturating_sub(reuse);
                let hard = of.hard.map_or(room, Span::duration);
                Limits { soft: of.soft.map_or(hard / 2, Span::duration), hard }
            })
        });
        Self { limits, spread: settings.spread.duration(), lineage_cap: LINEAGE_CAP }
    }

    /// The same with another lineage cap.
    #[must_use]
    pub const fn capped(self, lineage_cap: Duration) -> Self {
        Self { lineage_cap, ..self }
    }

    /// What an age means for this class.
    pub fn limits(&self, level: Level, class: BindingClass) -> Limits {
        self.limits[usize::from(level == Level::Sl3)][usize::from(class == BindingClass::Bound)]
    }

    /// soft < hard ≤ window, for every class of the levels in use.
    pub(super) fn check(
        &self,
        windows: &Windows,
        levels: impl IntoIterator<Item = Level>,
    ) -> Result<(), SettingsError> {
        for level in levels {
            for class in BindingClass::ALL {
                let key = |of: &str| format!("staleness.{}.{}.{of}", level.as_str(), class.as_str());
                let limits = self.limits(level, class);
                if limits.hard > windows.window(level, class) {
                    return wrong(
                        key("hard"),
                        "must not exceed the window: a decision that is not heard of would be obeyed too late",
                    );
                }
                // nothing is left of the window: an enforcement point takes it all, and is refused for that
                if limits.soft >= limits.hard && !limits.hard.is_zero() {
                    return wrong(key("soft"), "must be shorter than hard");
                }
            }
        }
        Ok(())
    }

    /// A healthy upstream is heard of at least once per verification: that, and the wait for one that was lost, must not
    /// suspend anybody.
    pub(super) fn check_upstream(&self, name: &str, upstream: &UpstreamSettings) -> Result<(), SettingsError> {
        for class in BindingClass::ALL {
            if self.limits(upstream.level, class).hard.is_zero() {
                return wrong(
                    format!("staleness.{}.{}.hard", upstream.level.as_str(), class.as_str()),
                    "is nothing: an enforcement point lives on one answer for as long as the window; shorten that, declare in its bindings only what it serves, or widen the window",
                );
            }
        }
        let every = upstream.verify_every();
        let silence = every + upstream.verify_patience.duration().min(every);
        if BindingClass::ALL.into_iter().any(|class| silence >= self.limits(upstream.level, class).hard) {
            return wrong(
                format!("upstreams.{name}.verify_every"),
                "is too long: with verify_patience (at most as long) it must stay below every staleness.<level>.<class>.hard of its level, or healthy sessions are suspended; leave it out, widen the window, or shorten what an enforcement point lives on one answer",
            );
        }
        Ok(())
    }
}

impl Default for StalenessSettings {
    /// As in `config.default.toml`.
    fn default() -> Self {
        Self { spread: Span::from_secs(120), sl2: LevelBounds::default(), sl3: LevelBounds::default() }
    }
}

impl Default for Staleness {
    fn default() -> Self {
        Self::new(&StalenessSettings::default(), &Windows::default(), &EnforcementPoints::default())
    }
}

impl StalenessSettings {
    const fn bounds(&self, level: Level, class: BindingClass) -> Bounds {
        let of_level = match level {
            Level::Sl2 => &self.sl2,
            Level::Sl3 => &self.sl3,
        };
        match class {
            BindingClass::Bearer => of_level.bearer,
            BindingClass::Bound => of_level.bound,
        }
    }
}

/// As `lineage.cap` in `config.default.toml`.
const LINEAGE_CAP: Duration = Duration::from_hours(90 * 24);
