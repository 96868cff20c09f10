//! What a receiver tells the transmitter of its enforcement: taken down for its own SETs, shown to who decided.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_common::clock::{Clock as _, ManualClock};
use ssf_common::random::SystemRandom;
use ssf_common::runtime::{Env, Worker as _};
use ssf_harness::idp::{Idp, Party};
use ssf_harness::road::{Plan, Road};
use ssf_receiver::proof::{Receipts, Terms};

use crate::peer::{Peer, ok};

const START: &str = "2026-11-24T10:00:00Z";

/// A SET that this receiver was handed and acknowledged; its `jti`.
async fn acknowledged(idp: &Idp, rp: &Party, stream: &str) -> String {
    idp.fan_out().await;
    let polled = idp.poll(rp, stream, &json!({})).await;
    let jti = polled.body["sets"].as_object().unwrap().keys().next().unwrap().clone();
    idp.poll(rp, stream, &json!({"ack": [jti], "maxEvents": 0})).await;
    jti
}

fn receipt(jti: &str, outcome: &str) -> Value {
    json!({"jti": jti, "received_at": START, "applied_at": "2026-11-24T10:00:01Z", "outcome": outcome})
}

async fn told(idp: &Idp, rp: &Party, receipts: &[Value]) -> Value {
    let reply = idp.post("/receipts", rp, &json!({"receipts": receipts})).await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, "no-store"), "{}", reply.body);
    reply.body
}

#[tokio::test]
async fn a_receipt_is_taken_for_ones_own_acknowledged_sets_only() {
    let idp = Idp::start().await;
    let (producer, one, two) = (idp.add_producer().await, idp.add_receiver("one").await, idp.add_receiver("two").await);
    let stream = idp.poll_stream(&one, &["session-revoked"]).await;
    let event = idp.revoke(&producer, "s").await;
    idp.fan_out().await;
    let polled = idp.poll(&one, &stream, &json!({})).await;
    let early = polled.body["sets"].as_object().unwrap().keys().next().unwrap().clone();
    assert_eq!(told(&idp, &one, &[receipt(&early, "kept")]).await, json!({"taken": 0, "unknown": [early]}));
    let jti = acknowledged(&idp, &one, &stream).await;
    assert_eq!(told(&idp, &two, &[receipt(&jti, "kept")]).await, json!({"taken": 0, "unknown": [jti]}));
    assert_eq!(idp.progress(&producer, &event).await["enforced"], 0);
    let strange = "not of ours";
    let answer = told(&idp, &one, &[receipt(&jti, "kept"), receipt(strange, "kept")]).await;
    assert_eq!(answer, json!({"taken": 1, "unknown": [strange]}));
    let progress = idp.progress(&producer, &event).await;
    assert_eq!((&progress["enforced"], &progress["breached"]), (&json!(1), &json!(0)), "{progress}");
}

