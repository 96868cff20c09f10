//! A session that exists only to be revoked, on the whole road: real processes, real sockets.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use ssf_harness::processes::free_port;
use ssf_harness::road::{Plan, Road};

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
    let deaf = wiremock::MockServer::start().await;
    wiremock::Mock::given(wiremock::matchers::any())
        .respond_with(wiremock::ResponseTemplate::new(202))
        .mount(&deaf)
        .await;
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
