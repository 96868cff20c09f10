//! `[enforcement_points.<name>]`: who asks this service on behalf of users, how long it lives on one answer, and so how long
//! after a decision it may still let somebody in.
//!
//! The formula, for a point that lives on an answer for `reuse`:
//!
//! ```text
//! reuse  =  0                 checked: every action asks
//!           cache_for         cached: an answer is used again for that long
//!           token_lifetime    stateless: a token minted on an answer is good until its exp, nobody asks again
//! bound  =  hold + reuse
//! ```
//!
//! `hold` is how long this service itself may still say yes to a question after the decision, whatever happened on the
//! way: its hard bound of staleness. A point whose bound exceeds a window of a class it serves is refused at the start.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ssf_common::runtime::config::Span;

use super::settings::{SettingsError, wrong};
use super::{BindingClass, Level, Windows};

/// How a point comes to its decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// Every action asks.
    #[default]
    Checked,
    /// An answer is used again for a while.
    Cached,
    /// A token minted on an answer is good until its `exp`.
    Stateless,
}

impl Mechanism {
    /// As it stands in settings and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checked => "checked",
            Self::Cached => "cached",
            Self::Stateless => "stateless",
        }
    }
}

/// One enforcement point; `config.default.toml` says what each setting means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means")]
pub struct EnforcementPoint {
    #[serde(default)]
    pub mechanism: Mechanism,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_for: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime: Option<Span>,
    #[serde(default = "both")]
    pub bindings: Vec<BindingClass>,
}

impl Default for EnforcementPoint {
    fn default() -> Self {
        Self { mechanism: Mechanism::Checked, cache_for: None, token_lifetime: None, bindings: both() }
    }
}

impl EnforcementPoint {
    /// How long it lives on one answer.
    pub fn reuse(&self) -> Duration {
        let told = match self.mechanism {
            Mechanism::Checked => None,
            Mechanism::Cached => self.cache_for,
            Mechanism::Stateless => self.token_lifetime,
        };
        told.map(Span::duration).unwrap_or_default()
    }

    /// The longest it may let somebody in after a decision, if this service says yes for at most `hold` after it.
    pub fn bound(&self, hold: Duration) -> Duration {
        hold.saturating_add(self.reuse())
    }

    /// Whether it lets in what has this binding.
    pub fn serves(&self, class: BindingClass) -> bool {
        self.bindings.contains(&class)
    }

    fn check(&self, name: &str) -> Result<(), SettingsError> {
        let key = |of: &str| format!("enforcement_points.{name}.{of}");
        if !is_plain(name) {
            return wrong(
                format!("enforcement_points.{name}"),
                "must be named by lower-case letters, digits, - and _, starting with a letter or digit, at most 63",
            );
        }
        let is_time = |span: Option<Span>| span.is_some_and(|span| !span.duration().is_zero());
        match self.mechanism {
            Mechanism::Cached if !is_time(self.cache_for) => {
                return wrong(
                    key("cache_for"),
                    "is required with mechanism = \"cached\"; write how long an answer is used again, for example \"5s\"",
                );
            }
            Mechanism::Stateless if !is_time(self.token_lifetime) => {
                return wrong(
                    key("token_lifetime"),
                    "is required with mechanism = \"stateless\"; write how long a token is good, for example \"2m\"",
                );
            }
            _ => {}
        }
        if self.mechanism != Mechanism::Cached && self.cache_for.is_some() {
            return wrong(key("cache_for"), "is for mechanism = \"cached\"; remove it or set the mechanism");
        }
        if self.mechanism != Mechanism::Stateless && self.token_lifetime.is_some() {
            return wrong(key("token_lifetime"), "is for mechanism = \"stateless\"; remove it or set the mechanism");
        }
        if self.bindings.is_empty() {
            return wrong(key("bindings"), "must name bearer, bound or both");
        }
        Ok(())
    }
}

/// Every enforcement point by its name; `api` is there whether it is declared or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnforcementPoints(BTreeMap<String, EnforcementPoint>);

impl Default for EnforcementPoints {
    fn default() -> Self {
        Self::new(&BTreeMap::new())
    }
}

