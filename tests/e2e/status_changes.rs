//! Stories about many changes of status: in any order, by anybody, from several processes, and from the command line.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use ssf_common::clock::{Clock as _, ManualClock, SystemClock};
use ssf_common::event::StreamStatus;
use ssf_common::random::{Random, SeededRandom, SystemRandom};
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::binaries;
use ssf_harness::idp::{Idp, Party, SEALING_KEY, claims};
use ssf_harness::sink::{Answer, Received, Sink};
use ssf_transmitter::admin;
use ssf_transmitter::audit::Actor;

/// A stream to which anything may happen, and what its receiver knows of it.
struct World {
    processes: [Idp; 2],
    rp: Party,
    producer: Party,
    sink: Sink,
    refuses: Arc<AtomicBool>,
    stream: String,
    by_push: bool,
    chance: Arc<dyn Random>,
    /// What the receiver believes: its own last word, or the last announcement after it.
    believed: StreamStatus,
    /// The `txn`s it took, by subject, in order.
    taken: HashMap<String, Vec<String>>,
    pushed: usize,
}

/// What is drawn from: mostly enabled, so that something gets through.
const STATUSES: [StreamStatus; 5] =
    [StreamStatus::Enabled, StreamStatus::Enabled, StreamStatus::Enabled, StreamStatus::Paused, StreamStatus::Disabled];

impl World {
    async fn start(seed: u64, by_push: bool) -> Self {
        let idp =
            Idp::start_with(&[("push.window", "3"), ("push.retry_ceiling", "1s"), ("poll.max_events", "3")]).await;
        let twin = idp.twin().await;
        let (rp, producer, sink) = (idp.add_receiver("rp").await, idp.add_producer().await, Sink::start().await);
        let stream = if by_push {
            idp.push_stream(&rp, &sink.url, &["session-revoked"]).await
        } else {
            idp.poll_stream(&rp, &["session-revoked"]).await
        };
        let refuses = Arc::new(AtomicBool::new(false));
        let is_down = Arc::clone(&refuses);
        sink.script(move |_| Answer::status(if is_down.load(Ordering::SeqCst) { 503 } else { 202 }));
        Self {
            processes: [idp, twin],
            rp,
            producer,
            sink,
            refuses,
            stream,
            by_push,
            chance: Arc::new(SeededRandom::new(seed)),
            believed: StreamStatus::Enabled,
            taken: HashMap::new(),
            pushed: 0,
        }
    }

    fn below(&self, count: u8) -> usize {
        let mut byte = [0];
        self.chance.fill(&mut byte);
        usize::from(byte[0] % count)
    }

    fn somebody(&self) -> &Idp {
        &self.processes[self.below(2)]
    }

    async fn step(&mut self) {
        match self.below(12) {
            0..=3 => {
                let session = format!("s{}", self.below(3));
                self.somebody().revoke(&self.producer, &session).await;
            }
            4 | 5 => self.somebody().fan_out().await,
            6 if self.below(2) == 0 => {
                let (idp, status) = (self.somebody(), STATUSES[self.below(5)]);
                let env = Env { clock: Arc::<ManualClock>::clone(&idp.clock), random: Arc::new(SystemRandom) };
                let (issuer, stream) = (&idp.transmitter.issuer, self.stream.parse().unwrap());
                admin::set_stream_status(&idp.pool, issuer, stream, status, None, &Actor::Service, &env).await.unwrap();
            }
            7 if self.below(3) == 0 => self.set(STATUSES[self.below(5)]).await,
            8 => self.processes[0].advance(Duration::from_secs(1)),
            _ => {
                let fails = self.below(6) == 0;
                self.deliver(fails).await;
            }
        }
    }

    async fn set(&mut self, status: StreamStatus) {
        let body = json!({"stream_id": self.stream, "status": status});
        assert_eq!(self.somebody().post("/ssf/status", &self.rp, &body).await.status, 200);
        self.believed = status;
    }

    /// The receiver is offered what there is, and takes it unless it fails.
    async fn deliver(&mut self, fails: bool) {
        if self.by_push {
            self.refuses.store(fails, Ordering::SeqCst);
            self.somebody().push_once().await;
            let sets: Vec<Value> = self.sink.requests()[self.pushed..].iter().map(Received::claims).collect();
            self.pushed += sets.len();
            if !fails {
                self.take(&sets);
            }
            return;
        }
        let polled = self.somebody().poll(&self.rp, &self.stream, &json!({})).await;
        let handed_out = polled.body["sets"].as_object().unwrap();
        let sets: Vec<Value> = handed_out.values().map(|set| claims(set.as_str().unwrap())).collect();
        if !fails && !sets.is_empty() {
            let acked = json!({"ack": handed_out.keys().collect::<Vec<_>>(), "maxEvents": 0});
            self.somebody().poll(&self.rp, &self.stream, &acked).await;
            self.take(&sets);
        }
    }

    fn take(&mut self, sets: &[Value]) {
        for set in sets {
            let (uri, event) = set["events"].as_object().unwrap().iter().next().unwrap();
            if uri.ends_with("/stream-updated") {
                assert_eq!(sets.len(), 1, "an announcement comes alone");
                self.believed = event["status"].as_str().unwrap().parse().unwrap();
            } else {
                assert_eq!(
                    self.believed,
                    StreamStatus::Enabled,
                    "nothing comes on a stream that is said to have stopped"
                );
                let (subject, txn) = (set["sub_id"]["id"].as_str().unwrap(), set["txn"].as_str().unwrap());
                self.taken.entry(subject.to_owned()).or_default().push(txn.to_owned());
            }
        }
    }

