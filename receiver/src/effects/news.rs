//! Whether a cut-off that moved is news to a session: pure. Called by `spread` for every session the cut-off reaches.

use std::time::Duration;

use ssf_common::clock::Timestamp;

use super::Change;
use crate::cutoff::{Cut, Standing};
use crate::session::Assertions;
use crate::validity::{Asserted, Reason, State, Verdict, evaluate};

/// Why a session is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A cut-off of one of its keys moved.
    Cut(Cut),
    /// Decisions of its issuer may have been lost.
    Gap,
}

/// What the application was last told of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The state.
    pub change: Change,
    /// The assertions the session had then.
    pub assertions: Assertions,
}

/// What it is told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// The state.
    pub change: Change,
    /// Why; `None` when active.
    pub reason: Option<Reason>,
}

/// What there is to tell of a session after `cause`; `standing` is what all its keys say by now, which may be more than one
/// cut-off did, and `gap_until` the end of a gap after which it must have been proved again by now, if there was one.
///
/// There is news if the session's state is another one than the application knows, and `cause` is a cause of it: if it is
/// not, the cause has a row of its own. So neither repetition nor the order in which cut-offs are gone through makes a
/// second effect, and a session that was over already when it was registered is not told to be over again.
pub(super) fn news(
    cause: Cause,
    told: Option<&Told>,
    session: &Asserted,
    standing: &Standing,
    gap_until: Option<Timestamp>,
    now: Timestamp,
    cap: Duration,
) -> Option<News> {
    let mut verdict = evaluate(session, standing, now, cap);
    let is_in_gap = gap_until.is_some_and(|until| session.assertions.validated <= until);
    if verdict.state == State::Active && is_in_gap {
        verdict = Verdict { state: State::RevalidateRequired, reason: Some(Reason::Gap) };
    }
    let change = match verdict.state {
        State::Revoked => Change::Revoked,
        State::RevalidateRequired => Change::RevalidateRequired,
        State::Active => Change::Active,
        State::Unknown => return None,
    };
    let known = known(told, session.assertions);
    // The session's own end is no news of an issuer; the application set it.
    let is_own_end = verdict.reason == Some(Reason::Expired) && known == Change::Active;
    let is_news = change != known && is_caused_by(cause, verdict.reason) && !is_own_end;
    is_news.then_some(News { change, reason: verdict.reason })
}

/// The state the application knows. What was said of an earlier login counts no longer; nor does a call for a newer
/// assertion, once there is one.
fn known(told: Option<&Told>, now: Assertions) -> Change {
    match told {
        Some(told) if told.assertions.origin != now.origin => Change::Active,
        Some(Told { change: Change::RevalidateRequired, assertions }) if assertions.validated != now.validated => {
            Change::Active
        }
        Some(told) => told.change,
        None => Change::Active,
    }
}

