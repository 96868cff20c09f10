//! Streams that heal by themselves, at the transmitter that is our own.

use serde_json::json;
use ssf_common::runtime::Worker as _;
use ssf_harness::idp::Idp;

use super::pair::{Pair, Rp, empty, revoked, upstream};

#[tokio::test]
async fn a_token_that_ends_on_the_way_is_renewed_and_nothing_is_missed() {
    for delivery in ["push", "poll"] {
        let pair = Pair::start(delivery).await;
        pair.settle().await;
        assert_eq!(pair.rp.show("idp").await["state"], "verified", "{delivery}");
        let producer = pair.idp.add_producer().await;
        for session in ["s-1", "s-2"] {
            pair.idp.emit(&producer, &revoked(session)).await;
            pair.settle().await;
            pair.later(31 * 60);
        }
        let received = "select count(*) from received_set where event_type = 'session-revoked'";
        assert_eq!(pair.rp.number(received).await, 2, "{delivery}");
        let tokens = "select count(*) from access_token where kind = 'issued'";
        assert_eq!(pair.idp.count(tokens).await, 2, "{delivery}");
    }
}

#[tokio::test]
async fn a_stream_that_the_transmitter_deleted_is_made_again_and_the_time_without_it_is_a_gap() {
    for delivery in ["push", "poll"] {
        let pair = Pair::start(delivery).await;
        pair.settle().await;
        pair.idp.execute("delete from stream").await;
        pair.later(301);
        pair.settle().await;
        let shown = pair.rp.show("idp").await;
        assert_eq!(shown["state"], "verified", "{delivery}: {shown}");
        assert_eq!(shown["gaps"].as_array().unwrap().len(), 1, "{shown}");
        assert_eq!(shown["gaps"][0]["cause"], "stream_vanished");
        assert_eq!(shown["losing"], json!(null));
        assert_eq!(
            pair.rp.history("idp").await,
            ["created", "verified", "vanished", "recreated", "verified"],
            "{delivery}"
        );
    }
}

