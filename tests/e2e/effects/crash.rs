//! kill -9 of a real receiver while it calls its application back: every session is told of, under one id each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};
use ssf_common::runtime::Env;
use ssf_harness::road::{Plan, Road};
use tokio::time::sleep;

use super::application::{Application, SECRET};

const SESSIONS: usize = 400;

#[tokio::test]
async fn every_session_is_told_of_although_the_receiver_is_killed_again_and_again() {
    let application = Application::start().await;
    let url = &application.url;
    let receiver = format!(
        "[callbacks]\nwindow = 4\ntimeout = \"500ms\"\nlease = \"1s\"\n[effects.app]\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n"
    );
    let plan = Plan { receivers: vec!["push"], receiver, ..Plan::default() };
    let mut road = Road::open(&plan, |_| {}).await.unwrap();
    road.joined().await.unwrap();
    let subject = json!({"format": "iss_sub", "iss": road.issuer, "sub": "everybody"});
    let began = Env::system().now().unix_seconds() - 3_600;
    for number in 0..SESSIONS {
        let session = json!({"issuer": road.issuer, "subject": subject, "origin": began});
        road.receivers[0].register(&road.http, &format!("s-{number}"), &session).await.unwrap();
    }
    // every seventh is refused the first time
    let seen = std::sync::Mutex::new(BTreeSet::new());
    application.answer(move |callback| {
        let mut seen = seen.lock().unwrap();
        let is_new = seen.insert(callback.sid().to_owned());
        if is_new && seen.len() % 7 == 0 { StatusCode::BAD_REQUEST } else { StatusCode::OK }.into_response()
    });
    let event = json!({"type": "session-revoked", "subject": subject});
    let (url, token) = (format!("{}/events", road.issuer), road.producer_token.clone());
    ssf_harness::road::emit_for_sure(&road.http, &url, &token, "once", &event).await.unwrap();
    for part in [1, 100, 200] {
        wait_until(&road, || application.heard().len() >= part).await;
        let process = &mut road.receivers[0].process;
        process.kill().unwrap();
        process.start().unwrap();
        let http = road.http.clone();
        road.receivers[0].process.ready(&http).await.unwrap();
    }
    let told = || application.sids().into_iter().collect::<BTreeSet<_>>().len();
    wait_until(&road, || told() == SESSIONS).await;
    let standing = loop {
        let said = road.receivers[0].process.command(&["effect", "targets"]).unwrap();
        let standing: Value = serde_json::from_str(&said).unwrap();
        if standing[0]["waiting"] == 0 {
            break standing;
        }
        sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((&standing[0]["dead"], &standing[0]["name"]), (&json!(0), &json!("app")));
    let mut ids = BTreeMap::<String, BTreeSet<String>>::new();
    for callback in application.heard() {
        assert_eq!(callback.verify(SECRET, Env::system().now()), Ok(()));
        ids.entry(callback.sid().to_owned()).or_default().insert(callback.header("webhook-id").to_owned());
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "one id per effect, however often it is sent");
    road.stop().await.unwrap();
}

async fn wait_until(road: &Road, is_so: impl Fn() -> bool) {
    let patience = Instant::now();
    while !is_so() {
        assert!(patience.elapsed() < Duration::from_mins(1), "{}", road.receivers[0].process.last_words());
        sleep(Duration::from_millis(5)).await;
    }
}