const fn is_caused_by(cause: Cause, reason: Option<Reason>) -> bool {
    let cut = match cause {
        Cause::Cut(cut) => cut,
        Cause::Gap => return matches!(reason, Some(Reason::Gap)),
    };
    match cut {
        // what is over by its age alone is told of with the first cut-off that reaches it
        Cut::Revoke => matches!(reason, Some(Reason::RevokedByIssuer | Reason::TooOld)),
        Cut::Revalidate => matches!(reason, Some(Reason::RevalidateByIssuer | Reason::TooOld)),
        Cut::Block => matches!(reason, Some(Reason::Blocked | Reason::RevokedByIssuer | Reason::TooOld)),
        // Whatever shows once the block is gone.
        Cut::Unblock => !matches!(reason, Some(Reason::Blocked)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ssf_common::moment::Moment;

    use super::*;
    use crate::cutoff::Registers;

    /// Without a gap.
    fn news(
        cut: Cut,
        told: Option<&Told>,
        session: &Asserted,
        standing: &Standing,
        now: Timestamp,
        cap: Duration,
    ) -> Option<News> {
        super::news(Cause::Cut(cut), told, session, standing, None, now, cap)
    }

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_000);
    const CAP: Duration = Duration::from_hours(24);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn session(origin: i64, validated: i64) -> Asserted {
        Asserted { assertions: Assertions { origin: at(origin), validated: at(validated) }, expires_at: None }
    }

    fn after(cuts: &[(Cut, i64)]) -> Standing {
        [cuts.iter().fold(Registers::default(), |so_far, (cut, seconds)| {
            so_far.merged(Registers::of(*cut, Moment::second(at(*seconds)), NOW))
        })]
        .iter()
        .collect()
    }

    #[test]
    fn a_session_is_told_of_what_changes_it_and_not_twice() {
        let (old, revoked) = (session(10, 10), after(&[(Cut::Revoke, 20)]));
        let first = news(Cut::Revoke, None, &old, &revoked, NOW, CAP);
        assert_eq!(first, Some(News { change: Change::Revoked, reason: Some(Reason::RevokedByIssuer) }));
        let told = Told { change: Change::Revoked, assertions: old.assertions };
        assert_eq!(news(Cut::Revoke, Some(&told), &old, &after(&[(Cut::Revoke, 30)]), NOW, CAP), None);
        assert_eq!(news(Cut::Revoke, None, &session(25, 25), &revoked, NOW, CAP), None, "asserted later");
        let again = session(25, 25);
        let later = after(&[(Cut::Revoke, 30)]);
        assert!(news(Cut::Revoke, Some(&told), &again, &later, NOW, CAP).is_some(), "a new login under the same name");
    }

    #[test]
    fn a_call_for_revalidation_is_told_once_per_assertion() {
        let required = after(&[(Cut::Revalidate, 20)]);
        let told = Told { change: Change::RevalidateRequired, assertions: session(10, 10).assertions };
        assert_eq!(
            news(Cut::Revalidate, Some(&told), &session(10, 10), &after(&[(Cut::Revalidate, 30)]), NOW, CAP),
            None
        );
        assert_eq!(news(Cut::Revalidate, Some(&told), &session(10, 25), &required, NOW, CAP), None, "it is satisfied");
        let again = news(Cut::Revalidate, Some(&told), &session(10, 25), &after(&[(Cut::Revalidate, 30)]), NOW, CAP);
        assert_eq!(again.map(|news| news.change), Some(Change::RevalidateRequired));
    }

    #[test]
    fn what_was_over_before_it_was_registered_is_not_told_again() {
        let standing = after(&[(Cut::Revoke, 20), (Cut::Revalidate, 30)]);
        assert_eq!(news(Cut::Revalidate, None, &session(10, 10), &standing, NOW, CAP), None);
    }

    #[test]
    fn its_own_end_is_no_news_but_what_shows_after_an_unblock_is() {
        let ended = Asserted { expires_at: Some(at(500)), ..session(50, 50) };
        let let_in = after(&[(Cut::Block, 20), (Cut::Unblock, 40)]);
        assert_eq!(news(Cut::Unblock, None, &ended, &let_in, NOW, CAP), None);
        let told = Told { change: Change::Revoked, assertions: ended.assertions };
        let shows = news(Cut::Unblock, Some(&told), &ended, &let_in, NOW, CAP);
        assert_eq!(shows, Some(News { change: Change::RevalidateRequired, reason: Some(Reason::Expired) }));
        let open = news(Cut::Unblock, Some(&told), &session(50, 50), &let_in, NOW, CAP);
        assert_eq!(open, Some(News { change: Change::Active, reason: None }));
    }

    #[test]
    fn after_a_gap_everything_that_was_active_and_not_proved_since_is_told_once() {
        let gap = |told: Option<&Told>, session: &Asserted, standing: &Standing| {
            super::news(Cause::Gap, told, session, standing, Some(at(100)), NOW, CAP)
                .map(|news| (news.change, news.reason))
        };
        let (old, none) = (session(10, 100), after(&[]));
        let required = (Change::RevalidateRequired, Some(Reason::Gap));
        assert_eq!(gap(None, &old, &none), Some(required));
        assert_eq!(gap(None, &session(10, 101), &none), None, "proved since");
        assert_eq!(gap(None, &old, &after(&[(Cut::Revoke, 20)])), None, "over, and that has a cause of its own");
        let told = Told { change: Change::RevalidateRequired, assertions: old.assertions };
        assert_eq!(gap(Some(&told), &old, &none), None);
        // who is let in again after it is not let in
        let blocked = Told { change: Change::Revoked, assertions: old.assertions };
        let let_in = after(&[(Cut::Block, 5), (Cut::Unblock, 9)]);
        let unblocked = super::news(Cause::Cut(Cut::Unblock), Some(&blocked), &old, &let_in, Some(at(100)), NOW, CAP);
        assert_eq!(unblocked.map(|news| (news.change, news.reason)), Some(required));
        let revoked =
            super::news(Cause::Cut(Cut::Revoke), None, &old, &after(&[(Cut::Revoke, 5)]), Some(at(100)), NOW, CAP);
        assert_eq!(revoked, None, "the gap has a walk of its own");
    }

    #[test]
    fn what_is_over_by_its_age_is_told_with_the_first_cut_off_that_reaches_it() {
        let cap = Duration::from_mins(15);
        let first = news(Cut::Revoke, None, &session(100, 990), &after(&[(Cut::Revoke, 20)]), NOW, cap);
        assert_eq!(first, Some(News { change: Change::Revoked, reason: Some(Reason::TooOld) }));
        let told = Told { change: Change::Revoked, assertions: session(100, 990).assertions };
        assert_eq!(news(Cut::Revalidate, Some(&told), &session(100, 990), &Standing::default(), NOW, cap), None);
    }

    fn cuts() -> impl Strategy<Value = Vec<(Cut, i64)>> {
        let cut = prop::sample::select(vec![Cut::Revoke, Cut::Revalidate, Cut::Block, Cut::Unblock]);
        prop::collection::vec((cut, 1_i64..40), 1..12)
    }

    proptest! {
        /// Cut-offs are committed in one order and gone through in any other, each at some time after its commit, some
        /// of them twice: in the end the application knows the state, and it never hears the same twice in a row.
        #[test]
        fn in_the_end_the_application_knows_the_state_whatever_the_order(
            cuts in cuts(),
            draws in prop::collection::vec(any::<u8>(), 40),
            origin in 1_i64..40,
            since in 0_i64..10,
        ) {
            let session = session(origin, origin + since);
            let (mut committed, mut waiting, mut told) = (0, Vec::new(), None::<Told>);
            let mut draws = draws.into_iter().map(usize::from).chain(std::iter::repeat(0));
            while committed < cuts.len() || !waiting.is_empty() {
                let draw = draws.next().map_or(0, |draw| draw % (waiting.len() + 2));
                if committed < cuts.len() && (draw >= waiting.len() || waiting.is_empty()) {
                    waiting.push(cuts[committed].0);
                    if draw > waiting.len() {
                        waiting.push(cuts[committed].0);
                    }
                    committed += 1;
                    continue;
                }
                let cut = waiting.remove(draw.min(waiting.len() - 1));
                let standing = after(&cuts[..committed]);
                if let Some(news) = news(cut, told.as_ref(), &session, &standing, NOW, CAP) {
                    prop_assert_ne!(Some(news.change), told.map(|told| told.change));
                    told = Some(Told { change: news.change, assertions: session.assertions });
                }
            }
            let verdict = evaluate(&session, &after(&cuts), NOW, CAP);
            let knows = told.map_or(Change::Active, |told| told.change);
            prop_assert_eq!(format!("{:?}", verdict.state), format!("{knows:?}"));
        }
    }
}
