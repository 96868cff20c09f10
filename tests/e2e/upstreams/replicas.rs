//! Several processes on one database: one of them looks after an upstream, and pushes may arrive at any.

use std::sync::Arc;
use std::time::Duration;

use ssf_common::random::SystemRandom;
use ssf_common::runtime::config::Layers;
use ssf_common::runtime::{Env, Shutdown, Worker as _};
use ssf_receiver::app::Receiver;
use ssf_receiver::config::{DEFAULTS, Settings};

use super::pair::{Pair, Rp, revoked, upstream};

/// Two processes of one receiver.
async fn two(delivery: &str) -> (Pair, Rp) {
    let pair = Pair::start(delivery).await;
    let settings = upstream("idp", &pair.idp, delivery, &pair.party);
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let other = Rp::on(pair.rp.pool.clone(), &pair.idp, &settings).await;
    (pair, other)
}

#[tokio::test]
async fn one_process_keeps_and_polls_until_its_lease_ends() {
    let (pair, other) = two("poll").await;
    assert_eq!(pair.rp.link("idp").keeper.tick().await.unwrap(), 1);
    for _ in 0..20 {
        assert_eq!(other.link("idp").keeper.tick().await.unwrap(), 0, "another looks after it");
    }
    pair.settle().await;
    assert_eq!(pair.idp.count("select count(*) from stream").await, 1);
    other.link("idp").upstream.read_held().await.unwrap();
    assert_eq!(other.link("idp").poller.unwrap().tick().await.unwrap(), 0);
    // As long as it is renewed, and a moment longer.
    pair.later(4);
    assert!(pair.rp.link("idp").upstream.lease.hold().await.unwrap());
    pair.later(4);
    assert!(!other.link("idp").upstream.lease.hold().await.unwrap());
    // The process is gone without a word: nobody renews.
    pair.later(1);
    assert!(other.link("idp").upstream.lease.hold().await.unwrap());
    assert!(!pair.rp.link("idp").upstream.lease.hold().await.unwrap(), "who comes back too late has lost it");
    let producer = pair.idp.add_producer().await;
    pair.idp.emit(&producer, &revoked("s-1")).await;
    pair.idp.drain().await;
    assert_eq!(pair.rp.link("idp").poller.unwrap().tick().await.unwrap(), 0);
    assert!(other.link("idp").poller.unwrap().tick().await.unwrap() > 0);
}

#[tokio::test]
async fn who_stood_still_beyond_its_lease_writes_nothing_over_what_its_successor_agreed() {
    let (pair, other) = two("push").await;
    assert!(pair.rp.link("idp").upstream.lease.hold().await.unwrap());
    pair.later(6);
    other.keep("idp").await;
    let hold =
        "select encode(push_authorization_hash, 'hex') || coalesce(encode(next_push_authorization_hash, 'hex'), '')
                from upstream";
    let agreed = pair.rp.texts(hold).await;
    // it goes on where it stood, and believes that the stream is its own to make
    let error = pair.rp.link("idp").keeper.create().await.unwrap_err();
    assert_eq!(error.to_string(), "upstream idp: another process looks after it by now");
    assert_eq!(pair.rp.texts(hold).await, agreed);
    let producer = pair.idp.add_producer().await;
    pair.idp.emit(&producer, &revoked("s-1")).await;
    pair.idp.drain().await;
    let received = "select count(*) from received_set where event_type = 'session-revoked'";
    assert_eq!(pair.rp.number(received).await, 1, "the transmitter's authorization is the one that is accepted");
}

#[tokio::test]
async fn an_orderly_stop_hands_over_at_once() {
    let (pair, other) = two("push").await;
    pair.settle().await;
    pair.rp.receiver.close().await;
    assert!(other.link("idp").upstream.lease.hold().await.unwrap());
    assert_eq!(pair.rp.link("idp").keeper.tick().await.unwrap(), 0);
    pair.later(301);
    other.keep("idp").await;
    pair.idp.drain().await;
    other.keep("idp").await;
    assert_eq!(other.show("idp").await["state"], "verified");
}

#[tokio::test]
async fn a_push_is_taken_by_whoever_gets_it() {
    let (pair, other) = two("push").await;
    pair.settle().await;
    // The transmitter was told the first one's address; a balancer in front would choose either.
    let to = |rp: &Rp| {
        let request = rp.http.post(format!("{}/ssf/push/idp", rp.base));
        request.header("content-type", "application/secevent+jwt").header("authorization", "Bearer wrong").body("x")
    };
    for rp in [&pair.rp, &other] {
        let answer = to(rp).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400);
        assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["err"], "authentication_failed");
    }
    let endpoint = format!("{}/ssf/push/idp", other.base);
    sqlx::query("update stream set endpoint_url = $1").bind(&endpoint).execute(&pair.idp.pool).await.unwrap();
    let producer = pair.idp.add_producer().await;
    pair.idp.emit(&producer, &revoked("s-1")).await;
    pair.idp.drain().await;
    let received = "select count(*) from received_set where event_type = 'session-revoked'";
    assert_eq!(pair.rp.number(received).await, 1);
}

#[tokio::test]
async fn a_poll_that_waits_ends_when_another_process_has_taken_over() {
    let (pair, other) = two("poll").await;
    pair.settle().await;
    let link = pair.rp.link("idp");
    let poller = link.poller.unwrap();
    // Nothing is there: the transmitter lets it wait.
    let waiting = tokio::spawn(async move { poller.tick().await.unwrap() });
    tokio::time::timeout(Duration::from_millis(200), std::future::pending::<()>()).await.unwrap_err();
    assert!(!waiting.is_finished());
    pair.later(10);
    assert!(other.link("idp").upstream.lease.hold().await.unwrap());
    assert!(!link.upstream.lease.hold().await.unwrap());
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_process_that_runs_takes_over_from_one_that_stops() {
    let (pair, other) = two("push").await;
    pair.settle().await;
    let shutdown = Shutdown::default();
    other.receiver.spawn_workers(&shutdown);
    pair.rp.receiver.close().await;
    let begin = std::time::Instant::now();
    while other.number("select count(*) from upstream_lease").await == 0 {
        assert!(begin.elapsed() < Duration::from_secs(5), "nobody takes over");
        tokio::task::yield_now().await;
    }
    shutdown.begin();
    shutdown.wait().await;
}

#[tokio::test]
async fn a_process_with_another_subject_key_does_not_start_on_the_same_database() {
    let pair = Pair::start("push").await;
    let open = async |key: &str| {
        let of = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let overrides = vec![
            of("server.public_url", "https://rp.example"),
            of("database.url", "postgres://given.by/the-harness"),
            of("privacy.subject_key", key),
        ];
        let layers = Layers { environment: Vec::new(), overrides, ..Layers::new("receiver", DEFAULTS) };
        let clock = Arc::clone(&pair.idp.clock);
        let env = Env { clock, random: Arc::new(SystemRandom) };
        let settings = Arc::new(Settings::load(&layers).unwrap());
        Receiver::open(settings, env, pair.rp.pool.clone()).await.map(drop).map_err(|error| error.to_string())
    };
    let error = open(&format!("{}A", "B".repeat(42))).await.unwrap_err();
    assert!(error.starts_with("privacy.subject_key is not the one that this database was filled with"), "{error}");
    open(&"A".repeat(43)).await.unwrap();
}
