//! What a verdict means (an assertion counts only if it is strictly later than every cut-off; the worst cut-off decides),
//! written down literally on times that know their precision, against what is built: registers that merge, and a
//! comparison of instants. Both must give the same verdict on every history, in every order
//! and with every repetition.

use proptest::prelude::*;
use proptest::sample::Index;
use ssf_common::clock::Timestamp;
use ssf_common::moment::Moment;

use super::*;
use crate::cutoff::{Cut, Registers, Standing};

/// One thing that happens to a session that matches two keys (a user and a device, say).
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// An event about the subject of one of the keys.
    Event { key: usize, cut: Cut, decided: Moment },
    /// The user logs in again under the same session id.
    Login(Moment),
    /// The issuer asserts the session anew.
    Revalidated(Moment),
}

/// The definition: no registers, no order, only "is there …" over all that happened.
fn by_definition(login: Moment, happened: &[Happening]) -> State {
    let logins: Vec<Moment> = happened
        .iter()
        .filter_map(|h| if let Happening::Login(at) = h { Some(*at) } else { None })
        .chain([login])
        .collect();
    let assertions: Vec<Moment> = happened
        .iter()
        .filter_map(|h| if let Happening::Revalidated(at) = h { Some(*at) } else { None })
        .chain(logins.iter().copied())
        .collect();
    let events = |key: usize, wanted: Cut| -> Vec<Moment> {
        let of = |h: &Happening| match h {
            Happening::Event { key: k, cut, decided } if *k == key && *cut == wanted => Some(*decided),
            _ => None,
        };
        happened.iter().filter_map(of).collect()
    };
    // An assertion holds against a cut-off only if it is later; the newest one speaks for the session.
    let all_at_or_before = |assertions: &[Moment], cut: Moment| assertions.iter().all(|a| a.is_at_or_before(cut));
    let revoked = (0..KEYS).any(|key| {
        let mut cuts = events(key, Cut::Revoke);
        cuts.extend(events(key, Cut::Block));
        cuts.into_iter().any(|cut| all_at_or_before(&logins, cut))
    });
    // Shut out: some block that no unblock is later than.
    let blocked = (0..KEYS).any(|key| {
        let unblocks = events(key, Cut::Unblock);
        events(key, Cut::Block).into_iter().any(|block| unblocks.iter().all(|u| u.is_at_or_before(block)))
    });
    let revalidate =
        (0..KEYS).any(|key| events(key, Cut::Revalidate).into_iter().any(|cut| all_at_or_before(&assertions, cut)));
    if revoked || blocked {
        State::Revoked
    } else if revalidate {
        State::RevalidateRequired
    } else {
        State::Active
    }
}

/// What is built: everything is merged in the order of arrival, then judged.
fn as_built(login: Moment, arrived: &[Happening], expires_at: Option<Timestamp>) -> Verdict {
    let mut registers = [Registers::default(); KEYS];
    let mut assertions = Assertions::new(login, None);
    for happening in arrived {
        match *happening {
            Happening::Event { key, cut, decided } => {
                registers[key] = registers[key].merged(Registers::of(cut, decided, at_ms(NOW)));
            }
            Happening::Login(at) => assertions = assertions.joined(Assertions::new(at, None)),
            Happening::Revalidated(at) => assertions = assertions.validated_at(at),
        }
    }
    evaluate(&Asserted { assertions, expires_at }, &registers.iter().collect::<Standing>(), at_ms(NOW), LIVES_LONGER)
}

fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_unix_millis(ms)
}