    /// Everything is settled and checked; how many SETs were taken, and how many discarded.
    async fn finish(mut self) -> (usize, i64) {
        for _ in 0..60 {
            self.processes[0].fan_out().await;
            self.processes[0].advance(Duration::from_secs(10));
            self.deliver(false).await;
        }
        let idp = &self.processes[0];
        let status = idp.get(&format!("/ssf/status?stream_id={}", self.stream), &self.rp).await;
        assert_eq!(self.believed.as_str(), status.text("status"), "the receiver knows how its stream stands");
        self.set(StreamStatus::Enabled).await;
        for _ in 0..60 {
            self.deliver(false).await;
            self.processes[0].advance(Duration::from_secs(10));
        }
        let idp = &self.processes[0];
        assert_eq!(idp.count("select count(*) from delivery").await, 0);
        assert_eq!(
            idp.count("select coalesce(sum(streams), 0) from event").await,
            idp.count("select count(*) from delivery_history").await,
            "each delivery is settled, and once"
        );
        for (subject, txns) in &self.taken {
            let acknowledged: Vec<String> = sqlx::query_scalar(
                "select e.txn from event e join delivery_history h using (event_id)
                  where h.outcome = 'acknowledged' and e.subject ->> 'id' = $1 order by e.seq",
            )
            .bind(subject)
            .fetch_all(&idp.pool)
            .await
            .unwrap();
            assert_eq!(*txns, acknowledged, "in order, each once");
        }
        let discarded = idp.count("select count(*) from delivery_history where outcome = 'discarded'").await;
        (self.taken.values().map(Vec::len).sum(), discarded)
    }
}

async fn live(seeds: std::ops::RangeInclusive<u64>, by_push: bool) {
    let (mut taken, mut discarded) = (0, 0);
    for seed in seeds {
        let mut world = World::start(seed, by_push).await;
        for _ in 0..250 {
            world.step().await;
        }
        let of_this = world.finish().await;
        (taken, discarded) = (taken + of_this.0, discarded + of_this.1);
    }
    assert!(taken > 20 && discarded > 0, "something got through, something did not: {taken}, {discarded}");
}

#[tokio::test]
async fn whatever_happens_to_a_push_stream_its_receiver_is_never_surprised_and_loses_nothing_unknowingly() {
    live(1..=3, true).await;
}

#[tokio::test]
async fn whatever_happens_to_a_poll_stream_its_receiver_is_never_surprised_and_loses_nothing_unknowingly() {
    live(4..=6, false).await;
}

#[tokio::test]
async fn the_command_line_sets_a_status_and_verifies_a_stream() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let stream = idp.poll_stream(&rp, &[]).await;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binaries::transmitter());
        for setting in [
            format!("database.url={}", idp.database.url),
            format!("issuer.url={}", idp.issuer),
            format!("keys.sealing_key={SEALING_KEY}"),
        ] {
            command.args(["--set", &setting]);
        }
        let output = command.args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap().trim_end().to_owned())
    };
    let set = |status: &str, reason: &str| run(&["stream", "status", &stream, status, "--reason", reason]);
    assert_eq!(set("paused", "license\nexpired"), (true, format!("{stream} was enabled and is paused now")));
    assert_eq!(set("paused", ""), (true, format!("{stream} is paused as before; its reason was replaced")));
    let (failed, said) = run(&["stream", "verify", &stream]);
    assert_eq!(
        (failed, said),
        (false, format!("error: {stream} is paused: nothing is sent on it until it is enabled"))
    );
    assert!(!set("halted", "").0 && !run(&["stream", "status", "nonsense", "paused"]).0);
    let (_, said) = run(&["stream", "status", "018f0000-0000-4000-8000-000000000000", "paused"]);
    assert_eq!(said, "error: there is no such stream, or its receiver was removed");
    assert!(run(&["stream", "list"]).1.contains("paused"));
    assert!(set("enabled", "").0);
    let verified = run(&["stream", "verify", &stream]);
    assert!(verified.0 && verified.1.contains("event_id"), "{}", verified.1);
    assert_eq!(
        run(&["stream", "verify", &stream]).1,
        format!("the last verification event of {stream} is not settled yet")
    );

    idp.clock.set(SystemClock.now());
    idp.fan_out().await;
    for expected in ["paused", "enabled", "verification"] {
        let polled = idp.poll(&rp, &stream, &json!({})).await;
        let (jti, set) = polled.body["sets"].as_object().unwrap().iter().next().unwrap();
        assert!(claims(set.as_str().unwrap())["events"].to_string().contains(expected), "{expected}");
        idp.poll(&rp, &stream, &json!({"ack": [jti], "maxEvents": 0})).await;
    }
    assert_eq!(
        idp.count("select count(*) from audit where actor like 'cli:%' and action = 'stream.status_set'").await,
        3
    );

    let (added, said) =
        run(&["client", "add", "old", "--audience", "https://old.example", "--profile", "legacy", "--json"]);
    assert!(added, "{said}");
    assert_eq!(idp.count("select count(*) from client where profile = 'legacy'").await, 1);
    assert!(idp.transmitter.heartbeat.tick().await.is_ok());
}
