//! The database is taken away from both parties while they work, and brought back: 503 with `Retry-After` in between,
//! nothing acknowledged that was not committed, and no restart needed.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use ssf_harness::road::{Plan, Road, an_hour_ago};
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn a_database_that_goes_away_costs_nothing_but_time() {
    let mut road = Road::open(&Plan { own_server: true, ..Plan::default() }, |_| {}).await.unwrap();
    road.joined().await.unwrap();
    decide(&road, 0).await;
    until_applied(&road, 1).await;

    // the last moment before: recorded, perhaps not yet delivered
    decide(&road, 1).await;
    road.database_is_there(false).await.unwrap();
    for _ in 0..3 {
        let refused = emit(&road, 2).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"), "the producer is told when to come again");
        for rp in &road.receivers {
            let ask = async |check: Value| {
                road.http.post(format!("{}/v1/check", rp.process.base)).json(&check).send().await.unwrap()
            };
            let known = json!({"issuer": road.issuer, "subject": user(&road, 0), "origin": an_hour_ago()});
            let answer: Value = ask(known).await.json().await.unwrap();
            assert_eq!(answer["state"], "revoked", "{}: cut-offs are in memory", rp.name);
            let answer = ask(json!({"sid": "not-in-memory"})).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{}", rp.name);
            assert!(answer.headers().contains_key("retry-after"), "{}", rp.name);
        }
    }
    let ready = road.http.get(format!("{}/health/ready", road.issuer)).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);

    road.database_is_there(true).await.unwrap();
    until_taken(&road, 2).await;
    until_applied(&road, 3).await;
    for rp in &road.receivers {
        let sessions: Vec<Value> = (0..3)
            .map(|n| json!({"issuer": road.issuer, "subject": user(&road, n), "origin": an_hour_ago()}))
            .collect();
        assert_eq!(rp.states_of(&road.http, &sessions).await.unwrap(), ["revoked"; 3], "{}", rp.name);
        assert_eq!(rp.received(&road.http, "").await.unwrap(), 3, "{}: what was refused was not recorded", rp.name);
    }
    road.stop().await.unwrap();
    for rp in &road.receivers {
        let gone = PgConnection::connect_with(&rp.database.options).await;
        assert!(gone.is_err(), "{}: a stopped road leaves no database behind", rp.name);
    }
}

async fn decide(road: &Road, number: usize) {
    assert_eq!(emit(road, number).await.status(), StatusCode::ACCEPTED);
}

async fn emit(road: &Road, number: usize) -> reqwest::Response {
    let event = json!({"type": "session-revoked", "subject": user(road, number)});
    let request = road.http.post(format!("{}/events", road.issuer)).bearer_auth(&road.producer_token);
    request.json(&event).send().await.unwrap()
}

/// Hands the decision in again and again, as a producer does that was told to come again.
async fn until_taken(road: &Road, number: usize) {
    let patience = Instant::now();
    while emit(road, number).await.status() != StatusCode::ACCEPTED {
        assert!(patience.elapsed() < PATIENCE, "the transmitter did not recover: {}", road.transmitter.last_words());
        sleep(Duration::from_millis(50)).await;
    }
}

async fn until_applied(road: &Road, count: i64) {
    let patience = Instant::now();
    for rp in &road.receivers {
        while rp.received(&road.http, "").await.unwrap_or(0) < count {
            let words = || format!("{}\n{}", road.transmitter.last_words(), rp.process.last_words());
            assert!(patience.elapsed() < PATIENCE, "{} did not apply {count}: {}", rp.name, words());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn user(road: &Road, number: usize) -> Value {
    json!({"format": "iss_sub", "iss": road.issuer, "sub": format!("user-{number}")})
}

const PATIENCE: Duration = Duration::from_secs(40);
