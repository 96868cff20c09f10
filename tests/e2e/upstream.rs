//! The receiver's side of a stream, at transmitters that are helpful, strict, careless, or away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ssf_common::runtime::{Shutdown, Worker as _};
use wiremock::ResponseTemplate;

use crate::peer::{Peer, ok};
use crate::warnings::Warnings;

#[tokio::test]
async fn a_stream_is_created_verified_and_kept_over_a_restart() {
    let peer = Peer::start("push").await;
    peer.is_helpful().await;
    peer.keep().await;
    let created = peer.requests("POST", "/ssf/streams").await;
    assert_eq!(created.len(), 1);
    let members: Vec<_> = created[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["events_requested", "delivery", "description"], "our members only");
    assert_eq!(created[0]["delivery"]["endpoint_url"], "https://rp.example/ssf/push/idp");

    let authorization = peer.authorization().await;
    let state = peer.requests("POST", "/ssf/verify").await[0]["state"].as_str().unwrap().to_owned();
    peer.later(2);
    let wrong = peer.signed(&peer.verification("v-0", "made up"));
    assert_eq!(peer.push(&authorization, wrong).await, (400, "invalid_state".to_owned()));
    let answer = peer.signed(&peer.verification("v-1", &state));
    assert_eq!(peer.push(&authorization, answer).await.0, 202);
    let round_trip = "select extract(epoch from verified_answered_at - verified_asked_at)::int8 from upstream";
    assert_eq!(peer.number(round_trip).await, 2);
    assert_eq!(peer.number("select count(verified_occurred_at) from upstream").await, 0, "it sends no timeline");

    let peer = peer.restarted("push").await;
    peer.keep().await;
    assert_eq!(peer.requests("POST", "/ssf/streams").await.len(), 1, "adopted, not created again");
    assert!(peer.requests("PATCH", "/ssf/streams").await.is_empty(), "as wanted, so left alone");
    assert_eq!(peer.push(&authorization, peer.signed(&peer.claims("set-1"))).await.0, 202);
}

#[tokio::test]
async fn verifications_are_asked_for_with_one_state_until_it_is_answered_and_not_too_often() {
    let peer = Peer::start("push").await;
    peer.is_helpful().await;
    peer.keep().await;
    peer.later(59);
    peer.keep().await;
    assert_eq!(peer.requests("POST", "/ssf/verify").await.len(), 1, "min_verification_interval is 60 s");
    peer.later(1);
    peer.keep().await;
    let asked = peer.requests("POST", "/ssf/verify").await;
    assert_eq!(asked.len(), 2, "the event has not come");
    assert_eq!(asked[0]["state"], asked[1]["state"], "whichever is answered, it is the answer");
    let authorization = peer.authorization().await;
    let answer = peer.signed(&peer.verification("v-1", asked[1]["state"].as_str().unwrap()));
    assert_eq!(peer.push(&authorization, answer).await.0, 202);
    peer.later(59);
    peer.keep().await;
    assert_eq!(peer.requests("POST", "/ssf/verify").await.len(), 2);
    peer.later(1);
    peer.keep().await;
    let asked = peer.requests("POST", "/ssf/verify").await;
    assert_eq!(asked.len(), 3);
    assert_ne!(asked[1]["state"], asked[2]["state"]);
}

#[tokio::test]
async fn a_transmitter_that_asks_for_patience_gets_it() {
    let peer = Peer::start("push").await;
    let too_many = ResponseTemplate::new(429).insert_header("retry-after", "600");
    peer.answers_once("POST", "/ssf/verify", too_many).await;
    peer.is_helpful().await;
    let said = peer.trouble().await;
    assert_eq!(
        said,
        "upstream idp: asking for a verification was answered with 429 Too Many Requests; ask again in 600 s"
    );
    assert_eq!(peer.text("select trouble from upstream").await, Some(said));
    peer.later(599);
    peer.keep().await;
    assert_eq!(peer.requests("POST", "/ssf/verify").await.len(), 1);
    peer.later(1);
    peer.keep().await;
    assert_eq!(peer.requests("POST", "/ssf/verify").await.len(), 2);
    assert_eq!(peer.text("select trouble from upstream").await, None);
}