#[tokio::test]
async fn telling_it_again_changes_nothing_but_what_is_later_or_worse() {
    let idp = Idp::start().await;
    let (producer, rp) = (idp.add_producer().await, idp.add_receiver("rp").await);
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    let event = idp.revoke(&producer, "s").await;
    let jti = acknowledged(&idp, &rp, &stream).await;
    let mut later = receipt(&jti, "breached");
    later["last_allowed_at"] = json!("2026-11-24T10:00:05Z");
    for receipts in [&[receipt(&jti, "kept")][..], &[later], &[receipt(&jti, "kept")]] {
        assert_eq!(told(&idp, &rp, receipts).await["taken"], 1);
    }
    let progress = idp.progress(&producer, &event).await;
    assert_eq!((&progress["enforced"], &progress["breached"]), (&json!(1), &json!(1)), "{progress}");
    let last: String =
        sqlx::query_scalar("select rp_last_allowed_at::text from delivery_history where rp_told_at is not null")
            .fetch_one(&idp.pool)
            .await
            .unwrap();
    assert!(last.contains(":00:05"), "{last}");
    let report = idp.get("/latency?since=2000-01-01T00:00:00Z", &producer).await.body;
    let told = &report["rows"][0]["enforcement"];
    assert_eq!((&told["count"], &told["breached"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!(told["clocks"], "receiver_minus_transmitter");
}

#[tokio::test]
async fn what_is_no_receipt_is_refused_by_its_member() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let mut wrong = receipt("a", "kept");
    wrong["outcome"] = json!("fine");
    let many: Vec<Value> = (0..1_001).map(|n| receipt(&n.to_string(), "kept")).collect();
    for (body, named) in [
        (json!({"receipts": [wrong]}), "receipts[0].outcome"),
        (json!({"receipts": [{"jti": "a"}]}), "receipts[0]"),
        (json!({"receipts": many}), "more than 1000"),
        (json!({}), "receipts"),
    ] {
        let reply = idp.call(Method::POST, "/receipts", &rp.token, Some(&body)).await;
        let said = reply.body["error_description"].as_str().unwrap_or_default();
        assert!(reply.status == 400 && said.contains(named), "{named}: {}", reply.body);
    }
    let metadata = idp.get("/.well-known/ssf-configuration", &rp).await.body;
    assert_eq!(metadata["enforcement_receipts_endpoint"], format!("{}/receipts", idp.issuer));
}

#[tokio::test]
async fn nothing_of_a_commit_is_passed_over_because_a_part_of_it_had_not_ripened() {
    let peer = Peer::start("push").await;
    peer.server.reset().await;
    let at = |path: &str| format!("{}{path}", peer.server.uri());
    let metadata = json!({
        "issuer": peer.server.uri(), "jwks_uri": at("/jwks.json"), "configuration_endpoint": at("/ssf/streams"),
        "enforcement_receipts_endpoint": at("/receipts"),
    });
    peer.answers("GET", "/.well-known/ssf-configuration", ok(&metadata)).await;
    peer.is_helpful().await;
    peer.answers("POST", "/receipts", ok(&json!({"taken": 1, "unknown": []}))).await;
    peer.link().upstream.discover().await.unwrap();
    // one commit: what stands first by its name arrived last
    let rows = "insert into enforcement (upstream_id, jti, issuer_id, key, is_first, event_type, effect, level, decided_at,
                    cut_at, received_at, feed_seq, batch_id)
                select u.id, t.jti, u.issuer_id, decode(repeat('00', 16), 'hex'), true, 'session-revoked', 'revoke', 'sl2',
                       t.at, t.at, t.at, 1, b.id
                from upstream u, (values (gen_random_uuid())) as b (id),
                     (values ('a-late', to_timestamp($1)), ('b-early', to_timestamp($1 - 4))) as t (jti, at)";
    let now = peer.clock.now();
    sqlx::query(rows).bind(now.unix_seconds()).execute(&peer.pool).await.unwrap();
    sqlx::query(
        "insert into applied_batch (id, applied_at) select distinct batch_id, to_timestamp($1) from enforcement",
    )
    .bind(now.unix_seconds())
    .execute(&peer.pool)
    .await
    .unwrap();
    let env = Env { clock: Arc::<ManualClock>::clone(&peer.clock), random: Arc::new(SystemRandom) };
    let receipts = Receipts::new(Arc::clone(&peer.link().upstream), peer.pool.clone(), env, Terms::default());
    for _ in 0..8 {
        peer.later(1);
        receipts.tick().await.unwrap();
    }
    let bodies = peer.requests("POST", "/receipts").await;
    let told = bodies.iter().flat_map(|body| body["receipts"].as_array().unwrap()).map(|one| one["jti"].clone());
    assert_eq!(told.collect::<Vec<_>>(), [json!("a-late"), json!("b-early")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_tells_our_transmitter_what_it_has_enforced() {
    let mut road = Road::open(&Plan { receivers: vec!["push", "poll"], ..Plan::default() }, |_| {}).await.unwrap();
    road.joined().await.unwrap();
    let decision = json!({"type": "session-revoked", "subject": {"format": "opaque", "id": "alice"}});
    let event = road.emit(&decision).await.unwrap().remove(0);
    let progress = loop {
        let progress = road.progress(&event).await.unwrap();
        if progress["enforced"] == 2 {
            break progress;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((&progress["delivered"], &progress["breached"]), (&json!(2), &json!(0)), "{progress}");
    for told in progress["receipts"].as_array().unwrap() {
        // one clock on this machine: enforced before it was acknowledged
        let ms = |of: &str| told[of].as_f64().unwrap();
        assert!(told["outcome"] == "kept" && ms("enforced_ms") > 0.0, "{told}");
        assert!(ms("enforced_ms") <= ms("acknowledged_ms") + 5.0, "{told}");
    }
    road.stop().await.unwrap();
}
