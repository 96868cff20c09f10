//! Stories about the pace of a push stream: bulk is taken ahead and waits in the hand, and nothing is lost or overtaken
//! by that.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_common::clock::ManualClock;
use ssf_common::event::StreamStatus;
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, opaque};
use ssf_harness::sink::{Answer, Sink};
use ssf_transmitter::admin;
use ssf_transmitter::audit::Actor;

/// An IdP with much bulk for a receiver of which it is known that it answers briskly.
struct Job {
    idp: Idp,
    rp: Party,
    producer: Party,
    sink: Sink,
    stream: String,
}

/// `bulk` deliveries, of which all but one wait.
async fn with_bulk(bulk: usize) -> Job {
    with_bulk_and(bulk, &[]).await
}

async fn with_bulk_and(bulk: usize, settings: &[(&str, &str)]) -> Job {
    let idp = Idp::start_with(settings).await;
    let (rp, producer, sink) = (idp.add_receiver("rp").await, idp.add_producer().await, Sink::start().await);
    let stream = idp.push_stream(&rp, &sink.url, &["session-revoked", "revalidate"]).await;
    let job: Vec<Value> =
        (0..bulk).map(|n| json!({"type": "revalidate", "subject": opaque(&format!("s{n}")), "lane": "bulk"})).collect();
    assert_eq!(idp.post("/events", &producer, &json!(job)).await.status, 202);
    idp.fan_out().await;
    assert_eq!(idp.push_once().await, 1, "of bulk, a stranger gets one");
    Job { idp, rp, producer, sink, stream }
}

impl Job {
    /// Takes a hand full; two of it are on the wire, at a receiver that does not answer.
    async fn take_ahead(&self) {
        self.sink.hold();
        assert_eq!(self.idp.transmitter.push.tick().await.unwrap(), 34, "two widths of one or two, and 32 ahead");
        self.sink.arrivals(3).await;
    }

    /// The receiver answers, and everything that follows from that has happened.
    async fn answer(&self) {
        self.sink.release();
        self.idp.transmitter.push.idle().await;
    }

    async fn acknowledged(&self) -> i64 {
        self.idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await
    }
}

async fn leased(idp: &Idp) -> i64 {
    idp.count("select count(*) from delivery where state = 'leased'").await
}

#[tokio::test]
async fn what_is_more_urgent_passes_everything_in_the_hand() {
    let Job { idp, producer, sink, .. } = with_bulk(40).await;
    sink.hold();
    assert_eq!(idp.transmitter.push.tick().await.unwrap(), 34, "two widths of one or two, and 32 ahead");
    let in_hand = leased(&idp).await;
    assert_eq!(in_hand, 34);
    idp.revoke(&producer, "urgent").await;
    idp.fan_out().await;
    assert_eq!(idp.transmitter.push.tick().await.unwrap(), 1);
    sink.arrivals(4).await;
    let subjects = sink.subjects();
    assert_eq!((subjects.len(), subjects.contains(&"urgent".to_owned())), (4, true), "{subjects:?}");
    sink.release();
    idp.drain().await;
    assert_eq!(sink.requests().len(), 41);
    assert_eq!(idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await, 41);
}

#[tokio::test]
async fn what_is_in_the_hand_is_given_back_when_the_stream_falls_into_trouble() {
    let Job { idp, sink, .. } = with_bulk(40).await;
    sink.next([Answer::status(202), Answer::status(503)]);
    sink.script(|_| Answer::status(503));
    idp.push_once().await;
    assert_eq!(leased(&idp).await, 0);
    let untouched = idp.count("select count(*) from delivery where attempts = 0").await;
    assert!(untouched > 30, "what was not sent was not tried: {untouched}");
    sink.script(|_| Answer::status(202));
    for _ in 0..10 {
        idp.advance(Duration::from_secs(1));
        idp.drain().await;
    }
    let acknowledged = idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await;
    assert_eq!((acknowledged, idp.count("select count(*) from delivery").await), (40, 0));
}

#[tokio::test]
async fn what_is_in_the_hand_is_given_back_at_the_stop_and_sent_by_the_next_process() {
    let Job { idp, sink, .. } = with_bulk(40).await;
    sink.hold();
    idp.transmitter.push.tick().await.unwrap();
    sink.arrivals(3).await;
    tokio::join!(idp.transmitter.push.finish(), async {
        while leased(&idp).await > 2 {
            tokio::task::yield_now().await;
        }
        sink.release();
    });
    assert_eq!(
        (leased(&idp).await, sink.requests().len()),
        (0, 3),
        "what was on the wire was finished, no more was sent"
    );
    let twin = idp.twin().await;
    while twin.transmitter.push.tick().await.unwrap() > 0 {
        twin.transmitter.push.idle().await;
    }
    assert_eq!(idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await, 40);
    assert_eq!(sink.requests().len(), 40, "and nothing twice");
}

