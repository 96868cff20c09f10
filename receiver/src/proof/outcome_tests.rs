//! The judgement on one cut-off, on tables and over all orders of times.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use ssf_common::runtime::config::Span;

use super::*;
use crate::config::{API, EnforcementPoint, Mechanism};

const BASE: i64 = 1_795_000_000_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_millis(BASE + ms)
}

fn seen_at(visible_at: Timestamp) -> Vec<Visible> {
    let at = |replica: &str, visible_at| Visible { replica: replica.to_owned(), visible_at };
    vec![at("slow", visible_at), at("quick", Timestamp::default())]
}

/// Decided at 0, sent at 100, received at 150, applied at 160.
fn cut_off() -> CutOff {
    CutOff {
        jti: "1".to_owned(),
        event_type: "session-revoked".to_owned(),
        effect: "revoke".to_owned(),
        level: Level::Sl3,
        decided_at: at(0),
        taken_at: Some(at(100)),
        received_at: at(150),
        applied_at: Some(at(160)),
        visible: Vec::new(),
        seen: Vec::new(),
    }
}

fn told(point: &str, class: BindingClass, ms: i64) -> Seen {
    Seen { point: point.to_owned(), class, last_allowed_at: at(ms), denied: 1 }
}

fn with_cache(seconds: u64) -> EnforcementPoints {
    let cached = EnforcementPoint {
        mechanism: Mechanism::Cached,
        cache_for: Some(Span::from_secs(seconds)),
        bindings: vec![BindingClass::Bearer],
        ..EnforcementPoint::default()
    };
    EnforcementPoints::new(&BTreeMap::from([("gateway".to_owned(), cached)]))
}

#[test]
fn what_nobody_asked_for_was_possible_until_every_check_saw_the_cut_off() {
    let outcome = cut_off().outcome(BindingClass::Bearer, &EnforcementPoints::default(), None).unwrap();
    let legs = Legs { issuer: Some(100_000), way: 50_000, receiver: 10_000, points: 0 };
    assert_eq!((outcome.took, outcome.seen_took, outcome.legs), (160_000, None, legs));
    assert_eq!((outcome.point.as_str(), outcome.legs.slowest()), (API, "issuer"));
    assert_eq!((outcome.legs.idps(), outcome.legs.ours()), (150_000, 10_000));
}

#[test]
fn the_last_replica_counts_not_the_commit() {
    let cut_off = CutOff { visible: seen_at(at(900)), ..cut_off() };
    let outcome = cut_off.outcome(BindingClass::Bearer, &EnforcementPoints::default(), None).unwrap();
    assert_eq!((outcome.took, outcome.legs.receiver, outcome.legs.slowest()), (900_000, 750_000, "receiver"));
}

#[test]
fn a_point_that_lives_on_an_answer_may_let_in_for_that_long() {
    let outcome = cut_off().outcome(BindingClass::Bearer, &with_cache(5), None).unwrap();
    assert_eq!((outcome.point.as_str(), outcome.took, outcome.legs.points), ("gateway", 5_160_000, 5_000_000));
    let bound = cut_off().outcome(BindingClass::Bound, &with_cache(5), None).unwrap();
    assert_eq!((bound.point.as_str(), bound.took), (API, 160_000), "the gateway does not serve it");
}

#[test]
fn a_yes_that_was_told_late_counts_from_when_it_was_told() {
    let seen = vec![told(API, BindingClass::Bearer, 700), told("gateway", BindingClass::Bearer, 300)];
    let cut_off = CutOff { seen, ..cut_off() };
    let outcome = cut_off.outcome(BindingClass::Bearer, &with_cache(5), None).unwrap();
    assert_eq!((outcome.point.as_str(), outcome.took), ("gateway", 5_300_000));
    assert_eq!(outcome.seen_took, Some(700_000));
    let only_api = cut_off.outcome(BindingClass::Bearer, &EnforcementPoints::default(), None).unwrap();
    assert_eq!((only_api.point.as_str(), only_api.took), (API, 700_000));
    assert_eq!(cut_off.outcome(BindingClass::Bound, &with_cache(5), None).unwrap().seen_took, None);
}

#[test]
fn a_yes_before_the_decision_was_no_fault() {
    let cut_off = CutOff { seen: vec![told(API, BindingClass::Bearer, -5_000)], ..cut_off() };
    let outcome = cut_off.outcome(BindingClass::Bearer, &EnforcementPoints::default(), None).unwrap();
    assert_eq!((outcome.took, outcome.seen_took), (160_000, Some(0)));
}

