//! What the stages of the road take, from three loads of the same run: decisions that come alone, so many at once that
//! everything works in its largest batches, and a load in between. What a decision costs in the first and not in the second
//! is the cost of a batch; the third says how much of that is left where nobody sleeps. Of the third only the
//! computing is used, never how long decisions took.

use anyhow::Context as _;
use ssf_common::event::Vocabulary;
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::set::{DEFAULT_TIMELINE_CLAIM, sign};

use super::arrivals::Arrival;
use super::offer::{Offered, Trip};
use super::simulation::{Batch, Costs, run};
use crate::cpu;
use crate::field::Field;
use crate::figures::percentile;

/// CPU seconds of everybody on the road.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpu {
    pub(super) transmitter: f64,
    pub(super) receiver: f64,
    pub(super) database: f64,
    /// Ourselves: who hands in.
    pub(super) bench: f64,
}

impl Cpu {
    /// Spent since everything was started.
    pub(super) fn spent(field: &Field) -> anyhow::Result<Self> {
        let of = |pid: Option<u32>| cpu::seconds(&[pid?]);
        let receiver = field.road.receivers.first().context("a receiver")?;
        let all = || {
            let transmitter = of(field.road.transmitter.pid())?;
            let (receiver, database) = (of(receiver.process.pid())?, of(field.road.server_pid())?);
            // everybody is a child of ours
            let bench = of(Some(std::process::id()))? - transmitter - receiver - database;
            Some(Self { transmitter, receiver, database, bench })
        };
        all().context("/proc does not say what the processes of the road spend")
    }

    pub(super) fn total(self) -> f64 {
        self.transmitter + self.receiver + self.database + self.bench
    }

    /// Since `before`, without what `background` per second would have spent, for each of `count`.
    pub(super) fn each_since(self, before: Self, background: Self, seconds: f64, count: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let each = |now: f64, before: f64, idle: f64| ((now - before - idle * seconds) / count as f64).max(0.0);
        Self {
            transmitter: each(self.transmitter, before.transmitter, background.transmitter),
            receiver: each(self.receiver, before.receiver, background.receiver),
            database: each(self.database, before.database, background.database),
            bench: each(self.bench, before.bench, background.bench),
        }
    }

    /// What all of them together cost more here than there.
    fn beyond(self, other: Self) -> Self {
        Self {
            transmitter: (self.transmitter - other.transmitter).max(0.0),
            receiver: (self.receiver - other.receiver).max(0.0),
            database: (self.database - other.database).max(0.0),
            bench: (self.bench - other.bench).max(0.0),
        }
    }
}

/// One of the two loads.
pub(super) struct Measured {
    pub(super) offered: Offered,
    /// CPU seconds for one decision.
    pub(super) each: Cpu,
    /// How many cores others used meanwhile.
    pub(super) others: f64,
}