#[tokio::test]
async fn the_time_without_a_stream_ends_when_there_is_one_again_not_when_it_was_missed() {
    let pair = Pair::start("poll").await;
    pair.settle().await;
    pair.idp.execute("delete from stream; update client set max_streams = 0").await;
    pair.later(301);
    let keeper = pair.rp.link("idp").keeper;
    while keeper.tick().await.is_ok() {}
    let shown = pair.rp.show("idp").await;
    assert_eq!(
        (shown["state"].as_str(), shown["losing"]["cause"].as_str()),
        (Some("troubled"), Some("stream_vanished"))
    );
    assert!(shown["trouble"]["text"].as_str().unwrap().contains("no room for another stream"), "{shown}");
    pair.later(1_000);
    pair.idp.execute("update client set max_streams = 1").await;
    pair.settle().await;
    let lost = "select extract(epoch from until - since)::int8 from upstream_gap";
    assert!(pair.rp.number(lost).await >= 1_301);
    let told = pair.rp.history("idp").await;
    assert_eq!(
        told[..6],
        ["created", "verified", "vanished", "trouble", "recreated", "healed"].map(str::to_owned),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_stream_that_is_there_already_is_adopted() {
    let pair = Pair::start("push").await;
    pair.settle().await;
    // The receiver has lost its memory, the transmitter has not.
    let settings = upstream("idp", &pair.idp, "push", &pair.party);
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    pair.later(10);
    let again = Rp::on(empty().await, &pair.idp, &settings).await;
    again.keep("idp").await;
    assert_eq!(again.history("idp").await, ["adopted"]);
    assert_eq!(pair.idp.count("select count(*) from stream").await, 1);
}

#[tokio::test]
async fn a_paused_stream_holds_its_events_and_leaves_no_gap_and_a_disabled_one_does_not() {
    for delivery in ["push", "poll"] {
        let pair = Pair::start(delivery).await;
        let (producer, operator) = (pair.idp.add_producer().await, pair.idp.add_operator().await);
        pair.settle().await;
        pair.later(10);
        pair.set_status(&operator, "paused").await;
        pair.settle().await;
        let shown = pair.rp.show("idp").await;
        assert_eq!((shown["state"].as_str(), shown["stream"]["status"].as_str()), (Some("paused"), Some("paused")));
        assert_eq!(shown["stream"]["reason"], "to be paused");
        pair.idp.emit(&producer, &revoked("while-paused")).await;
        pair.later(10);
        pair.set_status(&operator, "enabled").await;
        pair.settle().await;
        let received = "select count(*) from received_set where event_type = 'session-revoked'";
        assert_eq!((pair.rp.number(received).await, pair.rp.number("select count(*) from upstream_gap").await), (1, 0));

        pair.later(10);
        pair.set_status(&operator, "disabled").await;
        pair.settle().await;
        let shown = pair.rp.show("idp").await;
        assert_eq!(
            (shown["state"].as_str(), shown["losing"]["cause"].as_str()),
            (Some("disabled"), Some("stream_disabled"))
        );
        pair.idp.emit(&producer, &revoked("while-disabled")).await;
        pair.idp.fan_out().await;
        pair.later(100);
        pair.set_status(&operator, "enabled").await;
        pair.settle().await;
        assert_eq!(pair.rp.number(received).await, 1, "{delivery}: it is lost");
        let shown = pair.rp.show("idp").await;
        assert_eq!(
            (shown["gaps"][0]["cause"].as_str(), shown["losing"].is_null()),
            (Some("stream_disabled"), true),
            "{shown}"
        );
        let lost = "select extract(epoch from until - since)::int8 from upstream_gap";
        assert!(pair.rp.number(lost).await >= 100);
        let told = pair.rp.history("idp").await;
        assert_eq!(told, ["created", "verified", "paused", "enabled", "disabled", "enabled"], "{delivery}");
    }
}

#[tokio::test]
async fn a_stream_that_was_disabled_and_enabled_while_nobody_looked_leaves_a_gap_all_the_same() {
    for delivery in ["push", "poll"] {
        let pair = Pair::start(delivery).await;
        let (producer, operator) = (pair.idp.add_producer().await, pair.idp.add_operator().await);
        pair.settle().await;
        // Both announcements come together.
        pair.later(10);
        pair.set_status(&operator, "disabled").await;
        pair.idp.emit(&producer, &revoked("lost")).await;
        pair.idp.fan_out().await;
        pair.later(100);
        pair.set_status(&operator, "enabled").await;
        pair.settle().await;
        let shown = pair.rp.show("idp").await;
        assert_eq!(shown["gaps"][0]["cause"], "stream_disabled", "{delivery}: {shown}");
        assert!(pair.rp.number("select extract(epoch from until - since)::int8 from upstream_gap").await >= 100);
        assert_eq!(pair.rp.history("idp").await, ["created", "verified", "disabled", "enabled"], "{delivery}");
    }
}

#[tokio::test]
async fn keys_that_rotate_at_the_issuer_are_found() {
    let pair = Pair::start("push").await;
    let (producer, operator) = (pair.idp.add_producer().await, pair.idp.add_operator().await);
    pair.settle().await;
    let reply = pair.idp.post("/admin/v1/keys/rotate", &operator, &json!({"now": true})).await;
    assert!(reply.status < 300, "{} {}", reply.status, reply.body);
    pair.later(31);
    pair.idp.emit(&producer, &revoked("s-1")).await;
    pair.settle().await;
    let received = "select count(*) from received_set where event_type = 'session-revoked'";
    assert_eq!(pair.rp.number(received).await, 1);
    assert_eq!(pair.rp.number("select count(*) from refusal").await, 0);
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_waited_for_and_both_are_told() {
    let idp = Idp::start().await;
    let party = idp.add_receiver("rp").await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let issuer = format!("http://{closed}");
    let mut settings = upstream("idp", &idp, "poll", &party);
    settings[0].1.clone_from(&issuer);
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let rp = Rp::on(empty().await, &idp, &settings).await;
    assert_eq!(rp.show("idp").await["state"], "joining");
    for _ in 0..3 {
        rp.link("idp").keeper.tick().await.unwrap_err();
        idp.advance(std::time::Duration::from_secs(1));
    }
    let shown = rp.show("idp").await;
    assert_eq!(shown["state"], "troubled");
    assert!(shown["trouble"]["text"].as_str().unwrap().contains("cannot be reached"), "{shown}");
    assert_eq!(rp.history("idp").await, ["trouble"], "once, however often it was tried");
    // It comes up.
    let server = wiremock::MockServer::builder().listener(std::net::TcpListener::bind(closed).unwrap()).start().await;
    crate::peer::publish(&server, &ssf_common::jwks::SigningKey::generate(ssf_common::jwks::Algorithm::Rs256).unwrap())
        .await;
    rp.link("idp").keeper.tick().await.unwrap();
    assert_eq!(rp.history("idp").await, ["trouble", "healed"]);
    assert_eq!(rp.show("idp").await["state"], "joining");
}
