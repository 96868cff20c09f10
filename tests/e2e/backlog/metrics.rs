//! The same figures for monitoring.

use std::time::Duration;

use ssf_harness::idp::{Idp, Party};
use ssf_transmitter::admin::NewClient;

use super::{Scene, look};

pub(super) async fn scrape(idp: &Idp, party: &Party) -> (u16, String) {
    let reply = reqwest::Client::new().get(format!("{}/metrics", idp.base)).bearer_auth(&party.token);
    let reply = reply.send().await.unwrap();
    (reply.status().as_u16(), reply.text().await.unwrap())
}

/// The value of a series; its name with its labels as they are written.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_operator_scrapes_what_waits_and_what_became_of_the_rest_and_nobody_else_does() {
    let scene = Scene::start(&[("backlog.named_streams", "1"), ("backlog.bulk", "true")]).await;
    let idp = &scene.idp;
    let quiet = idp.add_receiver("quiet").await;
    let second = idp.poll_stream(&quiet, &["session-revoked"]).await;
    let administrator = NewClient { is_operator: false, ..NewClient::operator("administrator") };
    let administrator = idp.add_client(administrator).await;
    idp.revoke(&scene.producer, "somebody@example.com").await;
    idp.drain().await;
    scene.revoke_all(0..3, "bulk").await;
    idp.fan_out().await;
    idp.advance(Duration::from_secs(301));
    look(idp).await;
    idp.revoke(&scene.producer, "late").await;
    assert_eq!(scrape(idp, &scene.producer).await.0, 403);
    assert_eq!(scrape(idp, &administrator).await.0, 403);
    let (status, text) = scrape(idp, &scene.operator).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.ends_with("# EOF\n"), "OpenMetrics");
    // the second has four waiting, the first three
    let named = |metric: &str| {
        format!("ssf_transmitter_{metric}{{issuer=\"{}\",stream=\"{second}\",lane=\"bulk\"}}", idp.issuer)
    };
    let other = |metric: &str, lane: &str| {
        format!("ssf_transmitter_{metric}{{issuer=\"other\",stream=\"other\",lane=\"{lane}\"}}")
    };
    assert!(!text.contains(&scene.stream), "only one is named");
    for (series, expected) in [
        (named("backlog_deliveries"), 3.0),
        (named("backlog_alarms"), 1.0),
        (named("backlog_oldest_age_seconds"), 301.0),
        (other("backlog_deliveries", "bulk"), 3.0),
        (other("backlog_deliveries", "urgent"), 0.0),
        (other("backlog_oldest_age_seconds", "bulk"), 301.0),
        ("ssf_transmitter_deliveries_total{lane=\"urgent\",outcome=\"acknowledged\"}".to_owned(), 1.0),
        ("ssf_transmitter_breaches_total{lane=\"bulk\"}".to_owned(), 6.0),
        ("ssf_transmitter_outbox_events{lane=\"urgent\"}".to_owned(), 1.0),
        ("ssf_transmitter_intake_waiting_events".to_owned(), 0.0),
    ] {
        // what was found just now is added up by the next look
        if series.contains("breaches") {
            look(idp).await;
        }
        let (_, text) = scrape(idp, &scene.operator).await;
        assert!((value(&text, &series) - expected).abs() < 0.01, "{series}: {}", value(&text, &series));
    }
    assert!(value(&text, &named("backlog_window_used_ratio")) > 1.0);
    assert!(value(&text, "ssf_transmitter_backlog_alarms_raised_total") >= 2.0);
    for secret in ["somebody", &scene.operator.token, &scene.sink.url] {
        assert!(!text.contains(secret), "{secret}");
    }
}
