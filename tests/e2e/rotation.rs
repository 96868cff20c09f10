//! A receiver that keeps the key set for an hour never meets a SET it cannot verify, however often keys rotate under load,
//! whichever process signs, and whatever that process knows of the rotation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};
use ssf_common::clock::{Clock as _, Timestamp};
use ssf_common::jwks::VerifyingKeys;
use ssf_common::runtime::worker::Worker as _;
use ssf_common::set::{Policy, verify};
use ssf_harness::idp::{Idp, Party, opaque};
use ssf_harness::sink::{Answer, Sink};

/// As fast as the settings allow: five rotations are fifteen hours.
const FAST: [(&str, &str); 4] = [
    ("keys.rotate_every", "3h"),
    ("keys.publish_ahead", "66m"),
    ("keys.publish_after", "2h"),
    ("delivery.retention", "1h"),
];
const AN_HOUR: Duration = Duration::from_hours(1);

/// A receiver that reads the key set once an hour, and not a moment sooner.
pub(crate) struct Cached {
    party: Party,
    keys: VerifyingKeys,
    read_at: Timestamp,
    pub(crate) seen: BTreeMap<String, usize>,
}

impl Cached {
    pub(crate) async fn new(party: &Party, from: &Idp) -> Self {
        let read_at = from.clock.now();
        Self { party: party.clone(), keys: published(from).await, read_at, seen: BTreeMap::new() }
    }

    /// Reads the key set of this process if its hour is over.
    async fn hourly(&mut self, from: &Idp) {
        let now = from.clock.now();
        if now.since(self.read_at) >= AN_HOUR {
            (self.keys, self.read_at) = (published(from).await, now);
        }
    }

    /// Verifies with what it keeps.
    pub(crate) fn verifies(&mut self, set: &str, idp: &Idp) -> bool {
        *self.seen.entry(kid(set)).or_default() += 1;
        let policy = Policy::new(idp.issuer.clone(), vec![self.party.audience.clone()]);
        verify(set.as_bytes(), &policy, &self.keys, idp.clock.now()).is_ok()
    }
}

/// Six of them, which read the key set ten minutes after each other.
async fn staggered(party: &Party, from: &Idp) -> Vec<Cached> {
    let mut all = Vec::new();
    for number in 0..6 {
        let mut cached = Cached::new(party, from).await;
        cached.read_at = cached.read_at.minus(Duration::from_mins(10 * number));
        all.push(cached);
    }
    all
}

fn assert_known(all: &mut [Cached], set: &str, idp: &Idp, at: &'static str) {
    for (number, cached) in all.iter_mut().enumerate() {
        assert!(cached.verifies(set, idp), "{at}: {} is not known to {number}", kid(set));
    }
}

async fn published(from: &Idp) -> VerifyingKeys {
    let served = from.send(Method::GET, "/jwks.json", &[], "").await;
    assert_eq!((served.status, served.header("cache-control")), (200, "public, max-age=300"));
    VerifyingKeys::parse(served.body.to_string().as_bytes()).unwrap()
}