impl EnforcementPoints {
    /// Those declared, and `api`.
    pub fn new(declared: &BTreeMap<String, EnforcementPoint>) -> Self {
        let mut points = declared.clone();
        points.entry(API.to_owned()).or_default();
        Self(points)
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &EnforcementPoint)> {
        self.0.iter().map(|(name, point)| (name.as_str(), point))
    }

    /// The point of this name.
    pub fn named(&self, name: &str) -> Option<&EnforcementPoint> {
        self.0.get(name)
    }

    /// The longest that any point which serves this class lives on one answer, and its name.
    pub fn longest_reuse(&self, class: BindingClass) -> Option<(&str, Duration)> {
        let serving = self.iter().filter(|(_, point)| point.serves(class));
        serving.map(|(name, point)| (name, point.reuse())).max_by_key(|(_, reuse)| *reuse)
    }

    /// No point may exceed the window of a class it serves at a level in use. `hold` says for how long after a decision
    /// this service may say yes, per class.
    pub fn check(
        &self,
        windows: &Windows,
        levels: impl IntoIterator<Item = Level>,
        hold: impl Fn(Level, BindingClass) -> Duration,
    ) -> Result<(), SettingsError> {
        for (name, point) in &self.0 {
            point.check(name)?;
        }
        for level in levels {
            for (name, point) in self.iter() {
                for class in BindingClass::ALL.into_iter().filter(|class| point.serves(*class)) {
                    let (bound, window) = (point.bound(hold(level, class)), windows.window(level, class));
                    if bound > window {
                        return Err(SettingsError::Bound(BoundExceeded {
                            key: point.key(name),
                            bound: bound.into(),
                            reuse: point.reuse().into(),
                            window_key: format!("windows.{}.{}", level.as_str(), class.as_str()),
                            window: window.into(),
                        }));
                    }
                }
            }
        }
        Ok(())
    }
}

impl EnforcementPoint {
    fn key(&self, name: &str) -> String {
        let of = match self.mechanism {
            Mechanism::Checked => "mechanism",
            Mechanism::Cached => "cache_for",
            Mechanism::Stateless => "token_lifetime",
        };
        format!("enforcement_points.{name}.{of}")
    }
}

/// A point may let somebody in for longer than the window of something it serves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{key}: this point may let somebody in for {bound} after a decision ({reuse} of it on one answer), and {window_key} is \
     {window}; shorten it, declare in its bindings only what it serves, or widen the window"
)]
pub struct BoundExceeded {
    key: String,
    bound: Span,
    reuse: Span,
    window_key: String,
    window: Span,
}

fn both() -> Vec<BindingClass> {
    BindingClass::ALL.to_vec()
}

/// As the database wants it.
fn is_plain(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 63
        && name.bytes().next().is_some_and(is_plain)
        && name.bytes().all(|b| is_plain(b) || b == b'-' || b == b'_')
}

