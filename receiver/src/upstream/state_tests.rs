//! Which state a row is in, and what its history tells of a turn.

use super::*;

const PATIENCE: Duration = Duration::from_mins(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_795_000_000 + seconds)
}

fn held() -> Held {
    let status = Some(StreamStatus::Enabled);
    Held { stream_id: Some("s".into()), status, last_verified_at: Some(at(0)), ..Held::default() }
}

#[test]
fn the_worst_that_holds_is_the_state() {
    let asked = Held { unanswered_since: Some(at(10)), ..held() };
    let table = [
        (Held::default(), State::Joining),
        (Held { trouble_at: Some(at(0)), ..Held::default() }, State::Troubled),
        (Held { last_verified_at: None, ..held() }, State::Unverified),
        (held(), State::Verified),
        (Held { unanswered_since: Some(at(11)), ..held() }, State::Verified),
        (asked.clone(), State::Silent),
        (Held { last_verified_at: None, ..asked.clone() }, State::Silent),
        (Held { last_verified_at: Some(at(10)), ..asked.clone() }, State::Verified),
        (Held { trouble_at: Some(at(0)), ..asked.clone() }, State::Troubled),
        (Held { status: Some(StreamStatus::Paused), trouble_at: Some(at(0)), ..asked.clone() }, State::Paused),
        (Held { status: Some(StreamStatus::Disabled), ..asked.clone() }, State::Disabled),
        (Held { removed_at: Some(at(0)), ..asked }, State::Removed),
    ];
    for (held, state) in table {
        assert_eq!(State::of(&held, PATIENCE, at(70)), state, "{held:?}");
    }
}

#[test]
fn every_state_is_stored_by_its_name() {
    for state in State::ALL {
        assert_eq!(State::stored(state.as_str()), Some(state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    assert_eq!(State::stored("well"), None);
}

fn told(from: State, to: State, change: impl FnOnce(&mut Held)) -> Vec<(What, i64)> {
    let mut held = Held { told: from, told_since: Some(at(-5)), ..held() };
    change(&mut held);
    let entries = told_of_a_turn(&held, to, at(99));
    entries.into_iter().map(|entry| (entry.what, entry.at.unix_seconds() - at(0).unix_seconds())).collect()
}

#[test]
fn a_turn_is_told_once_and_by_the_time_at_which_it_came() {
    let changed = |held: &mut Held| held.status_changed_at = Some(at(7));
    assert_eq!(told(State::Unverified, State::Verified, |_| {}), [(What::Verified, 0)]);
    assert_eq!(told(State::Verified, State::Silent, |_| {}), [(What::Silent, 99)]);
    assert_eq!(told(State::Silent, State::Verified, |_| {}), [(What::Healed, 0)]);
    assert_eq!(told(State::Verified, State::Paused, changed), [(What::Paused, 7)]);
    assert_eq!(told(State::Paused, State::Disabled, changed), [(What::Disabled, 7)]);
    let long_verified = |held: &mut Held| {
        changed(held);
        held.told_since = Some(at(6));
    };
    assert_eq!(told(State::Disabled, State::Verified, long_verified), [(What::Enabled, 7)]);
    assert_eq!(told(State::Paused, State::Silent, long_verified), [(What::Enabled, 7), (What::Silent, 99)]);
    // trouble is told when it happens
    assert!(told(State::Verified, State::Troubled, |_| {}).is_empty());
    assert!(told(State::Troubled, State::Verified, |held| held.told_since = Some(at(6))).is_empty());
}

#[test]
fn a_stream_that_was_disabled_and_enabled_between_two_looks_is_told_of_all_the_same() {
    let between = |held: &mut Held| {
        (held.lost_since, held.lost_cause) = (Some(at(3)), Some(DISABLED.to_owned()));
        (held.status_changed_at, held.told_since) = (Some(at(7)), Some(at(6)));
    };
    assert_eq!(told(State::Verified, State::Verified, between), [(What::Disabled, 3), (What::Enabled, 7)]);
    assert_eq!(told(State::Disabled, State::Verified, between), [(What::Enabled, 7)]);
}
