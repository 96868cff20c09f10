//! How long it took until nobody was let in any more: every cut-off with its times, judged against the window.

mod command;
mod denials;
mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use ssf_common::runtime::Worker as _;
use ssf_common::runtime::config::Span;
use ssf_harness::TestCluster;
use ssf_receiver::config::{
    BindingClass, EnforcementPoint, EnforcementPoints, Mechanism, Staleness, StalenessSettings, Windows,
};
use ssf_receiver::inbox::Receipt;
use ssf_receiver::proof::Terms;

use crate::rp::{Rp, START, prepared};

/// A receiver whose gateway lives on an answer for 20 s, for bearer tokens.
async fn with_gateway() -> Rp {
    let gateway = EnforcementPoint {
        mechanism: Mechanism::Cached,
        cache_for: Some(Span::from_secs(20)),
        bindings: vec![BindingClass::Bearer],
        ..EnforcementPoint::default()
    };
    let points = EnforcementPoints::new(&BTreeMap::from([("gateway".to_owned(), gateway)]));
    let windows = Windows::default();
    let staleness = Staleness::new(&StalenessSettings::default(), &windows, &points);
    let database = TestCluster::shared().await.scratch_database("rp").await.unwrap();
    Rp::on_terms(prepared(&database).await, Terms { windows, points, staleness }).await
}

fn user(name: &str) -> Value {
    json!({"format": "opaque", "id": name})
}

async fn login(rp: &Rp, sid: &str, name: &str, binding: &str) {
    let (status, body) = rp.register(sid, json!({"subject": user(name), "binding": binding})).await;
    assert_eq!((status, &body["state"]), (201, &json!("active")), "{body}");
}

/// What a point is told about a session.
async fn asks(rp: &Rp, point: &str, sid: &str) -> String {
    let body = json!({"sid": sid, "enforcement_point": point});
    let (status, body) = rp.call(Method::POST, "/v1/check", Some(&body)).await;
    assert_eq!(status, 200, "{body}");
    body["state"].as_str().unwrap().to_owned()
}

/// A decision of so many milliseconds ago arrives now and is committed in no time.
async fn decided(rp: &Rp, ms_ago: u64, jti: &str, event: &str, name: &str) {
    let payload = if event == "revalidate" { json!({"event_timestamp": rp.clock_seconds()}) } else { json!({}) };
    let receipt = rp.receive(rp.set_decided(ms_ago, jti, event, &user(name), &payload)).await.unwrap();
    assert!(matches!(receipt, Receipt::Applied { .. }));
}

/// Lets time pass.
fn pass(rp: &Rp, ms: u64) {
    rp.clock.advance(Duration::from_millis(ms));
}

/// Everything that workers write down.
async fn settle(rp: &Rp) {
    rp.inbox.applied_log().tick().await.unwrap();
    rp.denial_log(Duration::from_hours(24)).tick().await.unwrap();
}

async fn windows(rp: &Rp) -> Value {
    let (status, report) = rp.call(Method::GET, &format!("/v1/windows?since={}", START - 1), None).await;
    assert_eq!(status, 200, "{report}");
    report
}

async fn cutoffs(rp: &Rp) -> Vec<Value> {
    let (status, page) = rp.call(Method::GET, &format!("/v1/windows/cutoffs?since={}", START - 1), None).await;
    assert_eq!((status, &page["next"]), (200, &Value::Null), "{page}");
    page["cutoffs"].as_array().unwrap().clone()
}

/// The row of one binding class.
fn row<'a>(report: &'a Value, class: &str) -> &'a Value {
    report["rows"].as_array().unwrap().iter().find(|row| row["class"] == class).unwrap()
}

/// RFC 3339, so many milliseconds after the start.
fn at(ms: i64) -> Value {
    let at = ssf_common::clock::Timestamp::from_unix_millis(START * 1_000 + ms);
    serde_json::to_value(at).unwrap()
}
