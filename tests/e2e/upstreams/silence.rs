//! A stream that says nothing: verifications are granted, and their events do not come.

use reqwest::Method;
use serde_json::Value;

use crate::peer::Peer;
use crate::warnings::Warnings;

async fn shown(peer: &Peer, path: &str) -> Value {
    let answer =
        peer.http.request(Method::GET, format!("{}/admin/upstreams/idp{path}", peer.base)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    answer.json().await.unwrap()
}

async fn told(peer: &Peer) -> Vec<String> {
    let history = shown(peer, "/history").await;
    let lines = history["history"].as_array().unwrap();
    lines.iter().rev().map(|line| line["what"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_stream_that_does_not_answer_in_time_is_silent_is_looked_after_and_heals_with_an_answer() {
    let peer = Peer::start("push").await;
    peer.is_helpful().await;
    peer.keep().await;
    assert_eq!(shown(&peer, "").await["state"], "unverified");
    let warnings = Warnings::listen();
    peer.later(59);
    peer.keep().await;
    assert_eq!(shown(&peer, "").await["state"], "unverified");
    let looks = peer.requests("GET", "/ssf/streams").await.len();
    peer.later(1);
    peer.keep().await;
    let silent = shown(&peer, "").await;
    assert_eq!(silent["state"], "silent");
    assert_eq!(silent["since"], silent["unanswered_since"], "since it was asked, not since it was missed");
    assert!(silent["trouble"]["text"].as_str().unwrap().contains("has not come in time"));
    assert!(warnings.has(&["idp", "the stream is silent"]));
    assert_eq!(peer.requests("GET", "/ssf/streams").await.len(), looks + 1, "the stream is looked at again");
    peer.later(120);
    peer.keep().await;
    assert_eq!(shown(&peer, "").await["state"], "silent", "asking again is no answer");

    let asked = peer.requests("POST", "/ssf/verify").await.pop().unwrap();
    let answer = peer.signed(&peer.verification("v-1", asked["state"].as_str().unwrap()));
    assert_eq!(peer.push(&peer.authorization().await, answer).await.0, 202);
    peer.keep().await;
    let healed = shown(&peer, "").await;
    assert_eq!((healed["state"].as_str(), healed["trouble"].is_null()), (Some("verified"), true), "{healed}");
    let told = told(&peer).await;
    let of_state: Vec<_> = told.iter().filter(|what| *what != "reauthorized").collect();
    assert_eq!(of_state, ["created", "silent", "healed"]);
    assert_eq!(peer.number("select count(*) from upstream_gap").await, 0, "late is not lost");
}

#[tokio::test]
async fn how_long_an_answer_may_take_is_a_setting() {
    let peer = Peer::start_with("poll", &[("upstreams.idp.verify_patience", "10s")]).await;
    peer.is_helpful().await;
    peer.keep().await;
    peer.later(10);
    peer.keep().await;
    assert_eq!(shown(&peer, "").await["state"], "silent");
}

#[tokio::test]
async fn a_transmitter_that_does_not_let_us_in_is_told_as_such() {
    let peer = Peer::start("poll").await;
    peer.answers_once("POST", "/ssf/streams", wiremock::ResponseTemplate::new(403)).await;
    peer.is_helpful().await;
    peer.trouble().await;
    peer.keep().await;
    assert_eq!(told(&peer).await, ["refused", "created", "healed"]);
}

#[tokio::test]
async fn an_answer_that_is_slower_than_our_patience_is_an_answer() {
    let peer = Peer::start("push").await;
    peer.is_helpful().await;
    peer.keep().await;
    let first = peer.requests("POST", "/ssf/verify").await.pop().unwrap();
    for _ in 0..3 {
        peer.later(60);
        peer.keep().await;
    }
    let asked = peer.requests("POST", "/ssf/verify").await;
    assert!(asked.len() > 1 && asked.iter().all(|asked| asked["state"] == first["state"]), "{asked:?}");
    let answer = peer.signed(&peer.verification("v-1", first["state"].as_str().unwrap()));
    assert_eq!(peer.push(&peer.authorization().await, answer).await.0, 202);
    peer.keep().await;
    assert_eq!(shown(&peer, "").await["state"], "verified");
    let since = "select extract(epoch from verified_answered_at - verified_asked_at)::bigint from upstream";
    assert_eq!(peer.number(since).await, 180, "it may have been made as soon as it was first asked for");
    peer.later(60);
    peer.keep().await;
    let next = peer.requests("POST", "/ssf/verify").await.pop().unwrap();
    assert_ne!(next["state"], first["state"], "a state is good for one answer");
}

#[tokio::test]
async fn while_a_stream_is_held_back_nothing_is_asked_and_what_was_asked_before_may_be_answered_twice() {
    let peer = Peer::start("push").await;
    peer.is_helpful().await;
    peer.keep().await;
    peer.later(60);
    peer.keep().await;
    assert_eq!(peer.requests("POST", "/ssf/verify").await.len(), 2, "the first was not answered");
    let state = peer.requests("POST", "/ssf/verify").await[0]["state"].as_str().unwrap().to_owned();
    let authorization = peer.authorization().await;
    sqlx::query("update upstream set stream_status = 'paused'").execute(&peer.pool).await.unwrap();
    peer.forgets().await;
    peer.answers(
        "GET",
        "/ssf/status",
        crate::peer::ok(&serde_json::json!({"stream_id": "stream-1", "status": "paused"})),
    )
    .await;
    peer.is_helpful().await;
    for _ in 0..5 {
        peer.later(60);
        peer.keep().await;
    }
    assert_eq!(peer.requests("POST", "/ssf/verify").await.len(), 0, "it would be held, too");
    assert_eq!(shown(&peer, "").await["state"], "paused");
    // it flows again: both that it held come
    for jti in ["v-1", "v-2"] {
        let answer = peer.signed(&peer.verification(jti, &state));
        assert_eq!(peer.push(&authorization, answer).await.0, 202, "{jti}");
    }
}

#[tokio::test]
async fn a_transmitter_that_asks_for_a_day_of_patience_is_asked_again_after_ten_minutes() {
    let peer = Peer::start("push").await;
    let wish = wiremock::ResponseTemplate::new(429).insert_header("retry-after", "86400");
    peer.answers_once("POST", "/ssf/verify", wish).await;
    peer.is_helpful().await;
    peer.trouble().await;
    peer.later(599);
    peer.keep().await;
    assert_eq!(peer.requests("POST", "/ssf/verify").await.len(), 1);
    peer.later(1);
    peer.keep().await;
    assert_eq!(peer.requests("POST", "/ssf/verify").await.len(), 2);
}