/// The point of everybody who names none.
pub const API: &str = "api";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(mechanism: Mechanism, seconds: u64, bindings: &[BindingClass]) -> EnforcementPoint {
        let span = Some(Span::from_secs(seconds));
        EnforcementPoint {
            mechanism,
            cache_for: span.filter(|_| mechanism == Mechanism::Cached),
            token_lifetime: span.filter(|_| mechanism == Mechanism::Stateless),
            bindings: bindings.to_vec(),
        }
    }

    fn checked_at(point: EnforcementPoint, levels: &[Level], hold: u64) -> Result<(), String> {
        let points = EnforcementPoints::new(&BTreeMap::from([("gate".to_owned(), point)]));
        let hold = Duration::from_secs(hold);
        points.check(&Windows::default(), levels.iter().copied(), |_, _| hold).map_err(|error| error.to_string())
    }

    #[test]
    fn the_bound_is_what_the_service_may_hold_and_how_long_one_answer_lives() {
        use Mechanism::{Cached, Checked, Stateless};
        for (mechanism, seconds, hold, bound) in [
            (Checked, 0, 0, 0),
            (Checked, 0, 40, 40),
            (Cached, 5, 0, 5),
            (Cached, 5, 40, 45),
            (Stateless, 300, 40, 340),
        ] {
            let bound_of = point(mechanism, seconds, &BindingClass::ALL).bound(Duration::from_secs(hold));
            assert_eq!(bound_of, Duration::from_secs(bound), "{mechanism:?}");
        }
    }

    #[test]
    fn a_point_that_exceeds_a_window_it_serves_is_refused_with_both_keys_and_the_remedy() {
        use BindingClass::{Bearer, Bound};
        use Mechanism::{Cached, Checked, Stateless};
        // windows: SL2 5 min and 60 min, SL3 60 s and 5 min
        for (mechanism, seconds, bindings, levels, hold, refused) in [
            (Checked, 0, &[Bearer, Bound][..], &[Level::Sl2, Level::Sl3][..], 60, None),
            (Checked, 0, &[Bearer, Bound], &[Level::Sl2, Level::Sl3], 61, Some(("mechanism", "windows.sl3.bearer"))),
            (Cached, 20, &[Bearer, Bound], &[Level::Sl3], 40, None),
            (Cached, 21, &[Bearer, Bound], &[Level::Sl3], 40, Some(("cache_for", "windows.sl3.bearer"))),
            (Stateless, 300, &[Bearer], &[Level::Sl2], 0, None),
            (Stateless, 301, &[Bearer], &[Level::Sl2], 0, Some(("token_lifetime", "windows.sl2.bearer"))),
            (Stateless, 301, &[Bound], &[Level::Sl2], 0, None),
            (Stateless, 301, &[Bound], &[Level::Sl3], 0, Some(("token_lifetime", "windows.sl3.bound"))),
            (Stateless, 301, &[Bound], &[], 0, None),
        ] {
            let said = checked_at(point(mechanism, seconds, bindings), levels, hold);
            match refused {
                None => assert_eq!(said, Ok(())),
                Some((key, window)) => {
                    let said = said.unwrap_err();
                    // `api` stands before `gate` and has the same mechanism where nothing is cached
                    assert!(said.contains(&format!(".{key}: ")) && said.contains(window), "{said}");
                    assert!(said.ends_with("or widen the window"), "{said}");
                }
            }
        }
    }

    #[test]
    fn settings_that_contradict_the_mechanism_are_refused() {
        let said = |point| checked_at(point, &[], 0).unwrap_err();
        let cached = point(Mechanism::Cached, 5, &BindingClass::ALL);
        assert!(
            said(EnforcementPoint { cache_for: None, ..cached.clone() })
                .starts_with("enforcement_points.gate.cache_for")
        );
        let both = EnforcementPoint { mechanism: Mechanism::Checked, ..cached.clone() };
        assert!(said(both).starts_with("enforcement_points.gate.cache_for is for"));
        let endless = EnforcementPoint { mechanism: Mechanism::Stateless, cache_for: None, ..cached.clone() };
        assert!(said(endless).starts_with("enforcement_points.gate.token_lifetime is required"));
        assert!(
            said(EnforcementPoint { bindings: Vec::new(), ..cached }).starts_with("enforcement_points.gate.bindings")
        );
    }

    #[test]
    fn who_declares_nothing_has_one_point_that_asks_every_time() {
        let points = EnforcementPoints::default();
        assert_eq!(points.iter().collect::<Vec<_>>(), [(API, &EnforcementPoint::default())]);
        assert_eq!(points.longest_reuse(BindingClass::Bearer), Some((API, Duration::ZERO)));
    }

    proptest! {
        #[test]
        fn what_is_accepted_never_exceeds_a_window(
            seconds in 1_u64..4_000, hold in 0_u64..400,
            mechanism in prop::sample::select(vec![Mechanism::Checked, Mechanism::Cached, Mechanism::Stateless]),
            bindings in prop::sample::subsequence(BindingClass::ALL.to_vec(), 1..=2),
            levels in prop::sample::subsequence(Level::ALL.to_vec(), 0..=2),
        ) {
            let one = point(mechanism, seconds, &bindings);
            let fits = |point: &EnforcementPoint| levels.iter().all(|level| point.bindings.iter().all(|class| {
                point.bound(Duration::from_secs(hold)) <= Windows::default().window(*level, *class)
            }));
            let expected = fits(&one) && fits(&EnforcementPoint::default());
            prop_assert_eq!(checked_at(one, &levels, hold).is_ok(), expected);
        }
    }
}
