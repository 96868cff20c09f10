//! Whoever asked for it is told of alarms, in order, signed, and once more until it was taken.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde_json::Value;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::sink::{Answer, Received, Sink};

use super::{Scene, look};

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The signature that its headers and body should have.
fn signature(received: &Received) -> String {
    let key = PKey::hmac(&BASE64_STANDARD.decode(SECRET).unwrap()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let (id, at) = (received.header("webhook-id").unwrap(), received.header("webhook-timestamp").unwrap());
    signer.update(format!("{id}.{at}.{}", received.set).as_bytes()).unwrap();
    format!("v1,{}", BASE64_STANDARD.encode(signer.sign_to_vec().unwrap()))
}

#[tokio::test]
async fn an_alarm_is_told_when_it_is_raised_and_when_it_is_cleared_and_again_until_it_is_taken() {
    let hook = Sink::start().await;
    let secret = format!("whsec_{SECRET}");
    let scene = Scene::start(&[("backlog.webhook_url", &hook.url), ("backlog.webhook_secret", &secret)]).await;
    let idp = &scene.idp;
    let tell = async || while idp.transmitter.notices.tick().await.unwrap() > 0 {};
    hook.next([Answer::status(503)]);
    idp.revoke(&scene.producer, "somebody@example.com").await;
    idp.fan_out().await;
    idp.advance(Duration::from_secs(151));
    look(idp).await;
    tell().await;
    assert_eq!(hook.requests().len(), 1, "not taken");
    // cleared before the raising was taken: that one first
    idp.drain().await;
    look(idp).await;
    tell().await;
    assert_eq!(hook.requests().len(), 1, "and not yet again");
    idp.advance(Duration::from_secs(10));
    tell().await;
    tell().await;
    let told = hook.requests();
    let kinds: Vec<String> = told
        .iter()
        .map(|one| serde_json::from_str::<Value>(&one.set).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["backlog.alarms.raised", "backlog.alarms.raised", "backlog.alarms.cleared"]);
    assert_eq!(told[0].header("webhook-id"), told[1].header("webhook-id"), "the same one");
    assert_eq!(told[0].set, told[1].set);
    assert_ne!(told[1].header("webhook-id"), told[2].header("webhook-id"));
    for one in &told {
        assert_eq!(one.header("webhook-signature"), Some(signature(one).as_str()));
        assert!(!one.set.contains("somebody"), "nothing of whom it is about");
    }
    let data = serde_json::from_str::<Value>(&told[1].set).unwrap()["data"]["alarms"][0].clone();
    assert_eq!((data["stream_id"].as_str(), data["lane"].as_str()), (Some(scene.stream.as_str()), Some("urgent")));
    assert_eq!((data["cause"].as_str(), data["window_ms"].as_i64()), (Some("stalled"), Some(300_000)));
    assert_eq!(idp.count("select count(*) from alarm_notice").await, 0);
}

#[tokio::test]
async fn without_an_address_nobody_is_told_and_nothing_piles_up() {
    let scene = Scene::start(&[]).await;
    scene.idp.revoke(&scene.producer, "s1").await;
    scene.idp.fan_out().await;
    scene.idp.advance(Duration::from_secs(151));
    look(&scene.idp).await;
    assert_eq!(super::alarms(&scene.idp).await, (1, 1));
    assert_eq!(scene.idp.count("select count(*) from alarm_notice").await, 0);
    assert_eq!(scene.idp.transmitter.notices.tick().await.unwrap(), 0);
}

#[tokio::test]
async fn alarms_that_ring_together_are_told_in_one_post() {
    let hook = Sink::start().await;
    let settings = [("backlog.webhook_url", hook.url.as_str()), ("backlog.webhook_secret", SECRET)];
    let scene = Scene::start(&settings).await;
    let idp = &scene.idp;
    for name in ["b", "c", "d"] {
        let other = idp.add_receiver(name).await;
        idp.poll_stream(&other, &["session-revoked"]).await;
    }
    scene.sink.script(|_| Answer::status(503));
    scene.revoke_all(0..2, "urgent").await;
    scene.revoke_all(2..4, "prompt").await;
    idp.fan_out().await;
    idp.advance(Duration::from_secs(151));
    look(idp).await;
    assert_eq!(super::alarms(idp).await, (8, 8));
    hook.next([Answer::status(500)]);
    assert_eq!(idp.transmitter.notices.tick().await.unwrap(), 8);
    idp.advance(Duration::from_secs(20));
    while idp.transmitter.notices.tick().await.unwrap() > 0 {}
    let told = hook.requests();
    let streams = |one: &Received| {
        let body: Value = serde_json::from_str(&one.set).unwrap();
        body["data"]["alarms"].as_array().unwrap().len()
    };
    assert_eq!(told.iter().map(streams).collect::<Vec<_>>(), [8, 8]);
    assert_eq!((told[0].header("webhook-id"), &told[0].set), (told[1].header("webhook-id"), &told[1].set));
    assert_eq!(idp.count("select count(*) from alarm_notice").await, 0);
}
