//! The road of a pushed decision as queues, run event by event in made-up time: what it takes of the processors and what
//! it waits for come in as measured, how long decisions take at some load comes out. Pure, and the same for the
//! same seed.
//!
//! ```text
//! arrival ─▶ record ─▶ fan-out ─▶ claim ═▶ sign ─▶ send ─▶ verify ═▶ commit ─▶ answer ─▶ settle
//!            └── one batch at a time each ──┘ └── as many as the window lets ──┘ └ one batch at a time each ┘
//! ```
//!
//! Everything computes on the same cores, each for a short slice and then the next. A stage that works in batches takes
//! what waits for it, urgent before prompt, and the next batch when it has done that one. A claim takes no more than the
//! window of the receiver has room for, and none while more than half of it is on the way.

use std::collections::{BTreeMap, VecDeque};

use super::arrivals::{Arrival, Chance, Lane};

/// What everything takes, in seconds.
#[derive(Clone, Debug)]
pub(crate) struct Costs {
    /// How many processors there are for all of it.
    pub(crate) cores: usize,
    /// How many of them, on average, do what is done without any decision.
    pub(crate) taken: f64,
    /// Computing for one decision before it is at the transmitter.
    pub(crate) arrive: f64,
    /// Decisions into the outbox.
    pub(crate) record: Batch,
    /// Deliveries of decisions.
    pub(crate) fan_out: Batch,
    /// Leases of deliveries.
    pub(crate) claim: Batch,
    /// One signature.
    pub(crate) sign: f64,
    /// One request and its answer, at the transmitter.
    pub(crate) send: f64,
    /// One SET at the receiver up to its queue.
    pub(crate) verify: f64,
    /// What one exchange waits for besides; one of these by chance.
    pub(crate) exchange: Vec<f64>,
    /// SETs applied at the receiver.
    pub(crate) commit: Batch,
    /// Deliveries into the history.
    pub(crate) settle: Batch,
    /// What is left of the cost of a batch where something else is computing already: who is awake needs no waking, and finds
    /// its memory in the caches. From 0 to 1.
    pub(crate) warm: f64,
    /// How many are on the way to the receiver at first, and at most.
    pub(crate) window: (usize, usize),
}

/// What one stage takes for `n` at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// Computing: for a batch …
    pub(crate) fixed: f64,
    /// … and for each in it.
    pub(crate) each: f64,
    /// Computing that nobody waits for, after a batch that is followed by none: a look in vain, going to sleep.
    pub(crate) aside: f64,
    /// What a batch waits for besides, a commit for example; one of these by chance.
    pub(crate) waits: Vec<f64>,
    /// No batch has more.
    pub(crate) most: usize,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// From the arrival at the transmitter to the receiver's answer, in milliseconds, in the order of arrival.
    pub(crate) took: Vec<f64>,
    /// Computing for one decision, in seconds.
    pub(crate) computed: f64,
}

/// All of these decisions, to the last answer.
pub(crate) fn run(costs: &Costs, arrivals: &[Arrival], seed: u64) -> Run {
    let mut road = Road {
        costs,
        chance: Chance(seed),
        now: 0,
        next: 0,
        agenda: BTreeMap::new(),
        ready: VecDeque::new(),
        computed: 0,
        idle: costs.cores.max(1),
        servers: Default::default(),
        lanes: arrivals.iter().map(|arrival| arrival.lane).collect(),
        began: vec![0; arrivals.len()],
        took: vec![f64::NAN; arrivals.len()],
        width: costs.window.0,
        in_flight: 0,
    };
    for (item, arrival) in arrivals.iter().enumerate() {
        road.at(nanos(arrival.at), Happening::Arrived(item));
    }
    while let Some(((time, _), happening)) = road.agenda.pop_first() {
        road.now = time;
        road.happens(happening);
        road.dispatch();
    }
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of one run")]
    let computed = road.computed as f64 / 1e9 / arrivals.len() as f64;
    Run { took: road.took, computed }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Record,
    FanOut,
    Claim,
    Commit,
    Settle,
}

/// Works on one batch at a time.
#[derive(Debug, Default)]
struct Server {
    is_busy: bool,
    urgent: VecDeque<usize>,
    prompt: VecDeque<usize>,
}

#[derive(Debug)]
enum Happening {
    Arrived(usize),
    /// A core has done its slice; so much is left.
    Computed(u64, Then),
    /// A batch has waited long enough.
    Done(Stage, Vec<usize>),
    /// A SET is in the receiver's queue.
    Queued(usize),
}

/// What follows some computing.
#[derive(Debug)]
enum Then {
    Arrived(usize),
    Batched(Stage, Vec<usize>),
    Signed(usize),
    Sent(usize),
    Verified(usize),
    Nothing,
}

