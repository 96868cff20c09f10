//! A stream whose receiver gives no sign of life is paused (SSF 1.0 §8.1.1), once, and its receiver told.

use std::time::Duration;

use http::Method;
use serde_json::json;
use ssf_common::event::StreamStatus;
use ssf_common::runtime::worker::Worker as _;
use ssf_transmitter::audit::entries;

use super::Scene;

/// A stream that may be inactive for a minute.
async fn idle(by_push: bool) -> Scene {
    Scene::start(&[("streams.inactivity_timeout", "1m")], by_push).await
}

// SSF 1.0 §8.1.1 (inactivity_timeout), §8.1.5: paused and announced; only the receiver's own word enables it again.
#[tokio::test]
async fn a_stream_without_a_sign_of_life_is_paused_once_and_its_receiver_told() {
    let scene = idle(true).await;
    let configured = scene.idp.get(&format!("/ssf/streams?stream_id={}", scene.stream), &scene.rp).await;
    assert_eq!(configured.body["inactivity_timeout"], 60);
    let twin = scene.idp.twin().await;
    scene.idp.advance(Duration::from_secs(59));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0);
    scene.idp.advance(Duration::from_secs(1));
    let (one, two) =
        tokio::join!(scene.idp.transmitter.inactivity.tick(), async { twin.transmitter.inactivity.tick().await });
    assert_eq!(one.unwrap() + two.unwrap(), 1, "whichever process comes first");
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0);
    scene.revoke(&["a"]).await;
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["now paused"]);
    assert_eq!(
        scene.idp.verify(&scene.sink.requests()[0].set, &scene.rp).await.event.to_payload()["reason"],
        "inactive"
    );
    let audited =
        entries(&mut scene.idp.pool.acquire().await.unwrap(), scene.idp.transmitter.issuer.id, 0, 10).await.unwrap();
    assert_eq!(
        audited.last().map(|entry| (entry.actor.as_str(), entry.action.as_str())),
        Some(("service", "stream.status_set"))
    );

    assert_eq!(scene.status().await["status"], "paused", "a sign of life is not a wish");
    scene.idp.transmitter.inactivity.tick().await.unwrap();
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["now paused"]);
    scene.set("enabled").await;
    scene.idp.drain().await;
    assert_eq!(scene.pushed(), ["now paused", "a"]);
    scene.idp.advance(Duration::from_secs(59));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0, "the time begins anew");
}

#[tokio::test]
async fn management_calls_and_polls_are_signs_of_life_and_deliveries_are_not() {
    let scene = idle(false).await;
    let at = format!("/ssf/streams?stream_id={}", scene.stream);
    let of = json!({"stream_id": scene.stream});
    for call in 0..6 {
        scene.idp.advance(Duration::from_secs(59));
        let reply = match call {
            0 => scene.idp.get("/ssf/streams", &scene.rp).await,
            1 => scene.idp.get(&at, &scene.rp).await,
            2 => scene.idp.poll(&scene.rp, &scene.stream, &json!({})).await,
            3 => scene.idp.post("/ssf/verify", &scene.rp, &of).await,
            4 => scene.idp.call(Method::PATCH, "/ssf/streams", &scene.rp.token, Some(&of)).await,
            _ => scene.idp.get(&format!("/ssf/status?stream_id={}", scene.stream), &scene.rp).await,
        };
        assert!(reply.status < 300, "{call}: {}", reply.body);
        scene.idp.advance(Duration::from_secs(1));
        assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0, "{call}");
    }
    let scene = idle(true).await;
    scene.idp.advance(Duration::from_secs(59));
    scene.revoke(&["a"]).await;
    scene.idp.drain().await;
    scene.idp.advance(Duration::from_secs(1));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 1);
}

#[tokio::test]
async fn a_stream_that_an_operator_enables_is_not_paused_again_at_once() {
    let scene = idle(true).await;
    scene.idp.advance(Duration::from_mins(1));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 1);
    scene.operate(StreamStatus::Enabled, None).await;
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0);
    scene.idp.advance(Duration::from_mins(1));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 1);
}

#[tokio::test]
async fn a_stream_without_a_timeout_is_never_paused() {
    let scene = Scene::poll().await;
    scene.idp.advance(Duration::from_hours(24 * 365));
    assert_eq!(scene.idp.transmitter.inactivity.tick().await.unwrap(), 0);
}
