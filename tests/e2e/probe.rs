//! A session that exists only to be revoked, on the whole road: real processes, real sockets.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use ssf_common::clock::ManualClock;
use ssf_common::random::SystemRandom;
use ssf_common::runtime::{Env, Worker as _};
use ssf_harness::processes::free_port;
use ssf_harness::road::{Plan, Road};
use ssf_receiver::proof::Probe;
use wiremock::matchers::{any, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::peer::Peer;

/// The road with its receiver probing through `probe`, further members of the upstream's settings. The upstream's section is
/// the last of the receiver's file, and the environment goes over the file.
async fn probing(plan: Plan, url: Option<String>) -> (Road, Value) {
    let mut road = Road::open(&plan, |_| {}).await.unwrap();
    road.joined().await.unwrap();
    let token = road.producer_token.clone();
    let rp = &mut road.receivers[0];
    let mut probe = format!("[upstreams.idp.probe]\nevery = \"10s\"\ntoken = \"{token}\"\n");
    if let Some(url) = url {
        let _ = writeln!(probe, "url = \"{url}\"");
    }
    rp.process.stop().await.unwrap();
    rp.process.configure(&probe).unwrap();
    rp.process.start().unwrap();
    rp.process.ready(&road.http).await.unwrap();
    let report = loop {
        let report = road.receivers[0].process.command(&["report", "--format", "json"]).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        if report["probes"].as_array().is_some_and(|probes| !probes.is_empty()) {
            break report;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    (road, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_revoked_at_our_transmitter_and_timed_from_outside() {
    let (mut road, report) = probing(Plan { receivers: vec!["push"], ..Plan::default() }, None).await;
    let probe = &report["probes"][0];
    assert_eq!(
        (&probe["outcome"], &probe["upstream"], &probe["fault"]),
        (&json!("denied"), &json!("idp"), &Value::Null)
    );
    assert!(probe["took_ms"].as_f64().unwrap() > 0.0, "{probe}");
    assert_eq!(report["rows"][0]["outcome"]["count"], 1, "it is a decision like others: {report}");
    let said = road.receivers[0].process.command(&["report"]).unwrap();
    assert!(said.contains("Probes, the newest first") && said.contains("denied"), "{said}");
    road.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_is_not_denied_within_the_window_is_late() {
    // a hook that takes every request and does nothing
    let deaf = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(202)).mount(&deaf).await;
    let windows = "[windows.sl2]\nbearer = \"2s\"\nbound = \"60m\"\n[windows.sl3]\nbearer = \"1s\"\nbound = \"5m\"\n";
    let plan = Plan {
        receivers: vec!["push"],
        // in touch all the time, or the session is suspended, which is no answer to the decision
        transmitter: "[streams]\nmin_verification_interval = \"0s\"\n".to_owned(),
        receiver: windows.to_owned(),
        upstream: "verify_every = \"500ms\"\nverify_patience = \"500ms\"\n".to_owned(),
        ..Plan::default()
    };
    let (mut road, report) = probing(plan, Some(deaf.uri())).await;
    assert_eq!((&report["probes"][0]["outcome"], &report["probes"][0]["denied_at"]), (&json!("late"), &Value::Null));
    let asked: Value = serde_json::from_slice(&deaf.received_requests().await.unwrap()[0].body).unwrap();
    assert_eq!((&asked["type"], &asked["subject"]["format"]), (&json!("session-revoked"), &json!("opaque")));
    assert!(road.receivers[0].process.last_words().contains("not denied within the window"));
    road.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_cannot_be_made_says_why() {
    let nobody = format!("http://127.0.0.1:{}/revoke", free_port().unwrap());
    let (mut road, report) = probing(Plan { receivers: vec!["push"], ..Plan::default() }, Some(nobody)).await;
    let probe = &report["probes"][0];
    assert_eq!(probe["outcome"], "failed");
    assert!(probe["fault"].as_str().unwrap().starts_with("the issuer did not answer"), "{probe}");
    road.stop().await.unwrap();
}

/// An upstream that is probed by the story's own hand; `local` stands for the service, and `hook` for the issuer.
async fn by_hand(local: &MockServer, hook: &MockServer) -> (Peer, Probe) {
    let listen = local.uri().replace("http://", "");
    let url = hook.uri();
    let further = [
        ("server.listen", listen.as_str()),
        ("upstreams.idp.probe.every", "10s"),
        ("upstreams.idp.probe.token", "a token"),
        ("upstreams.idp.probe.url", url.as_str()),
    ];
    let peer = Peer::start_with("push", &further).await;
    peer.is_helpful().await;
    peer.keep().await;
    let env = Env { clock: Arc::<ManualClock>::clone(&peer.clock), random: Arc::new(SystemRandom) };
    let probe = Probe::of(&peer.link().upstream, peer.receiver.settings(), peer.pool.clone(), env).unwrap().unwrap();
    (peer, probe)
}

async fn deleted(local: &MockServer) -> usize {
    let requests = local.received_requests().await.unwrap();
    requests.iter().filter(|request| request.method == "DELETE").count()
}

#[tokio::test]
async fn a_probe_that_nobody_looked_at_for_a_while_has_no_time() {
    let (local, hook) = (MockServer::start().await, MockServer::start().await);
    Mock::given(any()).respond_with(ResponseTemplate::new(202)).mount(&hook).await;
    Mock::given(method("PUT")).respond_with(ResponseTemplate::new(201)).mount(&local).await;
    Mock::given(method("DELETE")).respond_with(ResponseTemplate::new(204)).mount(&local).await;
    let revoked = ResponseTemplate::new(200).set_body_json(json!({"state": "revoked"}));
    Mock::given(method("GET")).respond_with(revoked).mount(&local).await;
    let (peer, probe) = by_hand(&local, &hook).await;
    let outcomes = async || -> Vec<(String, Option<String>)> {
        sqlx::query_as("select outcome, fault from probe order by started_at").fetch_all(&peer.pool).await.unwrap()
    };
    probe.tick().await.unwrap();
    // the process stands still for a minute: who knows when it was revoked
    peer.later(60);
    probe.tick().await.unwrap();
    let told = outcomes().await;
    assert_eq!((told[0].0.as_str(), deleted(&local).await), ("failed", 1));
    assert!(told[0].1.as_ref().unwrap().starts_with("nobody looked for a while"), "{told:?}");
    // the same without a break is a time
    probe.tick().await.unwrap();
    probe.tick().await.unwrap();
    assert_eq!(outcomes().await[1], ("denied".to_owned(), None));
    // another process takes over in the middle
    peer.later(10);
    probe.tick().await.unwrap();
    let taken = "update upstream_lease set holder = gen_random_uuid(), until = until + interval '1 hour'";
    sqlx::query(taken).execute(&peer.pool).await.unwrap();
    peer.later(5);
    probe.tick().await.unwrap();
    assert_eq!((outcomes().await[2].0.as_str(), deleted(&local).await), ("failed", 3));
}

#[tokio::test]
async fn a_probe_whose_issuer_does_not_take_it_leaves_no_session_behind_and_old_ones_are_forgotten() {
    let (local, hook) = (MockServer::start().await, MockServer::start().await);
    Mock::given(any()).respond_with(ResponseTemplate::new(500)).mount(&hook).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(201)).mount(&local).await;
    let (peer, probe) = by_hand(&local, &hook).await;
    for day in 0..40 {
        probe.tick().await.unwrap();
        assert_eq!(deleted(&local).await, day + 1);
        peer.later(86_400);
    }
    let kept = peer.number("select count(*) from probe where outcome = 'failed'").await;
    assert_eq!(kept, 31, "proof.keep is 30 days");
}
