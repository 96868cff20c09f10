//! What the admin API shows of streams, decisions and keys, and what it keeps to itself.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{Idp, opaque};
use ssf_harness::sink::{Answer, Sink};

use super::{ADMIN, get};

#[tokio::test]
async fn a_stream_shows_how_much_waits_how_old_it_is_and_what_its_receiver_answers() {
    let idp = Idp::start().await;
    let (rp, producer, operator) = (idp.add_receiver("rp").await, idp.add_producer().await, idp.add_operator().await);
    let sink = Sink::start().await;
    let stream = idp.push_stream(&rp, &sink.url, &["session-revoked", "revalidate"]).await;
    let path = format!("/streams/{stream}");
    let calm = get(&idp, &path, &operator).await;
    assert_eq!(
        (&calm["health"]["breaker"], &calm["health"]["waiting"]["total"]),
        (&json!({"state": "closed", "failures": 0}), &json!(0))
    );
    idp.revoke(&producer, "s1").await;
    idp.drain().await;
    sink.script(|_| Answer::status(503));
    for (kind, lane) in
        [("session-revoked", "urgent"), ("revalidate", "prompt"), ("revalidate", "bulk"), ("revalidate", "bulk")]
    {
        idp.emit(&producer, &json!({"type": kind, "lane": lane, "subject": opaque(&format!("{kind} {lane}"))})).await;
    }
    idp.drain().await;
    idp.advance(Duration::from_millis(1_500));
    let shown = get(&idp, &path, &operator).await;
    let health = &shown["health"];
    let waiting = json!({"total": 4, "urgent": 1, "prompt": 1, "bulk": 2, "oldest_decision": health["waiting"]["oldest_decision"], "oldest_age_ms": 1_500});
    assert_eq!(health["waiting"], waiting);
    assert_eq!(
        (&health["breaker"]["state"], &health["last_error"]),
        (&json!("open"), &json!("the receiver answered HTTP 503"))
    );
    assert!(
        health["breaker"]["retry_at"].is_string()
            && health["last_success_at"].is_string()
            && health["last_failure_at"].is_string()
    );
    assert_eq!(
        (&shown["client_id"], &shown["delivery_method"], &shown["endpoint_url"], &shown["status"]),
        (&json!("rp"), &json!("push"), &json!(sink.url), &json!("enabled"))
    );
    let list = get(&idp, "/streams", &operator).await;
    assert_eq!(list["items"], json!([shown]));
    // what waits, in the order in which it is taken, page by page
    let (mut lanes, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&idp, &format!("{path}/deliveries?limit=3{after}"), &operator).await;
        lanes.extend(page["items"].as_array().unwrap().iter().map(|one| one["lane"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(lanes, ["urgent", "prompt", "bulk", "bulk"]);
    for bad in ["after=x", "after=9.1", "after=1", "limit=0", "limit=1001"] {
        let reply = idp.get(&format!("{ADMIN}{path}/deliveries?{bad}"), &operator).await;
        assert_eq!(reply.status, 400, "{bad}");
    }
    for unknown in [
        "/streams/x",
        "/streams/00000000-0000-4000-8000-000000000000",
        "/streams/00000000-0000-4000-8000-000000000000/deliveries",
    ] {
        assert_eq!(idp.get(&format!("{ADMIN}{unknown}"), &operator).await.status, 404);
    }
}

#[tokio::test]
async fn decisions_are_listed_by_time_type_and_cause_and_followed_to_every_stream() {
    let idp = Idp::start().await;
    let (producer, operator) = (idp.add_producer().await, idp.add_operator().await);
    let (good, bad) = (Sink::start().await, Sink::start().await);
    bad.script(|_| Answer::refusal("invalid_request"));
    for (name, sink) in [("good", &good), ("bad", &bad)] {
        let rp = idp.add_receiver(name).await;
        idp.push_stream(&rp, &sink.url, &["session-revoked"]).await;
    }
    let mut ids = Vec::new();
    for n in 0..5 {
        let kind = if n == 2 { "revalidate" } else { "session-revoked" };
        ids.push(
            idp.emit(
                &producer,
                &json!({"type": kind, "txn": format!("t{}", n / 2), "subject": opaque(&format!("canary-{n}"))}),
            )
            .await,
        );
        idp.fan_out().await;
        idp.advance(Duration::from_secs(1));
    }
    let all = get(&idp, "/events", &operator).await;
    assert!(!all.to_string().contains("canary"), "whom they are about is not told");
    let listed = |page: &Value| {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["event_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(listed(&all), newest_first);
    assert_eq!(listed(&get(&idp, "/events?type=revalidate", &operator).await), [ids[2].clone()]);
    assert_eq!(listed(&get(&idp, "/events?txn=t0", &operator).await), [ids[1].clone(), ids[0].clone()]);
    assert_eq!(listed(&get(&idp, "/events?txn=t9", &operator).await), Vec::<String>::new());
    let second = all["items"][3]["recorded_at"].as_str().unwrap();
    assert_eq!(listed(&get(&idp, &format!("/events?since={second}"), &operator).await).len(), 4);
    assert_eq!(listed(&get(&idp, &format!("/events?until={second}"), &operator).await), [ids[0].clone()]);
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&idp, &format!("/events?limit=2{after}"), &operator).await;
        paged.extend(listed(&page));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(paged, newest_first);
    idp.drain().await;
    let followed = get(&idp, &format!("/events/{}", ids[0]), &operator).await;
    let mut states: Vec<(&str, Option<&str>)> = followed["deliveries"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["state"].as_str().unwrap(), one["error"].as_str()))
        .collect();
    states.sort_unstable();
    assert_eq!(states, [("acknowledged", None), ("refused", Some("invalid_request"))]);
    assert_eq!(followed["streams"], 2);
    let page = get(&idp, &format!("/events/{}?limit=1", ids[0]), &operator).await;
    let rest =
        get(&idp, &format!("/events/{}?after={}", ids[0], page["deliveries"]["next"].as_str().unwrap()), &operator)
            .await;
    assert_eq!(rest["deliveries"]["items"].as_array().unwrap().len(), 1);
    let waiting = idp.revoke(&producer, "not yet").await;
    assert_eq!(get(&idp, &format!("/events/{waiting}"), &operator).await["state"], "recorded");
    assert_eq!(idp.get("/admin/v1/events/x", &operator).await.status, 404);
    let latency = get(&idp, "/latency", &operator).await;
    assert_eq!(latency["rows"][0]["count"], 4, "{latency}");
    for query in ["/events?since=x", "/events?type=x", "/events?after=x", "/events?txn=", "/latency?since=x"] {
        assert_eq!(idp.get(&format!("{ADMIN}{query}"), &operator).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn keys_are_listed_without_anything_private() {
    let idp = Idp::start().await;
    let operator = idp.add_operator().await;
    let keys = get(&idp, "/keys", &operator).await;
    let published = idp.send(Method::GET, "/jwks.json", &[], "").await.body;
    assert_eq!(keys["items"][0]["kid"], published["keys"][0]["kid"]);
    assert_eq!((&keys["items"][0]["state"], &keys["items"][0]["algorithm"]), (&json!("active"), &json!("ES256")));
    assert!(keys["items"][0].get("private_jwk_sealed").is_none() && !keys.to_string().contains("\"d\""));
}

// RFC 8935 §2.2: only 202 says that a SET was taken; 200 and 204 are understood, and seen
#[tokio::test]
async fn a_receiver_that_acknowledges_in_its_own_way_is_seen_in_its_streams_health() {
    let idp = Idp::start().await;
    let (rp, producer, operator) = (idp.add_receiver("rp").await, idp.add_producer().await, idp.add_operator().await);
    let sink = Sink::start().await;
    let path = format!("/streams/{}", idp.push_stream(&rp, &sink.url, &["session-revoked"]).await);
    let mut seen = Vec::new();
    for status in [202, 200, 202, 204] {
        idp.advance(Duration::from_secs(1));
        sink.next([Answer::status(status)]);
        idp.revoke(&producer, &format!("s{status}")).await;
        idp.drain().await;
        let health = get(&idp, &path, &operator).await["health"].clone();
        let (odd, last) = (health["last_odd_success_at"].clone(), health["last_success_at"].clone());
        seen.push((odd.is_string(), odd == last));
    }
    assert_eq!(seen, [(false, false), (true, true), (true, false), (true, true)]);
}