#[tokio::test]
async fn a_conflict_means_that_the_stream_is_there_and_is_adopted() {
    let peer = Peer::start("push").await;
    let mut theirs = peer.stream("theirs");
    theirs["delivery"]["endpoint_url"] = json!("https://old.example/push");
    peer.answers("POST", "/ssf/streams", ResponseTemplate::new(409)).await;
    peer.answers("GET", "/ssf/streams", ok(&json!([theirs]))).await;
    peer.answers("PATCH", "/ssf/streams", ok(&peer.stream("theirs"))).await;
    peer.answers("POST", "/ssf/verify", ResponseTemplate::new(200)).await;
    peer.keep().await;
    let change = &peer.requests("PATCH", "/ssf/streams").await[0];
    assert_eq!(change["stream_id"], "theirs");
    assert_eq!(change["delivery"]["endpoint_url"], "https://rp.example/ssf/push/idp");
    assert!(change.get("iss").is_none() && change.get("aud").is_none() && change.get("events_delivered").is_none());
    let authorization = peer.authorization().await;
    assert_eq!(peer.push(&authorization, peer.signed(&peer.claims("set-1"))).await.0, 202);
}

#[tokio::test]
async fn a_stream_that_two_receivers_want_is_warned_of_where_it_is_taken_and_where_it_is_lost() {
    let peer = Peer::start("push").await;
    let mut theirs = peer.stream("stream-1");
    theirs["delivery"]["endpoint_url"] = json!("https://other.example/push?key=hush");
    peer.answers("POST", "/ssf/streams", ResponseTemplate::new(409)).await;
    peer.answers_once("GET", "/ssf/streams", ok(&json!([theirs]))).await;
    peer.answers_once("GET", "/ssf/streams", ok(&theirs)).await;
    peer.is_helpful().await;
    let warnings = Warnings::listen();
    peer.keep().await;
    assert!(warnings.has(&["idp", "adopted stream was delivered by push at other.example", "push at rp.example"]));
    assert!(!warnings.has(&["taking it back"]));
    peer.link().upstream.doubt();
    peer.keep().await;
    assert!(warnings.has(&[
        "idp",
        "delivered by push at other.example and not by push at rp.example",
        "taking it back"
    ]));
    assert_eq!(peer.requests("PATCH", "/ssf/streams").await.len(), 2);
    peer.push("Bearer lost", peer.signed(&peer.claims("set-1"))).await;
    peer.later(60);
    peer.keep().await;
    assert!(warnings.has(&["idp", "is given a fresh authorization", "a push came with another authorization"]));
    assert!(!warnings.has(&["hush"]));
}

#[tokio::test]
async fn the_old_authorization_is_good_until_the_transmitter_has_confirmed_the_new_one() {
    let peer = Peer::start("push").await;
    peer.is_helpful().await;
    peer.keep().await;
    let old = peer.authorization().await;
    peer.forgets().await;
    let mut changed = peer.stream("stream-1");
    changed["events_requested"] = json!([]);
    peer.answers("GET", "/ssf/streams", ok(&changed)).await;
    peer.answers_once("PATCH", "/ssf/streams", ResponseTemplate::new(500)).await;
    peer.answers("PATCH", "/ssf/streams", ok(&peer.stream("stream-1"))).await;
    peer.answers("GET", "/ssf/status", ok(&json!({"stream_id": "stream-1", "status": "enabled"}))).await;
    peer.link().upstream.doubt();
    assert_eq!(peer.trouble().await, "upstream idp: changing the stream was answered with 500 Internal Server Error");
    let unconfirmed = peer.authorization().await;
    for (authorization, jti) in [(&old, "set-1"), (&unconfirmed, "set-2")] {
        assert_eq!(peer.push(authorization, peer.signed(&peer.claims(jti))).await.0, 202);
    }
    peer.keep().await;
    let new = peer.authorization().await;
    assert_eq!(peer.push(&new, peer.signed(&peer.claims("set-3"))).await.0, 202);
    assert_eq!(peer.push(&old, peer.signed(&peer.claims("set-4"))).await.1, "authentication_failed");
}

#[tokio::test]
async fn a_transmitter_that_lost_its_authorization_gets_a_fresh_one_and_a_stranger_causes_one_a_minute() {
    let peer = Peer::start("push").await;
    peer.is_helpful().await;
    peer.keep().await;
    // As after a restore: the receiver's digest is not that of what the transmitter shows.
    let peer = peer.restarted("push").await;
    peer.keep().await;
    for seconds in [1, 10, 30] {
        assert_eq!(peer.push("Bearer lost", peer.signed(&peer.claims("set-1"))).await.1, "authentication_failed");
        peer.keep().await;
        peer.later(seconds);
    }
    assert_eq!(peer.requests("PATCH", "/ssf/streams").await.len(), 1, "once a minute, however many knock");
    let fresh = peer.authorization().await;
    assert_eq!(peer.push(&fresh, peer.signed(&peer.claims("set-1"))).await.0, 202);
    peer.later(19);
    peer.keep().await;
    assert_eq!(peer.requests("PATCH", "/ssf/streams").await.len(), 1, "a good push settles it");
}