#[tokio::test]
async fn what_waited_too_long_in_the_hand_is_given_back_before_its_lease_ends() {
    let Job { idp, sink, .. } = with_bulk(40).await;
    sink.hold();
    idp.transmitter.push.tick().await.unwrap();
    sink.arrivals(3).await;
    // the lease is 30 s, an attempt may take 10; half of what is between is left for settling
    let of_the_first_claim = "select count(*) from delivery where due_at = first_taken_at + interval '30 seconds'";
    idp.advance(Duration::from_secs(10));
    idp.transmitter.push.tick().await.unwrap();
    assert_eq!((leased(&idp).await, idp.count(of_the_first_claim).await), (34, 34));
    idp.advance(Duration::from_millis(1));
    idp.transmitter.push.tick().await.unwrap();
    assert_eq!(idp.count(of_the_first_claim).await, 2, "what is on the wire");
    sink.release();
    idp.drain().await;
    assert_eq!(sink.requests().len(), 40, "nothing is sent twice");
    assert_eq!(idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await, 40);
}

#[tokio::test]
async fn nothing_that_was_taken_ahead_follows_an_announcement() {
    let Job { idp, sink, stream, .. } = with_bulk(40).await;
    sink.hold();
    idp.transmitter.push.tick().await.unwrap();
    sink.arrivals(3).await;
    let env = Env { clock: Arc::<ManualClock>::clone(&idp.clock), random: Arc::new(SystemRandom) };
    let (issuer, actor) = (&idp.transmitter.issuer, Actor::Service);
    admin::set_stream_status(&idp.pool, issuer, stream.parse().unwrap(), StreamStatus::Paused, None, &actor, &env)
        .await
        .unwrap();
    idp.transmitter.push.tick().await.unwrap();
    sink.arrivals(4).await;
    sink.release();
    idp.transmitter.push.idle().await;
    idp.drain().await;
    let last = sink.requests().last().unwrap().claims();
    assert!(last["events"].to_string().contains("stream-updated"), "{last}");
    assert_eq!((sink.requests().len(), leased(&idp).await), (4, 0));
}

#[tokio::test]
async fn nothing_leaves_the_hand_once_its_receiver_has_paused_or_disabled_the_stream() {
    for status in ["paused", "disabled"] {
        let job = with_bulk(40).await;
        job.take_ahead().await;
        let body = json!({"stream_id": job.stream, "status": status});
        assert_eq!(job.idp.post("/ssf/status", &job.rp, &body).await.status, 200);
        job.answer().await;
        assert_eq!((job.sink.requests().len(), leased(&job.idp).await), (3, 0), "{status}");
        job.idp.drain().await;
        assert_eq!(job.sink.requests().len(), 3, "{status}");
        if status == "paused" {
            let body = json!({"stream_id": job.stream, "status": "enabled"});
            assert_eq!(job.idp.post("/ssf/status", &job.rp, &body).await.status, 200);
            job.idp.drain().await;
            assert_eq!((job.sink.requests().len(), job.acknowledged().await), (40, 40), "held, and none twice");
        }
    }
}

#[tokio::test]
async fn nothing_leaves_the_hand_of_one_process_after_another_has_announced_the_stop() {
    let job = with_bulk(40).await;
    job.take_ahead().await;
    let twin = job.idp.twin().await;
    let env = Env { clock: Arc::<ManualClock>::clone(&twin.clock), random: Arc::new(SystemRandom) };
    let (issuer, stream) = (&twin.transmitter.issuer, job.stream.parse().unwrap());
    admin::set_stream_status(&twin.pool, issuer, stream, StreamStatus::Paused, None, &Actor::Service, &env)
        .await
        .unwrap();
    assert_eq!(twin.transmitter.push.tick().await.unwrap(), 1, "the announcement");
    job.sink.arrivals(4).await;
    job.answer().await;
    twin.transmitter.push.idle().await;
    let last = job.sink.requests().last().unwrap().claims();
    assert!(last["events"].to_string().contains("stream-updated"), "{last}");
    assert_eq!((job.sink.requests().len(), leased(&job.idp).await), (4, 0));
}

