//! Somebody hears of it before a window is missed, once; and what was missed is written down, once.

use std::time::Duration;

use serde_json::json;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::Idp;
use ssf_harness::sink::Answer;

use super::{Scene, alarms, backlog, look, pass};

#[tokio::test]
async fn a_receiver_that_fails_is_alarmed_before_its_window_is_missed_and_breached_once() {
    let scene = Scene::start(&[("push.retry_ceiling", "10s")]).await;
    let idp = &scene.idp;
    scene.sink.script(|_| Answer::status(503));
    idp.revoke(&scene.producer, "s1").await;
    let mut raised_after = None;
    for second in 1..=290_u64 {
        idp.drain().await;
        pass(idp, 1).await;
        if raised_after.is_none() && alarms(idp).await.1 == 1 {
            raised_after = Some(second);
        }
    }
    let raised_after = raised_after.expect("an alarm within the window");
    assert!(
        (140..=151).contains(&raised_after),
        "half of five minutes, less the pause before the next try: {raised_after}"
    );
    assert_eq!(alarms(idp).await, (1, 1), "raised once");
    assert!(scene.breaches().await.is_empty(), "and nothing was missed until then");
    let seen = scene.backlog().await;
    assert_eq!(seen["urgent"]["alarm"]["cause"], "failing");
    assert!((0.96..0.97).contains(&seen["urgent"]["window_used"].as_f64().unwrap()), "{seen}");
    assert_eq!(seen["breaker"]["state"], "open");
    pass(idp, 20).await;
    let breaches = scene.breaches().await;
    assert_eq!(breaches.len(), 1, "{breaches:?}");
    assert_eq!((&breaches[0]["leg"], &breaches[0]["window_ms"]), (&json!("retries"), &json!(300_000)));
    assert!(breaches[0].get("settled_at").is_none());
    scene.sink.script(|_| Answer::status(202));
    pass(idp, 15).await;
    idp.drain().await;
    look(idp).await;
    assert_eq!(alarms(idp).await, (1, 0), "cleared once");
    let breaches = scene.breaches().await;
    assert_eq!(breaches.len(), 1, "the same one: {breaches:?}");
    assert_eq!(breaches[0]["outcome"], "acknowledged");
    assert!(breaches[0]["took_ms"].as_u64().unwrap() > 300_000);
    assert_eq!(scene.backlog().await["breaches"], 1);
    pass(idp, 5).await;
    assert_eq!(alarms(idp).await, (1, 0));
}

#[tokio::test]
async fn a_mass_revocation_that_drains_too_slowly_is_alarmed_within_seconds_and_cleared_when_it_speeds_up() {
    let idp = Idp::start_with(&[("backlog.bulk", "true")]).await;
    let (producer, operator, rp) = (idp.add_producer().await, idp.add_operator().await, idp.add_receiver("rp").await);
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    let events: Vec<_> = (0..200)
        .map(|n| json!({"type": "session-revoked", "subject": ssf_harness::idp::opaque(&format!("s{n}")), "lane": "bulk"}))
        .collect();
    assert_eq!(idp.post("/events", &producer, &json!(events)).await.status, 202);
    idp.fan_out().await;
    look(&idp).await;
    let take = async |count: usize| {
        let handed = idp.poll(&rp, &stream, &json!({"maxEvents": count})).await;
        let ids: Vec<String> = handed.body["sets"].as_object().unwrap().keys().cloned().collect();
        idp.poll(&rp, &stream, &json!({"ack": ids, "maxEvents": 0})).await;
    };
    assert_eq!(alarms(&idp).await, (0, 0), "nobody knows yet how fast it goes");
    for _ in 0..8 {
        take(1).await;
        pass(&idp, 1).await;
    }
    assert_eq!(alarms(&idp).await, (1, 1));
    let seen = backlog(&idp, &operator, &stream).await;
    assert_eq!((&seen["bulk"]["alarm"]["cause"], &seen["bulk"]["waiting"]), (&json!("slow"), &json!(192)));
    assert!(seen["urgent"].get("alarm").is_none());
    assert!((0.9..1.1).contains(&seen["drain_per_second"].as_f64().unwrap()), "{seen}");
    assert!(seen["time_to_empty_ms"].as_u64().unwrap() > 150_000, "{seen}");
    assert!(seen["bulk"]["oldest_age_ms"].as_u64().unwrap() < 10_000, "long before anything is late");
    for _ in 0..6 {
        take(20).await;
        pass(&idp, 1).await;
    }
    assert_eq!(alarms(&idp).await, (1, 0), "{}", backlog(&idp, &operator, &stream).await);
    while backlog(&idp, &operator, &stream).await["waiting"] != 0 {
        take(100).await;
    }
    pass(&idp, 1).await;
    let seen = backlog(&idp, &operator, &stream).await;
    assert_eq!(seen["breaches"], 0);
    assert_eq!(alarms(&idp).await, (1, 0));
}