/// `alone` and `together` are the two loads, `signature` is what one takes a core, `background` CPU per second.
pub(super) fn costs(alone: &Measured, together: &Measured, signature: f64, background: Cpu, cores: usize) -> Costs {
    let (batch, each) = (alone.each.beyond(together.each), together.each);
    // five stages work in batches, each with one statement of the database: record, fan-out, claim, settle there, commit here
    let (database_each, database_batch) = (each.database / 5.0, batch.database / 5.0);
    let transmitter_batch = batch.transmitter / 4.0 + database_batch;
    let receiver_batch = batch.receiver + database_batch;
    // what is not the signature is HTTP: half of it as a server, half as a client
    let http = (each.transmitter - signature).max(0.0) / 2.0;
    let legs = |of: fn(&Trip) -> f64| -> Vec<f64> { alone.offered.trips.iter().map(of).collect() };
    let at_the_receiver = percentile(&mut alone.offered.received_to_applied.clone(), 0.5);
    let exchange = legs(|trip| trip.signed_to_answered).into_iter();
    let exchange = exchange.map(|leg| (leg - at_the_receiver - http).max(0.0)).collect();
    let of_transmitter = |legs: Vec<f64>, besides: f64, most| {
        let waits = legs.into_iter().map(|leg| leg - besides).collect();
        stage(waits, transmitter_batch, database_each, most)
    };
    let record = of_transmitter(legs(|trip| trip.occurred_to_fanned_out), 0.0, 500);
    let fan_out = of_transmitter(legs(|trip| trip.fanned_out_to_taken), 0.0, 500);
    let claim = of_transmitter(legs(|trip| trip.taken_to_signed), signature, 1_024);
    // nobody sees how long it takes: one committed statement like the fan-out, after a pause
    let waits = fan_out.waits.iter().map(|wait| wait + PAUSE).collect();
    let settle = Batch { waits, ..fan_out.clone() };
    let received = alone.offered.received_to_applied.iter().map(|leg| leg - each.receiver).collect();
    let commit = stage(received, receiver_batch, database_each, 256);
    Costs {
        cores,
        taken: background.total(),
        arrive: each.bench + http,
        record,
        fan_out,
        claim,
        sign: signature,
        send: http,
        verify: each.receiver,
        exchange,
        commit,
        settle,
        warm: 1.0,
        window: (32, 128),
    }
}

/// A stage whose batch of one took as long as `legs` say. Of the computing of a batch as much is on its way as can be
/// without taking more than four fifths of the usual time; the rest is beside it. What is left of each leg is waiting.
fn stage(legs: Vec<f64>, batch: f64, each: f64, most: usize) -> Batch {
    let usual = percentile(&mut legs.clone(), 0.5);
    let fixed = batch.min((usual * 0.8 - each).max(0.0));
    let waits = legs.into_iter().map(|leg| (leg - fixed - each).max(0.0)).collect();
    Batch { fixed, each, aside: batch - fixed, waits, most }
}

/// The same costs, as warm as it takes for decisions of this load to compute `each` seconds: what a batch costs falls faster
/// with load than batches grow.
pub(super) fn warmed(costs: Costs, load: &[Arrival], each: f64) -> Costs {
    let (mut least, mut most) = (0.0, 1.0);
    for _ in 0..STEPS {
        let warm = f64::midpoint(least, most);
        if run(&Costs { warm, ..costs.clone() }, load, 1).computed > each {
            most = warm;
        } else {
            least = warm;
        }
    }
    Costs { warm: f64::midpoint(least, most), ..costs }
}

/// Seconds that one signature of a whole SET takes one core.
pub(super) fn signature(algorithm: Algorithm) -> anyhow::Result<f64> {
    let (key, claims, vocabulary) = (SigningKey::generate(algorithm)?, crate::sign::claims()?, Vocabulary::default());
    let began = std::time::Instant::now();
    for _ in 0..SIGNATURES {
        sign(&claims, &vocabulary, &key, Some(DEFAULT_TIMELINE_CLAIM))?;
    }
    Ok(began.elapsed().as_secs_f64() / f64::from(SIGNATURES))
}

const SIGNATURES: u32 = 500;
const STEPS: u32 = 10;
/// What the settler waits for company.
const PAUSE: f64 = 0.002;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_its_computing_and_its_waiting_and_what_is_too_much_is_aside() {
        let roomy = stage(vec![0.010, 0.012, 0.030], 0.004, 0.001, 500);
        let tight = stage(vec![0.004, 0.004, 0.004], 0.004, 0.001, 500);
        for batch in [&roomy, &tight] {
            assert!((batch.fixed + batch.aside - 0.004).abs() < 1e-12, "{batch:?}");
        }
        assert!((roomy.aside).abs() < 1e-12 && (roomy.waits[2] - 0.025).abs() < 1e-12, "{roomy:?}");
        assert!((tight.fixed - 0.0022).abs() < 1e-12 && (tight.waits[0] - 0.0008).abs() < 1e-12, "{tight:?}");
    }
}
