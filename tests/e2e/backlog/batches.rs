//! Decisions handed in together are followed together.

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{Idp, Party, opaque};
use ssf_harness::sink::{Answer, Sink};

use super::{Scene, look};

async fn batch(idp: &Idp, party: &Party, id: &str) -> Value {
    let reply = idp.get(&format!("/batches/{id}"), party).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

#[tokio::test]
async fn a_mass_revocation_is_followed_from_one_call_to_its_last_acknowledgement() {
    const USERS: u64 = 300;
    const STREAMS: u64 = 5;
    let idp = Idp::start().await;
    let (producer, sink) = (idp.add_producer().await, Sink::start().await);
    let mut polled = Vec::new();
    for n in 0..STREAMS {
        let receiver = idp.add_receiver(&format!("rp{n}")).await;
        if n == 0 {
            polled.push((idp.poll_stream(&receiver, &["session-revoked"]).await, receiver));
        } else {
            idp.push_stream(&receiver, &sink.url, &["session-revoked"]).await;
        }
    }
    let users: Vec<Value> =
        (0..USERS).map(|n| json!({"type": "session-revoked", "subject": opaque(&format!("user{n}"))})).collect();
    let reply = idp.post("/events", &producer, &json!(users)).await;
    let id = reply.text("batch_id").to_owned();
    assert_eq!(reply.body["events"].as_array().unwrap().len(), 300);
    let before = batch(&idp, &producer, &id).await;
    assert_eq!(
        (&before["state"], &before["percent"], &before["events"]),
        (&json!("sending"), &json!(0.0), &json!(USERS))
    );
    idp.fan_out().await;
    let fanned_out = batch(&idp, &producer, &id).await;
    assert_eq!((&fanned_out["fanned_out"], &fanned_out["streams"]), (&json!(USERS), &json!(STREAMS)));
    assert_eq!(
        fanned_out["deliveries"],
        json!({"total": 1_500, "delivered": 0, "pending": 1_500, "refused": 0, "expired": 0, "discarded": 0})
    );
    let mut last = 0.0;
    while idp.push_once().await > 0 {
        let percent = batch(&idp, &producer, &id).await["percent"].as_f64().unwrap();
        assert!(percent >= last && percent < 100.0, "{percent} after {last}");
        last = percent;
    }
    look(&idp).await;
    let most = batch(&idp, &producer, &id).await;
    assert_eq!((&most["percent"], &most["deliveries"]["pending"]), (&json!(80.0), &json!(USERS)));
    let (stream, receiver) = &polled[0];
    assert_eq!((&most["slowest"][0]["stream_id"], &most["slowest"][0]["pending"]), (&json!(stream), &json!(USERS)));
    let mut ack: Vec<String> = Vec::new();
    loop {
        let sets = idp.poll(receiver, stream, &json!({"ack": ack})).await.body["sets"].as_object().unwrap().clone();
        if sets.is_empty() {
            break;
        }
        ack = sets.keys().cloned().collect();
    }
    let done = batch(&idp, &producer, &id).await;
    assert_eq!(
        (&done["state"], &done["percent"], &done["deliveries"]["delivered"]),
        (&json!("finished"), &json!(100.0), &json!(1_500))
    );
    assert!(done["finished_at"].is_string());
    look(&idp).await;
    assert_eq!(batch(&idp, &producer, &id).await, done, "added up or not");
}

#[tokio::test]
async fn a_batch_of_another_issuer_is_like_none_and_a_single_decision_is_no_batch() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    let id = scene.revoke_all(0..2, "urgent").await;
    let tenant = idp.tenant("/tenants/blue", &ssf_transmitter::issuer::OwnDefaults::default()).await;
    let blue = tenant.add_producer().await;
    let theirs = tenant.get(&format!("/batches/{id}"), &blue).await;
    let none = tenant.get("/batches/00000000-0000-7000-8000-000000000000", &blue).await;
    assert_eq!((theirs.status, theirs.body), (404, none.body));
    assert_eq!(idp.get("/batches/x", &scene.producer).await.status, 404);
    let one = idp.post("/events", &scene.producer, &json!({"type": "session-revoked", "subject": opaque("s")})).await;
    assert!(one.body.get("batch_id").is_none());
    assert_eq!(idp.count("select count(*) from batch").await, 1);
}

#[tokio::test]
async fn the_same_key_gives_the_same_batch_and_nothing_goes_out_twice() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    let body = json!([{"type": "session-revoked", "subject": opaque("a")}, {"type": "session-revoked", "subject": opaque("b")}]);
    let authorization = format!("Bearer {}", scene.producer.token);
    let send = async || {
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", "k1")];
        idp.send(Method::POST, "/events", &headers, body.to_string()).await
    };
    let (first, again) = (send().await, send().await);
    assert_eq!((first.status, &first.body), (202, &again.body));
    idp.drain().await;
    let id = first.text("batch_id");
    assert_eq!(batch(idp, &scene.producer, id).await["deliveries"]["total"], 2);
    assert_eq!(scene.sink.requests().len(), 2);
}

#[tokio::test]
async fn what_is_refused_is_told_and_what_is_sent_again_counts_again() {
    let scene = Scene::start(&[]).await;
    let idp = &scene.idp;
    scene.sink.next([Answer::refusal("invalid_request")]);
    let id = scene.revoke_all(0..3, "urgent").await;
    idp.drain().await;
    let told = batch(idp, &scene.producer, &id).await;
    assert_eq!((&told["state"], &told["deliveries"]["refused"]), (&json!("finished"), &json!(1)));
    look(idp).await;
    let again = json!({"stream_id": scene.stream});
    assert_eq!(idp.post("/admin/v1/dead-letters/replay", &scene.operator, &again).await.body["done"], 1);
    let open = batch(idp, &scene.producer, &id).await;
    assert_eq!(
        (&open["state"], &open["deliveries"]["pending"], &open["deliveries"]["refused"]),
        (&json!("sending"), &json!(1), &json!(0))
    );
    idp.drain().await;
    look(idp).await;
    let done = batch(idp, &scene.producer, &id).await;
    assert_eq!(
        (&done["percent"], &done["deliveries"]["delivered"], &done["deliveries"]["total"]),
        (&json!(100.0), &json!(3), &json!(3))
    );
}