#[tokio::test]
async fn a_verification_that_does_not_come_makes_the_authorization_new() {
    let peer = Peer::start("push").await;
    peer.is_helpful().await;
    peer.keep().await;
    let lost = peer.authorization().await;
    peer.later(60);
    peer.keep().await;
    assert_eq!(peer.requests("PATCH", "/ssf/streams").await.len(), 1);
    let fresh = peer.authorization().await;
    assert_ne!(lost, fresh);
    let asked = peer.requests("POST", "/ssf/verify").await;
    let answer = peer.signed(&peer.verification("v-1", asked[1]["state"].as_str().unwrap()));
    assert_eq!(peer.push(&fresh, answer).await.0, 202);
    peer.later(60);
    peer.keep().await;
    assert_eq!(peer.requests("PATCH", "/ssf/streams").await.len(), 1, "it came, so nothing is changed");
}

#[tokio::test]
async fn a_stream_that_vanished_is_created_anew_and_the_time_without_it_is_a_gap() {
    let peer = Peer::start("push").await;
    peer.is_helpful().await;
    peer.keep().await;
    peer.forgets().await;
    peer.answers("GET", "/ssf/streams", ResponseTemplate::new(404)).await;
    peer.answers("POST", "/ssf/streams", ok(&peer.stream("stream-2"))).await;
    peer.answers_once("POST", "/ssf/verify", ResponseTemplate::new(404)).await;
    peer.answers("POST", "/ssf/verify", ResponseTemplate::new(204)).await;
    peer.later(300);
    peer.keep().await;
    assert_eq!(peer.text("select stream_id from upstream").await.as_deref(), Some("stream-2"));
    assert_eq!(peer.text("select cause from upstream_gap").await.as_deref(), Some("stream_vanished"));
    let lost = peer.number("select extract(epoch from until - since)::int8 from upstream_gap").await;
    assert_eq!(lost, 300);
}

#[tokio::test]
async fn a_transmitter_that_is_down_is_waited_for_and_one_that_is_another_is_refused() {
    let peer = Peer::start("poll").await;
    peer.server.reset().await;
    let said = peer.trouble().await;
    assert_eq!(said, "upstream idp: the transmitter's metadata was answered with 404 Not Found; check the issuer");
    peer.answers_once("GET", "/.well-known/ssf-configuration", ok(&json!({"issuer": "https://evil.example"}))).await;
    let said = peer.trouble().await;
    assert!(said.ends_with("another issuer: its `issuer` must be exactly <issuer>"), "{said}");
    peer.forgets().await;
    peer.is_helpful().await;
    peer.keep().await;
    assert_eq!(peer.text("select stream_id from upstream").await.as_deref(), Some("stream-1"));
    assert_eq!(peer.text("select trouble from upstream").await, None);
}

#[tokio::test]
async fn a_stream_whose_sets_would_be_somebody_elses_is_not_held() {
    let peer = Peer::start("push").await;
    let mut theirs = peer.stream("stream-1");
    theirs["iss"] = json!("https://evil.example");
    peer.answers("POST", "/ssf/streams", ok(&theirs)).await;
    assert_eq!(peer.trouble().await, "upstream idp: the stream's `iss` is not the issuer of the upstream");
    assert_eq!(peer.text("select stream_id from upstream").await, None);
    peer.later(59);
    peer.keep().await;
    assert_eq!(
        peer.requests("POST", "/ssf/streams").await.len(),
        1,
        "only people can help; it is not asked again at once"
    );
}

/// A receiver that polls and whose stream is there.
async fn polling() -> Peer {
    let peer = Peer::start("poll").await;
    peer.is_helpful().await;
    peer.keep().await;
    peer
}

/// One request of the poll loop: how much it did.
async fn poll(peer: &Peer) -> Result<usize, String> {
    let poller = peer.link().poller.unwrap();
    poller.tick().await.map_err(|error| ssf_common::runtime::telemetry::chain(&error))
}

fn sets(of: &[(&str, String)], more: bool) -> ResponseTemplate {
    let sets: serde_json::Map<_, _> = of.iter().map(|(jti, set)| ((*jti).to_owned(), json!(set))).collect();
    ok(&json!({"sets": sets, "moreAvailable": more}))
}

fn sorted(mut value: Value) -> Value {
    value.as_array_mut().unwrap().sort_by_key(Value::to_string);
    value
}