#[tokio::test]
async fn a_burst_after_a_quiet_time_is_no_alarm() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    for n in 0..9 {
        idp.revoke(&scene.producer, &format!("quiet{n}")).await;
        idp.drain().await;
        pass(idp, 20).await;
    }
    scene.sink.hold();
    scene.revoke_all(0..100, "urgent").await;
    idp.fan_out().await;
    look(idp).await;
    pass(idp, 4).await;
    assert_eq!(alarms(idp).await, (0, 0), "how slowly decisions came says nothing of how fast they go");
    assert_eq!(scene.backlog().await["waiting"], 100);
    scene.sink.release();
    idp.drain().await;
    look(idp).await;
    assert_eq!((scene.backlog().await["waiting"].as_u64(), alarms(idp).await), (Some(0), (0, 0)));
}

#[tokio::test]
async fn what_a_paused_stream_holds_is_alarmed_and_its_breach_is_the_pauses() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    let status = |status: &str| json!({"stream_id": scene.stream, "status": status});
    assert_eq!(idp.post("/ssf/status", &scene.receiver, &status("paused")).await.status, 200);
    idp.revoke(&scene.producer, "s1").await;
    idp.drain().await;
    idp.advance(Duration::from_secs(140));
    look(idp).await;
    assert_eq!(alarms(idp).await, (0, 0));
    pass(idp, 11).await;
    assert_eq!(scene.backlog().await["urgent"]["alarm"]["cause"], "held");
    idp.advance(Duration::from_secs(200));
    look(idp).await;
    assert_eq!(scene.breaches().await[0]["leg"], "held");
    assert_eq!(idp.post("/ssf/status", &scene.receiver, &status("enabled")).await.status, 200);
    idp.drain().await;
    look(idp).await;
    assert_eq!((alarms(idp).await, scene.breaches().await.len()), ((1, 0), 1));
    assert_eq!(scene.breaches().await[0]["outcome"], "acknowledged");
}

#[tokio::test]
async fn a_fan_out_that_stands_is_alarmed_too() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    idp.revoke(&scene.producer, "s1").await;
    pass(idp, 3).await;
    idp.advance(Duration::from_secs(150));
    look(idp).await;
    assert_eq!(
        idp.count(
            "select count(*) from backlog_alarm where stream_id is null and cause = 'fan_out' and cleared_at is null"
        )
        .await,
        1
    );
    idp.drain().await;
    look(idp).await;
    assert_eq!(alarms(idp).await, (1, 0));
}

#[tokio::test]
async fn a_stream_of_a_stricter_level_has_its_shorter_window() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    let other = idp.add_receiver("other").await;
    let slack = idp.push_stream(&other, &scene.sink.url, &["session-revoked"]).await;
    let level = format!("/admin/v1/streams/{}/level", scene.stream);
    let put =
        async |body: serde_json::Value| idp.call(http::Method::PUT, &level, &scene.operator.token, Some(&body)).await;
    assert_eq!(put(json!({"level": "sl9"})).await.status, 400);
    assert_eq!(put(json!({"level": "sl3"})).await.status, 200);
    assert_eq!(scene.backlog().await["window_ms"], 60_000);
    idp.revoke(&scene.producer, "s1").await;
    idp.fan_out().await;
    idp.advance(Duration::from_secs(31));
    look(idp).await;
    assert!(scene.backlog().await["urgent"]["alarm"].is_object());
    assert!(backlog(idp, &scene.operator, &slack).await["urgent"].get("alarm").is_none());
    idp.advance(Duration::from_secs(30));
    // settled too late, and nobody had looked in between
    idp.drain().await;
    look(idp).await;
    let breaches = scene.breaches().await;
    assert_eq!(breaches.len(), 1, "{breaches:?}");
    assert_eq!((&breaches[0]["stream_id"], &breaches[0]["leg"]), (&json!(scene.stream), &json!("queue")));
    assert_eq!((&breaches[0]["window_ms"], &breaches[0]["took_ms"]), (&json!(60_000), &json!(61_000)));
    let of_other = idp.get(&format!("/admin/v1/breaches?stream_id={slack}"), &scene.operator).await.body;
    assert_eq!(of_other, json!({"items": []}));
    assert_eq!(put(json!({"level": null})).await.status, 200);
    assert_eq!(scene.backlog().await["level"], "sl2");
    let audited = idp.get("/admin/v1/audit?limit=1000", &scene.operator).await.body.to_string();
    assert!(audited.contains("stream.level_set"));
    idp.advance(Duration::from_hours(24 * 91));
    look(idp).await;
    assert!(scene.breaches().await.is_empty(), "kept for 90 days");
}

