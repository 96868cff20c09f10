//! The sessions asked for lately, in memory. Pure: [`Replica`](super::Replica) reads the rows and hears of changes.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use ssf_common::clock::Timestamp;

use crate::session::{Assertions, Binding, Sid, SubjectKey};
use crate::upstream::IssuerId;

/// A registered session, as much of it as a verdict needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whose assertion started it.
    pub issuer: IssuerId,
    /// Every key an event may name it by.
    pub keys: Box<[SubjectKey]>,
    /// When it was asserted.
    pub assertions: Assertions,
    /// From then on it must be revalidated.
    pub expires_at: Option<Timestamp>,
    /// What its tokens are bound to.
    pub binding: Binding,
}

/// At most so many sessions, those asked for lately.
///
/// A session that changes is forgotten and read again when it is asked for. A row that was read while its session
/// changed may be the old one: who reads takes a [`Ticket`] before, and a change in between makes it void.
#[derive(Debug)]
pub struct Sessions {
    /// Filled until it is half of all; then it takes the place of `old`, and what was there goes.
    young: HashMap<Sid, Arc<Known>>,
    old: HashMap<Sid, Arc<Known>>,
    being_read: HashMap<Sid, Ticket>,
    tickets: u64,
    half: usize,
    as_of: Timestamp,
}

/// The right to remember a row that is read after this was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Sessions {
    /// Holds up to `limit` sessions, and none at first.
    pub fn new(limit: usize) -> Self {
        let (young, old, being_read) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { young, old, being_read, tickets: 0, half: limit.div_ceil(2), as_of: Timestamp::EPOCH }
    }

    /// The session of this name, if it is here.
    pub fn find(&self, sid: &Sid) -> Option<&Arc<Known>> {
        self.young.get(sid).or_else(|| self.old.get(sid))
    }

    /// Every change committed until then has been heard of.
    pub const fn as_of(&self) -> Timestamp {
        self.as_of
    }

    /// Every change committed until then has been heard of: all of them were told to [`forget`](Self::forget).
    pub fn heard_until(&mut self, at: Timestamp) {
        self.as_of = self.as_of.max(at);
    }

    /// To be taken before a row is read that shall be remembered.
    pub fn begin(&mut self, sid: &Sid) -> Ticket {
        // who asked may be gone before the row was there; a ticket that is void costs a second look, no more
        if self.being_read.len() >= MOST_BEING_READ {
            self.being_read.clear();
        }
        self.tickets += 1;
        *self.being_read.entry(sid.clone()).or_insert(Ticket(self.tickets))
    }

    /// The row that was read, `None` if there is none. It is remembered if nothing changed meanwhile.
    pub fn end(&mut self, sid: Sid, ticket: Ticket, row: Option<&Arc<Known>>) {
        if self.being_read.get(&sid) != Some(&ticket) {
            return;
        }
        self.being_read.remove(&sid);
        let Some(known) = row else { return };
        if self.young.len() >= self.half {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(sid, Arc::clone(known));
    }

    /// The session has changed.
    pub fn forget(&mut self, sid: &Sid) {
        self.being_read.remove(sid);
        self.young.remove(sid);
        self.old.remove(sid);
    }

    /// Any session may have changed.
    pub fn forget_all(&mut self) {
        self.being_read.clear();
        self.young.clear();
        self.old.clear();
    }

    /// How many are here.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none is here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

const MOST_BEING_READ: usize = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(validated: i64) -> Arc<Known> {
        let at = Timestamp::from_unix_seconds(validated);
        Arc::new(Known {
            issuer: IssuerId(uuid::Uuid::nil()),
            keys: Box::new([]),
            assertions: Assertions { origin: Timestamp::EPOCH, validated: at },
            expires_at: None,
            binding: Binding::Bearer,
        })
    }

    fn remember(sessions: &mut Sessions, sid: &str, validated: i64) {
        let ticket = sessions.begin(&sid.into());
        sessions.end(sid.into(), ticket, Some(&known(validated)));
    }

    #[test]
    fn it_never_holds_more_than_its_limit_and_keeps_the_newest() {
        let mut sessions = Sessions::new(10);
        for number in 0..100 {
            remember(&mut sessions, &number.to_string(), number);
            assert!(sessions.len() <= 10);
            assert!(sessions.find(&Sid(number.to_string())).is_some());
        }
    }

    #[test]
    fn a_row_that_was_read_before_a_change_is_not_remembered_after_it() {
        let mut sessions = Sessions::new(10);
        let sid = Sid("s".to_owned());
        let early = sessions.begin(&sid);
        sessions.forget(&sid);
        let late = sessions.begin(&sid);
        sessions.end(sid.clone(), early, Some(&known(1)));
        assert!(sessions.find(&sid).is_none());
        sessions.end(sid.clone(), late, Some(&known(2)));
        assert_eq!(sessions.find(&sid).map(|k| k.assertions.validated.unix_seconds()), Some(2));
    }

    /// What may happen, to one of two sessions, in any order.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Change(usize),
        Hear,
        Begin(usize, usize),
        Read(usize),
        End(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..2_usize).prop_map(Step::Change),
            Just(Step::Hear),
            (0..3_usize, 0..2_usize).prop_map(|(reader, of)| Step::Begin(reader, of)),
            (0..3_usize).prop_map(Step::Read),
            (0..3_usize).prop_map(Step::End),
        ]
    }

    proptest! {
        /// A table of versions, three readers, and a follower: what is in memory after the follower has looked is what
        /// stands in the table.
        #[test]
        fn nothing_in_memory_is_older_than_what_was_heard_of(steps in prop::collection::vec(step(), 0..60)) {
            let names = [Sid("a".to_owned()), Sid("b".to_owned())];
            let (mut table, mut changed) = ([0_i64; 2], [false; 2]);
            let mut heard = [0_i64; 2];
            let mut readers: [Option<(usize, Ticket, Option<i64>)>; 3] = [None; 3];
            let mut sessions = Sessions::new(4);
            for step in steps {
                match step {
                    Step::Change(of) => {
                        table[of] += 1;
                        changed[of] = true;
                    }
                    Step::Hear => {
                        for of in 0..2 {
                            if std::mem::take(&mut changed[of]) {
                                sessions.forget(&names[of]);
                            }
                            heard[of] = table[of];
                        }
                    }
                    Step::Begin(reader, of) => {
                        if readers[reader].is_none() {
                            readers[reader] = Some((of, sessions.begin(&names[of]), None));
                        }
                    }
                    Step::Read(reader) => {
                        if let Some((of, _, row @ None)) = &mut readers[reader] {
                            *row = Some(table[*of]);
                        }
                    }
                    Step::End(reader) => {
                        if let Some((of, ticket, Some(row))) = readers[reader] {
                            sessions.end(names[of].clone(), ticket, Some(&known(row)));
                            readers[reader] = None;
                        }
                    }
                }
                for of in 0..2 {
                    let version = sessions.find(&names[of]).map(|k| k.assertions.validated.unix_seconds());
                    prop_assert!(version.is_none_or(|version| version >= heard[of]), "{version:?} < {}", heard[of]);
                }
            }
        }
    }
}
