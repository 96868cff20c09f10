//! kill -9 of any process at any moment: after a restart every decision is applied exactly once at both RPs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use ssf_common::random::{Random as _, SeededRandom};
use ssf_harness::road::{Plan, Road, an_hour_ago};
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn every_decision_is_applied_exactly_once_although_the_transmitter_is_killed_again_and_again() {
    survives(1, &[Victim::Transmitter; 5]).await;
}

#[tokio::test]
async fn every_decision_is_applied_exactly_once_although_both_receivers_are_killed_again_and_again() {
    survives(2, &[Victim::Push, Victim::Poll, Victim::Poll, Victim::Push, Victim::Push, Victim::Poll]).await;
}

#[tokio::test]
async fn every_decision_is_applied_exactly_once_although_everybody_is_killed_in_turn() {
    survives(
        3,
        &[Victim::Push, Victim::Transmitter, Victim::Poll, Victim::Transmitter, Victim::Push, Victim::Transmitter],
    )
    .await;
}

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Transmitter,
    Push,
    Poll,
}

/// A run of 2,000 decisions, during which the victims are killed one after the other, each when the road has come a
/// random part further.
async fn survives(seed: u64, victims: &[Victim]) {
    // short leases: what a killed process had in flight is sent again soon
    let transmitter = "[push]\ntimeout = \"1s\"\nlease = \"1500ms\"\nretry_ceiling = \"1s\"\n".to_owned();
    let mut road = Road::open(&Plan { transmitter, ..Plan::default() }, |_| {}).await.unwrap();
    road.joined().await.unwrap();
    let random = SeededRandom::new(seed);
    let producing = tokio::spawn(produce(Producer::of(&road)));
    for (number, victim) in victims.iter().enumerate() {
        let part = 2 * DECISIONS * (number + 1) / (victims.len() + 1);
        wait_until_received(&road, part - below(&random, DECISIONS / 20)).await;
        sleep(Duration::from_millis(below(&random, 20) as u64)).await;
        let process = match victim {
            Victim::Transmitter => &mut road.transmitter,
            Victim::Push => &mut road.receivers[0].process,
            Victim::Poll => &mut road.receivers[1].process,
        };
        process.kill().unwrap();
        process.start().unwrap();
        let http = road.http.clone();
        process.ready(&http).await.unwrap();
    }
    producing.await.unwrap();
    wait_until_received(&road, 2 * DECISIONS).await;
    let sessions: Vec<Value> = (0..DECISIONS).map(|number| session(&road.issuer, number)).collect();
    for rp in &road.receivers {
        let received = rp.received(&road.http, "").await.unwrap();
        assert_eq!(received, i64::try_from(DECISIONS).unwrap(), "{}: each once", rp.name);
        let states = rp.states_of(&road.http, &sessions).await.unwrap();
        let revoked = states.iter().filter(|state| *state == "revoked").count();
        assert_eq!(revoked, DECISIONS, "{}: every decision has its effect", rp.name);
    }
    road.stop().await.unwrap();
}

/// Waits until so many SETs are applied at both RPs together. A process that is just being killed does not answer.
pub(super) async fn wait_until_received(road: &Road, at_least: usize) {
    let patience = Instant::now();
    loop {
        let mut received = 0;
        for rp in &road.receivers {
            received += rp.received(&road.http, "").await.unwrap_or(0);
        }
        if received >= i64::try_from(at_least).unwrap() {
            return;
        }
        let words = || format!("{}\n{}", road.transmitter.last_words(), road.receivers[0].process.last_words());
        assert!(patience.elapsed() < Duration::from_mins(2), "{received} of {at_least} applied\n{}", words());
        sleep(Duration::from_millis(10)).await;
    }
}

/// What the producer needs of the road.
pub(super) struct Producer {
    http: reqwest::Client,
    issuer: String,
    token: String,
}

impl Producer {
    pub(super) fn of(road: &Road) -> Arc<Self> {
        Arc::new(Self { http: road.http.clone(), issuer: road.issuer.clone(), token: road.producer_token.clone() })
    }
}

/// A careful producer: batches of ten, each under an idempotency key, until it is told that they are recorded.
pub(super) async fn produce(producer: Arc<Producer>) {
    for batch in 0..DECISIONS / BATCH {
        let events: Vec<Value> = (batch * BATCH..(batch + 1) * BATCH)
            .map(|number| json!({"type": "session-revoked", "subject": user(&producer.issuer, number)}))
            .collect();
        let key = format!("batch-{batch}");
        let url = format!("{}/events", producer.issuer);
        ssf_harness::road::emit_for_sure(&producer.http, &url, &producer.token, &key, &Value::Array(events))
            .await
            .unwrap();
    }
}

fn user(issuer: &str, number: usize) -> Value {
    json!({"format": "iss_sub", "iss": issuer, "sub": format!("user-{number}")})
}

pub(super) fn session(issuer: &str, number: usize) -> Value {
    json!({"issuer": issuer, "subject": user(issuer, number), "origin": an_hour_ago()})
}

pub(super) fn below(random: &SeededRandom, end: usize) -> usize {
    let mut bytes = [0; 4];
    random.fill(&mut bytes);
    u32::from_le_bytes(bytes) as usize % end
}

pub(super) const DECISIONS: usize = 2_000;
const BATCH: usize = 10;
