//! Status (SSF 1.0 §8.1.2).

use http::Method;
use serde_json::json;

use super::{Scene, text};

// SSF 1.0 §8.1.2.1: `GET ?stream_id=` → 200 `{stream_id, status, reason?}` (MUST)
#[tokio::test]
async fn the_status_of_a_new_stream_is_enabled() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let status = scene.get(&scene.about("status_endpoint", text(&stream, "stream_id"))).await.assert_json(200);
    assert_eq!(status, json!({"stream_id": stream["stream_id"], "status": "enabled"}));
}

// SSF 1.0 §8.1.2.1, table 6: 401, 403, 404 (MUST); 400 without `stream_id` (ours)
#[tokio::test]
async fn a_status_that_cannot_be_read_is_refused() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&[]).await;
    let at = scene.about("status_endpoint", text(&stream, "stream_id"));
    scene.call(Method::GET, &at, "wrong", None).await.assert_refused(401, "invalid_token");
    scene.call(Method::GET, &at, &scene.producer.token, None).await.assert_refused(403, "insufficient_scope");
    for unknown in ["f67e39a0a4d34d56b3aa1bc4cff0069f", "018f0000-0000-4000-8000-000000000000", ""] {
        scene.get(&scene.about("status_endpoint", unknown)).await.assert_refused(404, "not_found");
    }
    scene.get(&scene.endpoint("status_endpoint")).await.assert_refused(400, "invalid_request");
}
