//! What waits is known at every moment, and nobody counts it.

use http::Method;
use serde_json::json;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, opaque};
use ssf_harness::sink::Answer;

use super::{Scene, alarms, look};

/// Asserts that the sums are what there is.
async fn sums_are_true(idp: &Idp, when: &str) {
    let wrong = "with sums as (
             select stream_id, lane, sum(waiting) as waiting
               from (select stream_id, lane, waiting from stream_backlog union all select stream_id, lane, waiting from tally where stream_id is not null) s
              group by 1, 2),
         there as (select stream_id, lane, count(*) as waiting from delivery group by 1, 2)
         select count(*) from sums full join there using (stream_id, lane) where coalesce(sums.waiting, 0) <> coalesce(there.waiting, 0)";
    assert_eq!(idp.count(wrong).await, 0, "{when}");
}

#[tokio::test]
async fn whatever_becomes_of_a_delivery_the_sums_are_what_there_is() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    scene.revoke_all(0..5, "bulk").await;
    scene.revoke_all(5..8, "prompt").await;
    scene.revoke_all(8..9, "urgent").await;
    idp.fan_out().await;
    assert_eq!(scene.waiting().await, [1, 3, 5], "before it is added up");
    look(idp).await;
    assert_eq!(scene.waiting().await, [1, 3, 5], "and after");
    assert_eq!(idp.count("select count(*) from tally").await, 0);
    sums_are_true(idp, "added up").await;
    // an urgent one takes its subject's earlier one along
    idp.revoke(&scene.producer, "s0").await;
    idp.fan_out().await;
    assert_eq!(scene.waiting().await, [3, 3, 4]);
    sums_are_true(idp, "promoted").await;
    scene.sink.next([Answer::status(503), Answer::refusal("invalid_request")]);
    idp.push_once().await;
    sums_are_true(idp, "failed and refused").await;
    idp.advance(std::time::Duration::from_secs(10));
    idp.drain().await;
    look(idp).await;
    sums_are_true(idp, "settled").await;
    assert_eq!(scene.backlog().await["waiting"], 0);
    let again = json!({"stream_id": scene.stream});
    let replayed = idp.post("/admin/v1/dead-letters/replay", &scene.operator, &again).await;
    assert_eq!(replayed.body["done"], 1, "{}", replayed.body);
    sums_are_true(idp, "sent again").await;
    idp.drain().await;
    let status = |status: &str| json!({"stream_id": scene.stream, "status": status});
    assert_eq!(idp.post("/ssf/status", &scene.receiver, &status("paused")).await.status, 200);
    scene.revoke_all(10..14, "bulk").await;
    idp.fan_out().await;
    let held = scene.backlog().await;
    assert_eq!((&held["waiting"], &held["held"], &held["status"]), (&json!(4), &json!(4), &json!("paused")));
    assert_eq!(idp.post("/ssf/status", &scene.receiver, &status("disabled")).await.status, 200);
    sums_are_true(idp, "discarded").await;
    look(idp).await;
    sums_are_true(idp, "discarded and added up").await;
    let gone = format!("/ssf/streams?stream_id={}", scene.stream);
    assert_eq!(idp.call(Method::DELETE, &gone, &scene.receiver.token, None).await.status, 204);
    look(idp).await;
    let kept = idp.count("select sum(acknowledged)::bigint from stream_backlog where stream_id = '00000000-0000-0000-0000-000000000000'").await;
    assert_eq!(kept, 10, "what a stream that is gone was sent is not forgotten");
    assert_eq!(alarms(idp).await, (0, 0));
}

#[tokio::test]
async fn processes_that_add_up_at_once_lose_nothing() {
    let scene = Scene::start(&[]).await;
    let (one, other) = (&scene.idp, scene.idp.twin().await);
    for round in 0..5_usize {
        scene.revoke_all(round * 20..round * 20 + 20, "bulk").await;
        one.fan_out().await;
        let (a, b, pushed) =
            tokio::join!(one.transmitter.watch.tick(), other.transmitter.watch.tick(), one.transmitter.push.tick());
        a.unwrap();
        b.unwrap();
        pushed.unwrap();
        one.transmitter.push.idle().await;
    }
    one.drain().await;
    look(&other).await;
    sums_are_true(one, "all of it").await;
    assert_eq!(one.count("select sum(acknowledged)::bigint from stream_backlog").await, 100);
}