struct Road<'a> {
    costs: &'a Costs,
    chance: Chance,
    /// Nanoseconds.
    now: u64,
    next: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    ready: VecDeque<(u64, Then)>,
    computed: u64,
    idle: usize,
    servers: [Server; 5],
    lanes: Vec<Lane>,
    began: Vec<u64>,
    took: Vec<f64>,
    width: usize,
    in_flight: usize,
}

impl Road<'_> {
    fn at(&mut self, time: u64, happening: Happening) {
        self.next += 1;
        self.agenda.insert((time, self.next), happening);
    }

    fn compute(&mut self, seconds: f64, then: Then) {
        self.computed += nanos(seconds);
        #[expect(clippy::cast_precision_loss, reason = "a few cores")]
        let left = 1.0 - (self.costs.taken / self.costs.cores as f64).clamp(0.0, 0.9);
        self.ready.push_back((nanos(seconds / left), then));
    }

    fn dispatch(&mut self) {
        while self.idle > 0
            && let Some((left, then)) = self.ready.pop_front()
        {
            self.idle -= 1;
            let slice = left.min(SLICE);
            self.at(self.now + slice, Happening::Computed(left - slice, then));
        }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Arrived(item) => self.compute(self.costs.arrive, Then::Arrived(item)),
            Happening::Computed(left, then) => {
                self.idle += 1;
                if left > 0 {
                    self.ready.push_back((left, then));
                } else {
                    self.computed(then);
                }
            }
            Happening::Queued(item) => self.enqueue(Stage::Commit, item),
            Happening::Done(stage, items) => {
                self.servers[stage as usize].is_busy = false;
                for item in items {
                    match stage {
                        Stage::Record => self.enqueue(Stage::FanOut, item),
                        Stage::FanOut => self.enqueue(Stage::Claim, item),
                        Stage::Claim => self.compute(self.costs.sign, Then::Signed(item)),
                        Stage::Commit => self.answered(item),
                        Stage::Settle => {}
                    }
                }
                let aside = self.costs.of(stage).aside * self.warmth();
                if !self.start(stage) && aside > 0.0 {
                    self.compute(aside, Then::Nothing);
                }
            }
        }
    }

    fn computed(&mut self, then: Then) {
        match then {
            Then::Arrived(item) => {
                self.began[item] = self.now;
                self.enqueue(Stage::Record, item);
            }
            Then::Batched(stage, items) => {
                let costs = self.costs;
                let batch = costs.of(stage);
                let wait = self.chance.one_of(&batch.waits);
                self.at(self.now + nanos(wait), Happening::Done(stage, items));
            }
            Then::Signed(item) => self.compute(self.costs.send, Then::Sent(item)),
            Then::Sent(item) => self.compute(self.costs.verify, Then::Verified(item)),
            Then::Verified(item) => {
                let wait = self.chance.one_of(&self.costs.exchange);
                self.at(self.now + nanos(wait), Happening::Queued(item));
            }
            Then::Nothing => {}
        }
    }

    fn enqueue(&mut self, stage: Stage, item: usize) {
        let server = &mut self.servers[stage as usize];
        match self.lanes[item] {
            Lane::Urgent => server.urgent.push_back(item),
            Lane::Prompt => server.prompt.push_back(item),
        }
        self.start(stage);
    }

    /// A batch of what waits, if the stage is free; whether there is one.
    fn start(&mut self, stage: Stage) -> bool {
        let costs = self.costs;
        let batch = costs.of(stage);
        let room = match stage {
            Stage::Claim if self.in_flight > self.width / 2 => 0,
            Stage::Claim => self.width - self.in_flight,
            _ => batch.most,
        };
        let server = &mut self.servers[stage as usize];
        if server.is_busy {
            return false;
        }
        let urgent = server.urgent.len().min(room.min(batch.most));
        let mut items: Vec<usize> = server.urgent.drain(..urgent).collect();
        let prompt = server.prompt.len().min(room.min(batch.most) - urgent);
        items.extend(server.prompt.drain(..prompt));
        if items.is_empty() {
            return false;
        }
        server.is_busy = true;
        if stage == Stage::Claim {
            self.in_flight += items.len();
        }
        #[expect(clippy::cast_precision_loss, reason = "the size of a batch")]
        let work = batch.fixed * self.warmth() + batch.each * items.len() as f64;
        self.compute(work, Then::Batched(stage, items));
        true
    }

    fn warmth(&self) -> f64 {
        let is_cold = self.idle == self.costs.cores && self.ready.is_empty();
        if is_cold { 1.0 } else { self.costs.warm }
    }

    /// The receiver has answered: there is room in its window.
    fn answered(&mut self, item: usize) {
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of one run")]
        let took = (self.now - self.began[item]) as f64 / 1e6;
        self.took[item] = took;
        if self.in_flight > self.width / 2 {
            self.width = (self.width + 1).min(self.costs.window.1);
        }
        self.in_flight -= 1;
        self.enqueue(Stage::Settle, item);
        self.start(Stage::Claim);
    }
}