/// A member of a SET's header, unverified.
pub(crate) fn header(set: &str, member: &str) -> String {
    let header = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(set.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()[member].as_str().unwrap().to_owned()
}

pub(crate) fn kid(set: &str) -> String {
    header(set, "kid")
}

/// Two processes, a push and a poll receiver, and what went over the wire.
struct Scene {
    one: Idp,
    two: Idp,
    producer: Party,
    sink: Sink,
    poller: Party,
    poll_stream: String,
    /// What looks at pushed SETs, and at polled ones: each has read the key set at another moment of its hour.
    by_push: Vec<Cached>,
    by_poll: Vec<Cached>,
    looked_at: usize,
    acked: Vec<String>,
    /// SETs that a receiver holds until its time has nearly run out, and from when on.
    held: VecDeque<(Timestamp, String)>,
    /// How many of them were looked at once more then.
    held_long: usize,
}

impl Scene {
    async fn start() -> Self {
        let one = Idp::start_with(&FAST).await;
        let two = one.twin().await;
        let (pushee, poller) = (one.add_receiver("pushed").await, one.add_receiver("polled").await);
        let (producer, sink) = (one.add_producer().await, Sink::start().await);
        one.push_stream(&pushee, &sink.url, &["session-revoked"]).await;
        let poll_stream = one.poll_stream(&poller, &["session-revoked"]).await;
        let (by_push, by_poll) = (staggered(&pushee, &one).await, staggered(&poller, &two).await);
        let (acked, held) = (Vec::new(), VecDeque::new());
        let (looked_at, held_long) = (0, 0);
        Self { one, two, producer, sink, poller, poll_stream, by_push, by_poll, looked_at, acked, held, held_long }
    }

    async fn emit(&self, step: usize) {
        let event = |n: usize| json!({"type": "session-revoked", "subject": opaque(&format!("{step}-{n}"))});
        let batch: Vec<Value> = (0..4).map(event).collect();
        assert_eq!(self.one.post("/events", &self.producer, &json!(batch)).await.status, 202);
    }

    /// Everybody looks at what has come, with the keys it keeps; polled SETs a second time, after most of the time it may be held.
    async fn check(&mut self, at: &'static str) {
        let (even, odd) = (&self.one, &self.two);
        for (number, cached) in self.by_push.iter_mut().chain(&mut self.by_poll).enumerate() {
            cached.hourly(if number.is_multiple_of(2) { even } else { odd }).await;
        }
        let requests = self.sink.requests();
        for request in &requests[self.looked_at..] {
            assert_known(&mut self.by_push, &request.set, even, at);
        }
        self.looked_at = requests.len();
        let door = if self.looked_at.is_multiple_of(2) { even } else { odd };
        let reply = door.poll(&self.poller, &self.poll_stream, &json!({ "ack": self.acked })).await;
        let sets = reply.body["sets"].as_object().unwrap();
        let now = even.clock.now();
        for set in sets.values() {
            let set = set.as_str().unwrap();
            assert_known(&mut self.by_poll, set, even, at);
            self.held.push_back((now, set.to_owned()));
        }
        while let Some((_, set)) = self.held.pop_front_if(|(since, _)| now.since(*since) >= Duration::from_mins(48)) {
            assert_known(&mut self.by_poll, &set, even, "held");
            self.held_long += 1;
        }
        // half of them are acknowledged the next time, the others come again
        self.acked = sets.keys().step_by(2).cloned().collect();
    }

    async fn active(&self) -> String {
        let active = sqlx::query_scalar("select kid from signing_key where state = 'active'");
        active.fetch_one(&self.one.pool).await.unwrap()
    }
}

#[tokio::test]
async fn every_set_verifies_at_a_receiver_that_keeps_the_key_set_for_an_hour_during_five_rotations_under_load() {
    let mut scene = Scene::start().await;
    let refusals = Arc::new(AtomicU32::new(0));
    let left = Arc::clone(&refusals);
    scene.sink.script(move |_| {
        let refused = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        Answer::status(if refused { 503 } else { 202 })
    });
    let mut actives = vec![scene.active().await];
    let (mut step, mut by_a_stale_ring) = (0, 0);
    while actives.len() < 6 {
        step += 1;
        assert!(step < 100, "five rotations take fifteen hours: {actives:?}");
        // both processes have just read the keys, and some SETs must be sent, and signed, again
        scene.emit(step).await;
        refusals.store(if step.is_multiple_of(5) { 2 } else { 0 }, Ordering::SeqCst);
        tokio::join!(scene.one.drain(), scene.two.drain());
        scene.check("before").await;
        // one of them rotates; neither has heard of it when the other one signs
        refusals.store(0, Ordering::SeqCst);
        scene.one.advance(Duration::from_secs(20));
        let (rotating, other) =
            if step.is_multiple_of(2) { (&scene.one, &scene.two) } else { (&scene.two, &scene.one) };
        let (rotated, ()) = tokio::join!(rotating.transmitter.rotator.tick(), scene.emit(1_000 + step));
        rotated.unwrap();
        other.drain().await;
        let active = scene.active().await;
        if actives.last() != Some(&active) {
            let requests = scene.sink.requests();
            by_a_stale_ring += requests[scene.looked_at..].iter().filter(|request| kid(&request.set) != active).count();
            actives.push(active);
        }
        rotating.drain().await;
        rotating.transmitter.tenants.refresh().await.unwrap();
        scene.check("after").await;
        scene.one.advance(Duration::from_mins(11));
    }
    scene.emit(step + 1).await;
    tokio::join!(scene.one.drain(), scene.two.drain());
    scene.check("at last").await;
    assert!(by_a_stale_ring >= 5, "a process that has not heard of it signs with a key that is still published");
    let different: BTreeSet<&String> = actives.iter().collect();
    assert_eq!(different.len(), 6, "five rotations: {actives:?}");
    assert_eq!(scene.one.count("select count(*) from removed_key").await, 4, "the last one is still published");
    let (by_push, by_poll) = (&scene.by_push[0].seen, &scene.by_poll[0].seen);
    assert!(
        actives.iter().all(|kid| by_push.contains_key(kid) && by_poll.contains_key(kid)),
        "each has signed for both"
    );
    let sent: usize = by_push.values().sum();
    assert!(sent >= 8 * step, "{sent} SETs");
    assert!(scene.held_long >= 4 * step, "{} SETs were held for 48 minutes", scene.held_long);
}

#[tokio::test]
async fn a_key_is_published_for_its_time_before_and_after_it_signs_and_then_no_more() {
    let idp = Idp::start_with(&FAST).await;
    let kids = async || -> Vec<String> {
        let served = idp.send(Method::GET, "/jwks.json", &[], "").await;
        served.body["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let tick = async |minutes: u64| {
        idp.advance(Duration::from_mins(minutes));
        idp.transmitter.rotator.tick().await.unwrap();
    };
    let first = kids().await;
    tick(113).await;
    assert_eq!((kids().await, first.len()), (first.clone(), 1));
    tick(1).await;
    let both = kids().await;
    assert_eq!((both.len(), &both[0]), (2, &first[0]), "published 66 minutes ahead");
    let signs = async || -> String {
        sqlx::query_scalar("select kid from signing_key where state = 'active'").fetch_one(&idp.pool).await.unwrap()
    };
    tick(65).await;
    assert_eq!(signs().await, both[0]);
    tick(1).await;
    assert_eq!((signs().await, kids().await), (both[1].clone(), both.clone()), "after three hours");
    tick(113).await;
    assert_eq!(kids().await, both);
    // the next one's follower is published meanwhile
    tick(7).await;
    let rest = kids().await;
    assert_eq!((rest.len(), &rest[0]), (2, &both[1]), "two hours later the first is gone");
}
