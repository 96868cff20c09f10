//! SIGTERM under load: what is on the wire is finished and kept, nothing is sent twice, nothing is lost.

use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use ssf_common::random::SeededRandom;
use ssf_harness::road::{Plan, Road};

use super::crash::{DECISIONS, Producer, below, produce, session, wait_until_received};

#[tokio::test]
async fn a_stop_under_load_finishes_what_is_leased_sends_nothing_twice_and_loses_nothing() {
    let mut road = Road::open(&Plan::default(), |_| {}).await.unwrap();
    road.joined().await.unwrap();
    let mut database = PgConnection::connect_with(&road.transmitter_database().options).await.unwrap();
    let random = SeededRandom::new(4);
    let producing = tokio::spawn(produce(Producer::of(&road)));
    for stop in 1..=STOPS {
        let part = 2 * DECISIONS * stop / (STOPS + 1);
        wait_until_received(&road, part - below(&random, DECISIONS / 20)).await;
        let ended = road.transmitter.stop().await.unwrap().unwrap();
        assert!(ended.success(), "{ended}: {}", road.transmitter.last_words());
        let leased = "select count(*) from ssf_transmitter.delivery where state = 'leased'";
        let leased: i64 = sqlx::query_scalar(leased).fetch_one(&mut database).await.unwrap();
        assert_eq!(leased, 0, "nobody waits for the lease of a process that has ended in order");
        road.transmitter.start().unwrap();
        let http = road.http.clone();
        road.transmitter.ready(&http).await.unwrap();
    }
    producing.await.unwrap();
    wait_until_received(&road, 2 * DECISIONS).await;
    let sessions: Vec<Value> = (0..DECISIONS).map(|number| session(&road.issuer, number)).collect();
    for rp in &road.receivers {
        assert_eq!(rp.received(&road.http, "").await.unwrap(), i64::try_from(DECISIONS).unwrap(), "{}", rp.name);
        let states = rp.states_of(&road.http, &sessions).await.unwrap();
        assert!(states.iter().all(|state| state == "revoked"), "{}: every decision has its effect", rp.name);
    }
    let again = "select count(*) from ssf_transmitter.delivery_history where delivery_method = 'push' and attempts > 1";
    let again: i64 = sqlx::query_scalar(again).fetch_one(&mut database).await.unwrap();
    assert_eq!(again, 0, "no SET was pushed twice");
    road.stop().await.unwrap();
}

const STOPS: usize = 5;