#[tokio::test]
async fn what_is_committed_is_acknowledged_what_is_refused_is_reported_and_both_until_confirmed() {
    let peer = polling().await;
    let at = "/ssf/poll/stream-1";
    let mut wrong = peer.claims("bad-1");
    wrong["aud"] = json!("https://other.example");
    let batch = [
        ("set-1", peer.signed(&peer.claims("set-1"))),
        ("set-2", peer.signed(&peer.claims("set-2"))),
        ("bad-1", peer.signed(&wrong)),
    ];
    peer.answers_once("POST", at, sets(&batch, true)).await;
    peer.answers_once("POST", at, ResponseTemplate::new(500)).await;
    peer.answers("POST", at, sets(&[], false)).await;
    assert_eq!(poll(&peer).await, Ok(3));
    assert_eq!(poll(&peer).await.unwrap_err(), "upstream idp: polling was answered with 500 Internal Server Error");
    assert_eq!(poll(&peer).await, Ok(0), "nothing, and at once: the loop shall pause");
    assert_eq!(poll(&peer).await, Ok(0));
    let asked = peer.requests("POST", at).await;
    assert_eq!(asked[0], json!({"maxEvents": 100, "returnImmediately": false}));
    for repeated in &asked[1..3] {
        assert_eq!(sorted(repeated["ack"].clone()), json!(["set-1", "set-2"]));
        assert_eq!(repeated["setErrs"]["bad-1"]["err"], "invalid_audience");
    }
    assert!(asked[3].get("ack").is_none() && asked[3].get("setErrs").is_none(), "confirmed");
    assert_eq!(peer.number("select count(*) from received_set where method = 'poll'").await, 2);
    assert_eq!(peer.number("select count(*) from refusal where method = 'poll'").await, 1);
}

#[tokio::test]
async fn a_redelivered_set_is_acknowledged_again_and_changes_nothing() {
    let peer = polling().await;
    let set = peer.signed(&peer.claims("set-1"));
    peer.answers("POST", "/ssf/poll/stream-1", sets(&[("set-1", set)], false)).await;
    assert_eq!((poll(&peer).await, poll(&peer).await), (Ok(1), Ok(1)));
    assert_eq!(peer.requests("POST", "/ssf/poll/stream-1").await[1]["ack"], json!(["set-1"]));
    assert_eq!(peer.number("select seq from feed").await, 1);
}

#[tokio::test]
async fn what_cannot_be_judged_is_neither_acknowledged_nor_reported() {
    let peer = polling().await.restarted("poll").await;
    peer.server.reset().await;
    let at = "/ssf/poll/stream-1";
    peer.answers("POST", at, sets(&[("set-1", peer.signed(&peer.claims("set-1")))], false)).await;
    let said = poll(&peer).await.unwrap_err();
    assert!(said.starts_with("upstream idp: 1 SETs are not acknowledged: the SET cannot be judged now"), "{said}");
    assert!(poll(&peer).await.is_err());
    assert!(peer.requests("POST", at).await.iter().all(|asked| asked.get("ack").is_none()));
    peer.forgets().await;
    peer.answers("POST", at, sets(&[("set-1", peer.signed(&peer.claims("set-1")))], false)).await;
    peer.later(30);
    assert_eq!(poll(&peer).await, Ok(1));
}

#[tokio::test]
async fn a_poll_endpoint_that_is_gone_makes_the_keeper_look() {
    let peer = polling().await;
    assert!(poll(&peer).await.unwrap_err().ends_with("polling was answered with 404 Not Found"));
    peer.forgets().await;
    peer.answers("GET", "/ssf/streams", ResponseTemplate::new(404)).await;
    peer.answers("POST", "/ssf/streams", ok(&peer.stream("stream-2"))).await;
    peer.answers("POST", "/ssf/verify", ResponseTemplate::new(204)).await;
    peer.answers("POST", "/ssf/poll/stream-2", sets(&[], false)).await;
    peer.keep().await;
    assert_eq!(poll(&peer).await, Ok(0));
    assert_eq!(peer.requests("POST", "/ssf/poll/stream-2").await.len(), 1);
}

#[tokio::test]
async fn a_poll_that_waits_ends_with_the_stop_and_says_what_was_committed() {
    let peer = polling().await;
    let at = "/ssf/poll/stream-1";
    peer.answers_once("POST", at, sets(&[("set-1", peer.signed(&peer.claims("set-1")))], false)).await;
    peer.answers_once("POST", at, sets(&[], false).set_delay(Duration::from_mins(1))).await;
    peer.answers("POST", at, sets(&[], false)).await;
    let shutdown = Shutdown::default();
    peer.receiver.spawn_workers(&shutdown);
    while peer.requests("POST", at).await.len() < 2 {
        tokio::task::yield_now().await;
    }
    let begin = Instant::now();
    shutdown.begin();
    shutdown.wait().await;
    peer.receiver.close().await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let last = peer.requests("POST", at).await.pop().unwrap();
    assert_eq!(last, json!({"maxEvents": 0, "returnImmediately": true, "ack": ["set-1"]}));
    assert_eq!(peer.number("select count(*) from applied_batch").await, 1);
}