impl Costs {
    const fn of(&self, stage: Stage) -> &Batch {
        match stage {
            Stage::Record => &self.record,
            Stage::FanOut => &self.fan_out,
            Stage::Claim => &self.claim,
            Stage::Commit => &self.commit,
            Stage::Settle => &self.settle,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few minutes at most")]
fn nanos(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e9) as u64
}

/// How long a core stays with one thing while others are ready.
const SLICE: u64 = 500_000;

#[cfg(test)]
mod tests {
    use super::super::arrivals::arrivals;
    use super::*;
    use crate::figures::percentile;

    fn costs(cores: usize) -> Costs {
        let one = || Batch { most: 1, ..Batch::default() };
        Costs {
            cores,
            taken: 0.0,
            arrive: 0.0,
            record: one(),
            fan_out: one(),
            claim: one(),
            sign: 0.0,
            send: 0.0,
            verify: 0.0,
            exchange: Vec::new(),
            commit: one(),
            settle: one(),
            warm: 1.0,
            window: (1_000, 1_000),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a count")]
    fn mean(samples: &[f64]) -> f64 {
        samples.iter().sum::<f64>() / samples.len() as f64
    }

    /// M/D/1: one server, a fixed time of service s, load ρ: s + ρ s / (2 (1 − ρ)).
    #[test]
    fn one_stage_alone_queues_as_the_textbook_says() {
        for load in [0.3, 0.6, 0.8] {
            let record = Batch { waits: vec![0.002], most: 1, ..Batch::default() };
            let took = run(&Costs { record, ..costs(1_000) }, &arrivals(load / 0.002, 50_000, 7), 1).took;
            let expected = 2.0 + load * 2.0 / (2.0 * (1.0 - load));
            let ratio = mean(&took) / expected;
            assert!((0.95..1.05).contains(&ratio), "load {load}: {} instead of {expected} ms", mean(&took));
        }
    }

    /// M/D/c has no simple formula, but no core may be idle while something is ready: so a load below that of all cores
    /// is carried, and one above is not.
    #[test]
    fn the_cores_are_shared_by_everything() {
        let costs = Costs { sign: 0.001, send: 0.0005, verify: 0.0005, ..costs(2) };
        let below = run(&costs, &arrivals(900.0, 20_000, 3), 1).took;
        assert!(mean(&below) < 12.0, "{}", mean(&below));
        let above = run(&costs, &arrivals(1_100.0, 20_000, 3), 1).took;
        assert!(above[19_000] > 1_000.0, "{}", above[19_000]);
        let beside_others = run(&Costs { taken: 0.5, ..costs }, &arrivals(900.0, 20_000, 3), 1).took;
        assert!(beside_others[19_000] > 1_000.0, "{}", beside_others[19_000]);
    }

    #[test]
    fn batches_carry_what_one_by_one_could_not() {
        let record = |most| Batch { fixed: 0.005, each: 0.0001, most, ..Batch::default() };
        let alone = run(&Costs { record: record(1), ..costs(2) }, &arrivals(1_000.0, 5_000, 5), 1).took;
        let together = run(&Costs { record: record(500), ..costs(2) }, &arrivals(1_000.0, 5_000, 5), 1).took;
        assert!(alone[4_900] > 1_000.0 && together[4_900] < 30.0, "{} {}", alone[4_900], together[4_900]);
    }

    #[test]
    fn the_urgent_pass_the_prompt_where_a_queue_is_and_nobody_is_lost() {
        let arrivals = arrivals(400.0, 4_000, 9);
        // ten at a time, each 20 ms on the way: 500 a second
        let costs = Costs { exchange: vec![0.02], window: (10, 10), ..costs(8) };
        let took = run(&costs, &arrivals, 1).took;
        assert!(took.iter().all(|ms| *ms >= 20.0));
        let of = |lane| -> Vec<f64> {
            arrivals.iter().zip(&took).filter(|(arrival, _)| arrival.lane == lane).map(|(_, ms)| *ms).collect()
        };
        let (urgent, prompt) = (percentile(&mut of(Lane::Urgent), 0.99), percentile(&mut of(Lane::Prompt), 0.99));
        assert!(urgent < prompt, "{urgent} {prompt}");
        assert_eq!(took, run(&costs, &arrivals, 1).took, "the same seed, the same road");
    }
}