/// Times within a few seconds, so that ties and shared seconds are frequent.
fn moment() -> impl Strategy<Value = Moment> {
    (0_i64..16, any::<bool>()).prop_map(|(quarter, whole)| {
        let at = at_ms(quarter * 250);
        if whole { Moment::second(at) } else { Moment::millisecond(at) }
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let cut = prop::sample::select(vec![Cut::Revoke, Cut::Revalidate, Cut::Block, Cut::Unblock]);
    prop_oneof![
        4 => (0..KEYS, cut, moment()).prop_map(|(key, cut, decided)| Happening::Event { key, cut, decided }),
        1 => moment().prop_map(Happening::Login),
        1 => moment().prop_map(Happening::Revalidated),
    ]
}

/// Every order of these, by Heap's algorithm.
fn every_order(mut these: Vec<Happening>, visit: &mut impl FnMut(&[Happening])) {
    let mut counters = vec![0; these.len()];
    visit(&these);
    let mut i = 0;
    while i < these.len() {
        if counters[i] < i {
            these.swap(if i % 2 == 0 { 0 } else { counters[i] }, i);
            visit(&these);
            counters[i] += 1;
            i = 0;
        } else {
            counters[i] = 0;
            i += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_order_of_a_history_gives_the_verdict_of_the_definition(
        login in moment(), history in prop::collection::vec(happening(), 0..=5),
    ) {
        let expected = by_definition(login, &history);
        let mut wrong = None;
        every_order(history, &mut |order| {
            if as_built(login, order, None).state != expected {
                wrong.get_or_insert_with(|| order.to_vec());
            }
        });
        prop_assert!(wrong.is_none(), "expected {:?} of {:?}", expected, wrong);
    }

    #[test]
    fn repetitions_anywhere_in_a_long_history_change_nothing(
        login in moment(),
        history in prop::collection::vec(happening(), 1..24).prop_shuffle(),
        again in prop::collection::vec((any::<Index>(), any::<Index>()), 0..12),
    ) {
        let expected = by_definition(login, &history);
        let mut arrived = history.clone();
        for (what, place) in again {
            let repeated = history[what.index(history.len())];
            arrived.insert(place.index(arrived.len() + 1), repeated);
        }
        prop_assert_eq!(as_built(login, &arrived, None).state, expected);
    }

    #[test]
    fn a_session_past_its_end_must_be_revalidated_unless_something_worse_holds(
        login in moment(), history in prop::collection::vec(happening(), 0..5), from_now_ms in -2_i64..=2,
    ) {
        let verdict = as_built(login, &history, Some(at_ms(NOW + from_now_ms)));
        match by_definition(login, &history) {
            State::Active if from_now_ms <= 0 => {
                let expired = Verdict { state: State::RevalidateRequired, reason: Some(Reason::Expired) };
                prop_assert_eq!(verdict, expired);
            }
            state => prop_assert_eq!(verdict.state, state),
        }
    }
}

const KEYS: usize = 2;
/// Later than everything that happens.
const NOW: i64 = 1_000_000;
/// Nothing in these histories is as old.
const LIVES_LONGER: Duration = Duration::from_hours(24);

/// The registers of two keys, moved by events in the order of arrival, and freed of what is spent whenever
/// one arrives.
fn with_collection(events: &[(usize, Cut, i64, i64)], cap: Duration, allowance: Duration) -> ([Registers; KEYS], i64) {
    let mut registers = [Registers::default(); KEYS];
    let mut now = 0;
    for (key, cut, decided, passes) in events {
        now += passes;
        let at = at_ms(now);
        registers[*key] = registers[*key].merged(Registers::of(*cut, Moment::millisecond(at_ms(*decided).min(at)), at));
        for collected in &mut registers {
            if collected.is_spent(at.minus(cap).minus(allowance)) {
                *collected = Registers::default();
            }
        }
    }
    (registers, now)
}

proptest! {
    /// Whatever happened, whenever cut-offs were collected, whoever asks: the verdict is the one that all cut-offs ever
    /// would give. So collecting can make nothing good again.
    #[test]
    fn the_verdict_with_collection_is_the_verdict_without(
        events in prop::collection::vec(
            (0..KEYS, prop::sample::select(vec![Cut::Revoke, Cut::Revalidate, Cut::Block, Cut::Unblock]), 0_i64..2_000, 0_i64..120),
            0..24,
        ),
        origin in 0_i64..3_000,
        since in 0_i64..2_000,
        later in 0_i64..1_000,
        cap in 1_u64..600,
        behind in 0_i64..30,
    ) {
        let (cap, allowance) = (Duration::from_millis(cap), Duration::from_millis(30));
        let (collected, now) = with_collection(&events, cap, allowance);
        let mut all = [Registers::default(); KEYS];
        let mut at = 0;
        for (key, cut, decided, passes) in &events {
            at += passes;
            let arrived = at_ms(at);
            all[*key] = all[*key].merged(Registers::of(*cut, Moment::millisecond(at_ms(*decided).min(arrived)), arrived));
        }
        // who is asked has a clock that may be behind that of who collected, by less than is allowed for
        let asked_at = at_ms(now + later - behind);
        let origin = at_ms(origin);
        let assertions = Assertions { origin, validated: origin.plus(Duration::from_millis(since.unsigned_abs())) };
        let asserted = Asserted { assertions, expires_at: None };
        let with = evaluate(&asserted, &collected.iter().collect(), asked_at, cap);
        let without = evaluate(&asserted, &all.iter().collect(), asked_at, cap);
        prop_assert_eq!(with, without);
    }
}