#[tokio::test]
async fn a_fan_out_that_stands_is_held_against_the_strictest_window_in_use_and_shown() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    let level = format!("/admin/v1/streams/{}/level", scene.stream);
    let sl3 = json!({"level": "sl3"});
    assert_eq!(idp.call(http::Method::PUT, &level, &scene.operator.token, Some(&sl3)).await.status, 200);
    idp.revoke(&scene.producer, "s1").await;
    idp.advance(Duration::from_secs(31));
    look(idp).await;
    assert_eq!(
        idp.count("select window_ms from backlog_alarm where stream_id is null and cleared_at is null").await,
        60_000
    );
    let shown = idp.get("/admin/v1/backlog", &scene.operator).await.body;
    assert_eq!((&shown["outbox"][0]["alarm"]["cause"], &shown["totals"]["alarms"]), (&json!("fan_out"), &json!(1)));
    let (_, metrics) = super::metrics::scrape(idp, &scene.operator).await;
    assert!(metrics.contains("outbox_alarms{lane=\"urgent\"} 1"), "{metrics}");
    idp.drain().await;
    look(idp).await;
    assert_eq!(alarms(idp).await, (1, 0));
}

#[tokio::test]
async fn bulk_has_no_window_unless_it_was_asked_for() {
    for asked in ["false", "true"] {
        let scene = Scene::start(&[("backlog.bulk", asked)]).await;
        let idp = &scene.idp;
        idp.transmitter.watch.tell_promise().await.unwrap();
        scene.sink.script(|_| Answer::status(503));
        scene.revoke_all(0..3, "bulk").await;
        idp.advance(Duration::from_secs(151));
        look(idp).await;
        idp.drain().await;
        idp.advance(Duration::from_secs(151));
        look(idp).await;
        let waiting = (alarms(idp).await.1, scene.breaches().await.len());
        scene.sink.script(|_| Answer::status(202));
        scene.revoke_all(3..4, "bulk").await;
        idp.advance(Duration::from_secs(301));
        idp.drain().await;
        let settled = scene.breaches().await.len();
        let expected = if asked == "true" { ((1, 3), 4) } else { ((0, 0), 0) };
        assert_eq!((waiting, settled), expected, "backlog.bulk = {asked}");
    }
}

#[tokio::test]
async fn what_is_late_is_written_down_in_bounded_steps_that_all_streams_share() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    let other = idp.add_receiver("other").await;
    idp.poll_stream(&other, &["session-revoked"]).await;
    idp.execute(
        "insert into delivery (id, issuer_id, stream_id, event_id, recorded_at, event_type, order_key, lane, due_at, occurred_at, fanned_out_at)
         select gen_random_uuid(), s.issuer_id, s.id, gen_random_uuid(), s.created_at, 'urn:x', n, n % 2, s.created_at + interval '1 day',
                s.created_at - interval '1 hour', s.created_at
           from stream s, generate_series(1, 1500) n",
    )
    .await;
    let written = "select count(*) from breach";
    idp.transmitter.watch.tick().await.unwrap();
    assert_eq!(idp.count(written).await, 2_000);
    assert_eq!(
        idp.count("select count(*) from (select from breach group by stream_id, lane having count(*) = 500) each")
            .await,
        4
    );
    idp.transmitter.watch.tick().await.unwrap();
    assert_eq!(idp.count(written).await, 3_000);
}
