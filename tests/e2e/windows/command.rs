//! `ssf-receiver report` against the running service, on the whole road.

use std::time::Duration;

use serde_json::{Value, json};
use ssf_harness::road::{Plan, Road, an_hour_ago};

const GATEWAY: &str = "[enforcement_points.gateway]\nmechanism = \"stateless\"\ntoken_lifetime = \"2m\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_the_running_service_comes_as_text_json_csv_and_a_picture() {
    let plan = Plan { receivers: vec!["push"], receiver: GATEWAY.to_owned(), ..Plan::default() };
    let mut road = Road::open(&plan, |_| {}).await.unwrap();
    road.joined().await.unwrap();
    let rp = &road.receivers[0];
    let subject = json!({"format": "opaque", "id": "alice"});
    let session = json!({"issuer": road.issuer, "subject": subject, "origin": an_hour_ago()});
    rp.register(&road.http, "s", &session).await.unwrap();
    let check = || async {
        let sids = ["s".to_owned()];
        rp.states(&road.http, &sids).await.unwrap().remove(0)
    };
    assert_eq!(check().await, "active");
    road.emit(&json!({"type": "session-revoked", "subject": subject})).await.unwrap();
    while check().await == "active" {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // the last yes is written within a second, off the path of the check
    let report = loop {
        let report = rp.process.command(&["report", "--format", "json"]).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        if report["rows"][0]["seen"]["count"] == 1 {
            break report;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let (bearer, bound) = (&report["rows"][0], &report["rows"][1]);
    let max = |row: &Value, of: &str| row[of]["max_ms"].as_f64().unwrap();
    assert_eq!(
        (&bearer["class"], &bearer["outcome"]["count"], &bearer["breaches"]),
        (&json!("bearer"), &json!(1), &json!(0))
    );
    assert!(max(bearer, "outcome") >= 120_000.0 && max(bearer, "idp") > 0.0, "the token lives two minutes: {bearer}");
    assert!(max(bearer, "seen") <= max(bearer, "outcome") - 120_000.0 + 1.0, "{bearer}");
    assert!(bearer["clock_offset_ms"]["min"].is_f64(), "the verification compared the clocks: {bearer}");
    assert_eq!(bound["outcome"]["count"], 1);

    let said = rp.process.command(&["report"]).unwrap();
    for part in ["Windows kept since", "sl2 bearer", "gateway", "stateless", "let in no later than"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let csv = rp.process.command(&["report", "--format", "csv", "--since", "1h"]).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 2, "{csv}");
    assert!(
        lines[0].starts_with("upstream,jti,event_type") && lines[1].contains(",session-revoked,revoke,sl2,"),
        "{csv}"
    );
    let file = std::env::temp_dir().join(format!("ssf-windows-{}.svg", std::process::id()));
    rp.process.command(&["report", "--format", "svg", "--out", file.to_str().unwrap()]).unwrap();
    let svg = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(roxmltree::Document::parse(&svg).unwrap().root_element().attribute("role"), Some("img"));
    road.stop().await.unwrap();
}
