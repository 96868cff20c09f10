//! `[windows]`: the longest a session or token may stay usable after the IdP's decision, by level and binding class.
//!
//! These are outcomes in the worst case, not lifetimes of tokens: whatever the road of a decision was, a window that has
//! passed and a session that may still be used is a breach. Both parties have the table: the receiver holds its sessions
//! against it, the transmitter its backlog.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Span;

/// What an issuer and an application have agreed on (IPSIE session levels): from SL2 on there are windows, and those of
/// SL3 are shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything ends within minutes.
    #[default]
    Sl2,
    /// Shorter windows, and the application reports back.
    Sl3,
}

impl Level {
    /// All of them, the least strict first.
    pub const ALL: [Self; 2] = [Self::Sl2, Self::Sl3];

    /// As it stands in settings, reports and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sl2 => "sl2",
            Self::Sl3 => "sl3",
        }
    }
}

/// The text is not a level.
#[derive(Debug, thiserror::Error)]
#[error("not a level; write sl2 or sl3")]
pub struct NotALevel;

impl FromStr for Level {
    type Err = NotALevel;

    fn from_str(text: &str) -> Result<Self, NotALevel> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or(NotALevel)
    }
}

/// Whether who stole a token could use it: what is bound to a key of the client has longer windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindingClass {
    /// Whoever holds it may use it (RFC 6750).
    Bearer,
    /// Bound to a key of the client, shown on the request (RFC 9449, RFC 8705).
    Bound,
}

impl BindingClass {
    /// Both of them, the one with the shorter windows first.
    pub const ALL: [Self; 2] = [Self::Bearer, Self::Bound];

    /// As it stands in settings, reports and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Bound => "bound",
        }
    }
}

/// The windows of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelWindows {
    /// For what is bound to nothing.
    pub bearer: Span,
    /// For what is bound to a key of the client.
    pub bound: Span,
}

/// The window table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// The windows of SL2.
    pub sl2: LevelWindows,
    /// The windows of SL3.
    pub sl3: LevelWindows,
}

impl Default for Windows {
    /// As in `config.default.toml`.
    fn default() -> Self {
        let minutes = |minutes: u64| Span::from_secs(60 * minutes);
        Self {
            sl2: LevelWindows { bearer: minutes(5), bound: minutes(60) },
            sl3: LevelWindows { bearer: minutes(1), bound: minutes(5) },
        }
    }
}

impl Windows {
    /// The longest that something of this class may stay usable after a decision at this level.
    pub const fn window(&self, level: Level, class: BindingClass) -> Duration {
        let of_level = match level {
            Level::Sl2 => &self.sl2,
            Level::Sl3 => &self.sl3,
        };
        match class {
            BindingClass::Bearer => of_level.bearer.duration(),
            BindingClass::Bound => of_level.bound.duration(),
        }
    }

    /// Every window is more than nothing and at most a day; bearer < bound; SL3 < SL2.
    pub fn check(&self) -> Result<(), WindowsFault> {
        for level in Level::ALL {
            for class in BindingClass::ALL {
                let window = self.window(level, class);
                if window.is_zero() || window > LONGEST {
                    return wrong(key(level, class), "must be more than 0 and at most 24h");
                }
            }
            if self.window(level, BindingClass::Bearer) >= self.window(level, BindingClass::Bound) {
                return wrong(
                    key(level, BindingClass::Bearer),
                    "must be shorter than bound: a bearer token can be stolen",
                );
            }
        }
        for class in BindingClass::ALL {
            if self.window(Level::Sl3, class) >= self.window(Level::Sl2, class) {
                return wrong(
                    key(Level::Sl3, class),
                    "must be shorter than that of sl2: the higher level promises more",
                );
            }
        }
        Ok(())
    }
}

/// A window that is no promise: which setting, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {remedy}")]
pub struct WindowsFault {
    /// The setting.
    pub key: String,
    /// What it must be.
    pub remedy: &'static str,
}

const fn wrong(key: String, remedy: &'static str) -> Result<(), WindowsFault> {
    Err(WindowsFault { key, remedy })
}

fn key(level: Level, class: BindingClass) -> String {
    format!("windows.{}.{}", level.as_str(), class.as_str())
}

const LONGEST: Duration = Duration::from_hours(24);