#[tokio::test]
async fn nothing_leaves_the_hand_for_a_stream_that_is_deleted() {
    let job = with_bulk(40).await;
    job.take_ahead().await;
    let gone = format!("/ssf/streams?stream_id={}", job.stream);
    assert_eq!(job.idp.call(Method::DELETE, &gone, &job.rp.token, None).await.status, 204);
    job.answer().await;
    assert_eq!(job.sink.requests().len(), 3);
    assert_eq!(job.idp.push_once().await, 0);
}

#[tokio::test]
async fn what_is_in_the_hand_goes_to_the_endpoint_that_the_receiver_named_last() {
    let (job, moved) = (with_bulk(40).await, Sink::start().await);
    job.take_ahead().await;
    let delivery =
        json!({"method": "urn:ietf:rfc:8935", "endpoint_url": moved.url, "authorization_header": "Bearer b"});
    let body = json!({"stream_id": job.stream, "delivery": delivery});
    let patched = job.idp.call(Method::PATCH, "/ssf/streams", &job.rp.token, Some(&body)).await;
    assert_eq!(patched.status, 200, "{:?}", patched.body);
    job.answer().await;
    job.idp.drain().await;
    assert_eq!((job.sink.requests().len(), moved.requests().len(), job.acknowledged().await), (3, 37, 40));
    assert!(moved.requests().iter().all(|request| request.header("authorization") == Some("Bearer b")));
}

#[tokio::test]
async fn what_was_promoted_in_the_hand_goes_before_the_rest_of_it() {
    let job = with_bulk(40).await;
    job.take_ahead().await;
    // the last but a few of what was taken
    job.idp.revoke(&job.producer, "s30").await;
    job.idp.fan_out().await;
    assert_eq!(job.idp.transmitter.push.tick().await.unwrap(), 1, "the bulk one about the same subject");
    job.sink.arrivals(4).await;
    assert_eq!(job.sink.subjects()[3], "s30");
    job.answer().await;
    job.idp.drain().await;
    assert_eq!((job.sink.requests().len(), job.acknowledged().await), (41, 41));
}

#[tokio::test]
async fn full_hands_keep_nothing_more_urgent_waiting() {
    let job = with_bulk_and(40, &[("push.max_in_flight", "34")]).await;
    job.take_ahead().await;
    job.idp.revoke(&job.producer, "urgent").await;
    job.idp.fan_out().await;
    assert_eq!(job.idp.transmitter.push.tick().await.unwrap(), 1);
    job.sink.arrivals(4).await;
    assert_eq!(job.sink.subjects()[3], "urgent");
    assert_eq!(leased(&job.idp).await, 35, "and no more is taken into full hands");
    job.answer().await;
    job.idp.drain().await;
    assert_eq!(job.acknowledged().await, 41);
}

#[tokio::test]
async fn bulk_leaves_a_place_at_its_host_to_what_is_more_urgent() {
    let job = with_bulk_and(40, &[("push.max_per_host", "2")]).await;
    job.sink.hold();
    job.idp.transmitter.push.tick().await.unwrap();
    job.idp.revoke(&job.producer, "urgent").await;
    job.idp.fan_out().await;
    assert_eq!(job.idp.transmitter.push.tick().await.unwrap(), 1);
    job.sink.arrivals(3).await;
    assert_eq!(job.sink.subjects()[2], "urgent");
    job.answer().await;
    job.idp.drain().await;
    assert_eq!(job.acknowledged().await, 41);
}

#[tokio::test]
async fn a_claim_locks_no_more_bulk_than_it_takes() {
    let job = with_bulk(40).await;
    // a lock leaves its mark on the row
    let locked = "select count(*) from delivery where state = 'waiting' and xmax::text <> '0'";
    assert_eq!(job.idp.count(locked).await, 0);
}

#[tokio::test]
async fn what_was_locked_when_it_should_have_been_promoted_is_promoted_after() {
    let job = with_bulk(2).await;
    let mut claim = job.idp.pool.begin().await.unwrap();
    sqlx::query("select id from delivery for update").execute(&mut *claim).await.unwrap();
    for subject in ["s0", "s1"] {
        job.idp.revoke(&job.producer, subject).await;
    }
    assert_eq!(job.idp.transmitter.fan_out.tick().await.unwrap(), 2);
    let bulk = "select count(*) from delivery where lane = 2";
    assert_eq!((job.idp.transmitter.fan_out.tick().await.unwrap(), job.idp.count(bulk).await), (1, 1));
    // it was looked at and not taken
    claim.rollback().await.unwrap();
    job.idp.transmitter.fan_out.tick().await.unwrap();
    assert_eq!(job.idp.count(bulk).await, 0);
    assert_eq!(job.idp.transmitter.fan_out.tick().await.unwrap(), 0);
}