#[test]
fn a_point_that_is_declared_no_more_was_still_told_what_it_was_told() {
    let cut_off = CutOff { seen: vec![told("retired", BindingClass::Bearer, 4_000)], ..cut_off() };
    let outcome = cut_off.outcome(BindingClass::Bearer, &EnforcementPoints::default(), None).unwrap();
    assert_eq!((outcome.point.as_str(), outcome.took), ("retired", 4_000_000));
}

#[test]
fn without_a_timeline_the_issuers_time_is_part_of_the_way() {
    let cut_off = CutOff { taken_at: None, ..cut_off() };
    let outcome = cut_off.outcome(BindingClass::Bearer, &EnforcementPoints::default(), None).unwrap();
    assert_eq!((outcome.legs.issuer, outcome.legs.way, outcome.legs.slowest()), (None, 150_000, "way"));
}

#[test]
fn clocks_are_corrected_by_no_more_than_is_proved() {
    // [bounds of the issuer's clock ahead of ours in ms], outcome in ms, breach of a window of 200 ms
    for (bounds, took, breach) in [
        (None, 160, None),
        (Some((-30.0, 20.0)), 160, None),      // may be the same: nothing is corrected
        (Some((50.0, 90.0)), 210, Some(true)), // at least 50 ms ahead: the decision was that much earlier
        (Some((-90.0, -50.0)), 110, None),     // at least 50 ms behind
    ] {
        let offset = bounds.map(|(min, max)| ClockOffset { min, max });
        let outcome = cut_off().outcome(BindingClass::Bearer, &EnforcementPoints::default(), offset.as_ref()).unwrap();
        assert_eq!(outcome.took, took * 1_000, "{bounds:?}");
        assert_eq!(outcome.breach(Duration::from_millis(200), offset.as_ref()), breach, "{bounds:?}");
    }
}

#[test]
fn a_breach_is_certain_only_if_no_offset_explains_it() {
    let window = Duration::from_millis(150);
    for (bounds, certain) in [(None, false), (Some((-5.0, 5.0)), true), (Some((-30.0, 5.0)), false)] {
        let offset = bounds.map(|(min, max)| ClockOffset { min, max });
        let outcome = cut_off().outcome(BindingClass::Bearer, &EnforcementPoints::default(), offset.as_ref()).unwrap();
        assert_eq!(outcome.breach(window, offset.as_ref()), Some(certain), "{bounds:?}");
    }
    let just_met = cut_off().outcome(BindingClass::Bearer, &EnforcementPoints::default(), None).unwrap();
    assert_eq!(just_met.breach(Duration::from_millis(160), None), None, "a window that is just met is met");
}

proptest! {
    #[test]
    fn the_legs_make_up_the_whole_if_time_goes_forward(
        gaps in prop::array::uniform4(0_i64..100_000), late in prop::option::of(0_i64..200_000), cache in 0_u64..9,
    ) {
        let [a, b, c, d] = gaps;
        let cut_off = CutOff {
            taken_at: Some(at(a)),
            received_at: at(a + b),
            applied_at: Some(at(a + b + c)),
            visible: seen_at(at(a + b + c + d)),
            seen: late.map(|late| told("gateway", BindingClass::Bearer, late)).into_iter().collect(),
            ..cut_off()
        };
        let outcome = cut_off.outcome(BindingClass::Bearer, &with_cache(cache), None).unwrap();
        prop_assert_eq!(outcome.legs.idps() + outcome.legs.ours(), outcome.took);
        prop_assert!(outcome.seen_took.is_none_or(|seen| seen <= outcome.took));
        prop_assert!(outcome.took >= (a + b + c + d) * 1_000);
    }

    #[test]
    fn no_order_of_times_and_no_offset_makes_anything_negative(
        times in prop::array::uniform5(-9_000_i64..9_000), offset in prop::option::of((-900.0..900.0, 0.0..500.0)),
    ) {
        let [taken, received, applied, visible, last] = times;
        let cut_off = CutOff {
            taken_at: Some(at(taken)),
            received_at: at(received),
            applied_at: Some(at(applied)),
            visible: seen_at(at(visible)),
            seen: vec![told(API, BindingClass::Bearer, last)],
            ..cut_off()
        };
        let offset = offset.map(|(min, wide): (f64, f64)| ClockOffset { min, max: min + wide });
        let outcome = cut_off.outcome(BindingClass::Bearer, &EnforcementPoints::default(), offset.as_ref()).unwrap();
        let legs = outcome.legs;
        prop_assert!(outcome.took >= 0 && legs.idps() >= 0 && legs.ours() >= 0 && outcome.seen_took >= Some(0));
    }
}