#[tokio::test]
async fn an_operator_sees_all_issuers_and_an_administrator_one() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    let tenant = idp.tenant("/tenants/blue", &ssf_transmitter::issuer::OwnDefaults::default()).await;
    let (receiver, producer) = (tenant.add_receiver("blue").await, tenant.add_producer().await);
    let admin = ssf_transmitter::admin::NewClient {
        is_operator: false,
        ..ssf_transmitter::admin::NewClient::operator("administrator")
    };
    let blue = tenant.add_client(admin).await;
    let stream = tenant.poll_stream(&receiver, &["session-revoked"]).await;
    tenant.revoke(&producer, "b1").await;
    idp.revoke(&scene.producer, "s1").await;
    let outbox = tenant.get("/admin/v1/backlog", &blue).await.body;
    assert_eq!((outbox["outbox"].as_array().unwrap().len(), &outbox["outbox"][0]["waiting"]), (1, &json!(1)));
    idp.fan_out().await;
    let own = tenant.get("/admin/v1/backlog", &blue).await;
    assert_eq!(own.body["streams"]["items"].as_array().unwrap().len(), 1, "{}", own.body);
    assert_eq!(own.body["streams"]["items"][0]["stream_id"], json!(stream));
    assert_eq!(own.body["totals"]["waiting"], 1);
    assert_eq!(tenant.get("/admin/v1/backlog?everywhere=true", &blue).await.status, 403);
    assert_eq!(tenant.get(&format!("/admin/v1/streams/{}/backlog", scene.stream), &blue).await.status, 404);
    assert_eq!(tenant.get("/admin/v1/breaches", &blue).await.body, json!({"items": []}));
    let all = idp.get("/admin/v1/backlog?everywhere=true&limit=1", &scene.operator).await.body;
    assert_eq!((&all["totals"]["waiting"], &all["totals"]["streams"]), (&json!(2), &json!(2)));
    let next = all["streams"]["next"].as_str().unwrap();
    let rest = idp.get(&format!("/admin/v1/backlog?everywhere=true&limit=1&after={next}"), &scene.operator).await.body;
    assert_eq!(rest["streams"]["items"].as_array().unwrap().len(), 1);
    assert_ne!(rest["streams"]["items"][0]["stream_id"], all["streams"]["items"][0]["stream_id"]);
    assert_eq!(idp.get("/admin/v1/backlog?everywhere=perhaps", &scene.operator).await.status, 400);
    assert_eq!(
        idp.post("/events", &scene.producer, &json!([{"type": "session-revoked", "subject": opaque("x")}]))
            .await
            .status,
        202
    );
}

#[tokio::test]
async fn sums_that_were_passed_by_are_put_right() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    scene.revoke_all(0..5, "bulk").await;
    scene.revoke_all(5..8, "urgent").await;
    idp.fan_out().await;
    look(idp).await;
    // what no trigger sees, and what none is there for
    idp.execute("truncate delivery").await;
    scene.revoke_all(8..10, "urgent").await;
    idp.fan_out().await;
    idp.execute("delete from delivery where id = (select id from delivery limit 1)").await;
    look(idp).await;
    assert_eq!(scene.waiting().await, [5, 0, 5], "nobody saw it");
    idp.advance(std::time::Duration::from_mins(1));
    let twin = idp.twin().await;
    look(idp).await;
    look(&twin).await;
    assert_eq!(scene.waiting().await, [1, 0, 0]);
    sums_are_true(idp, "counted again").await;
    idp.advance(std::time::Duration::from_mins(1));
    look(idp).await;
    look(&twin).await;
    assert_eq!(scene.waiting().await, [1, 0, 0], "put right once");
    sums_are_true(idp, "and once more").await;
}

#[tokio::test]
async fn a_stream_that_is_gone_is_watched_no_more() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    scene.revoke_all(0..3, "bulk").await;
    idp.fan_out().await;
    look(idp).await;
    let watched = "select count(*) from stream_watch";
    assert_eq!(idp.count(watched).await, 1);
    let gone = format!("/ssf/streams?stream_id={}", scene.stream);
    assert_eq!(idp.call(Method::DELETE, &gone, &scene.receiver.token, None).await.status, 204);
    look(idp).await;
    assert_eq!(idp.count(watched).await, 0);
}

#[tokio::test]
async fn who_writes_from_another_search_path_is_counted_too() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    scene.revoke_all(0..3, "bulk").await;
    idp.fan_out().await;
    idp.execute(
        "set search_path = public; update ssf_transmitter.delivery set lane = 0; set search_path = ssf_transmitter",
    )
    .await;
    assert_eq!(scene.waiting().await, [3, 0, 0]);
}
