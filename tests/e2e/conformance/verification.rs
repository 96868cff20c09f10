//! Verification (SSF 1.0 §8.1.4).

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::claims;

use super::{POLL, Scene, VERIFICATION, text};

// SSF 1.0 §8.1.4.2: `POST {stream_id, state?}` → 204, empty (MUST)
#[tokio::test]
async fn a_request_is_answered_204_with_nothing() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let at = scene.endpoint("verification_endpoint");
    scene.post(&at, &json!({"stream_id": stream["stream_id"], "state": "s"})).await.assert_empty(204);
    scene.idp.advance(Duration::from_secs(10));
    scene.post(&at, &json!({"stream_id": stream["stream_id"]})).await.assert_empty(204);
}

// SSF 1.0 §8.1.4.1: the type, the subject that names the stream, the state echoed (MUST)
#[tokio::test]
async fn the_event_names_the_stream_and_echoes_the_state() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    for state in ["VGhpcyBpcyBhbiBleGFtcGxlIHN0YXRlIHZhbHVlLgo=", "ü \"quoted\" \u{1f600}", ""] {
        scene.verify(text(&stream, "stream_id"), state).await;
        let [(jti, set)] = scene.polled(&stream, &json!({})).await.try_into().unwrap();
        let claims = claims(&set);
        assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": stream["stream_id"]}));
        assert_eq!(claims["events"], json!({VERIFICATION: {"state": state}}));
        assert_eq!(scene.polled(&stream, &json!({"ack": [jti]})).await, []);
    }
}

// SSF 1.0 §8.1.4.2: who gives no state gets none (MUST)
#[tokio::test]
async fn an_event_without_a_state_asked_for_carries_none() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let body = json!({"stream_id": stream["stream_id"]});
    scene.post(&scene.endpoint("verification_endpoint"), &body).await.assert_empty(204);
    let [(_, set)] = scene.polled(&stream, &json!({})).await.try_into().unwrap();
    assert_eq!(claims(&set)["events"], json!({VERIFICATION: {}}));
}

// SSF 1.0 §8.1.4: allowed even if not in `events_delivered` (MAY)
#[tokio::test]
async fn a_stream_without_any_event_type_is_verified_all_the_same() {
    let scene = Scene::start().await;
    let stream = scene.create(&json!({"delivery": {"method": POLL}})).await;
    assert_eq!(stream["events_delivered"], json!([]));
    scene.verify(text(&stream, "stream_id"), "s").await;
    assert_eq!(scene.polled(&stream, &json!({})).await.len(), 1);
}

// SSF 1.0 §8.1.4.2, table 10: 400 unparsable or invalid, 401, 404 (MUST)
#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&[]).await;
    let at = scene.endpoint("verification_endpoint");
    let bearer = format!("Bearer {}", scene.rp.token);
    for body in
        ["", "{\"stream_id\": ", "[]", "null", "{}", "{\"stream_id\": 7}", "{\"stream_id\": \"x\", \"state\": 7}"]
    {
        let answer = scene.send(Method::POST, &at, &[("authorization", &bearer)], body).await;
        answer.assert_refused(400, "invalid_request");
    }
    let with = |stream: &Value, state: Value| json!({"stream_id": stream, "state": state});
    for state in [json!("x".repeat(1_025)), json!("a\0b")] {
        let refused = scene.post(&at, &with(&stream["stream_id"], state)).await.assert_refused(400, "invalid_request");
        assert!(refused.contains("state"), "{refused}");
    }
    for unknown in ["f67e39a0a4d34d56b3aa1bc4cff0069f", "018f0000-0000-4000-8000-000000000000", "", "../x"] {
        scene.post(&at, &with(&json!(unknown), json!("s"))).await.assert_refused(404, "not_found");
    }
    let bad = scene.call(Method::POST, &at, "wrong", Some(&with(&stream["stream_id"], json!("s")))).await;
    bad.assert_refused(401, "invalid_token");
    assert_eq!(scene.polled(&stream, &json!({})).await, [], "and nothing was sent");
}

// SSF 1.0 §8.1.4.2: 429 only for who is faster than `min_verification_interval`, per stream, with Retry-After (MUST)
#[tokio::test]
async fn only_who_is_faster_than_the_interval_of_the_stream_has_to_wait() {
    let scene = Scene::start().await;
    let (one, two) = (scene.create_poll(&[]).await, scene.create_poll(&[]).await);
    let at = scene.endpoint("verification_endpoint");
    let interval = one["min_verification_interval"].as_u64().unwrap();
    let ask = |stream: &Value| json!({"stream_id": stream["stream_id"]});
    scene.post(&at, &ask(&one)).await.assert_empty(204);
    let early = scene.post(&at, &ask(&one)).await;
    early.assert_refused(429, "too_many_requests");
    assert_eq!(early.header("retry-after"), interval.to_string());
    scene.post(&at, &ask(&two)).await.assert_empty(204);
    scene.idp.advance(Duration::from_millis(interval * 1_000 - 1));
    let early = scene.post(&at, &ask(&one)).await;
    assert_eq!((early.status, early.header("retry-after")), (429, "1"));
    scene.idp.advance(Duration::from_millis(1));
    scene.post(&at, &ask(&one)).await.assert_empty(204);
    assert_eq!(scene.polled(&two, &json!({})).await.len(), 1, "each event went to its own stream");
}

// SSF 1.0 §8.1.2.1, §8.1.4.2: not sent while paused or disabled (MUST NOT); accepted all the same, held by a paused
// stream (SHOULD) and dropped by a disabled one
#[tokio::test]
async fn a_stream_that_is_stopped_is_not_verified_before_it_is_enabled_again() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&[]).await;
    let id = text(&stream, "stream_id");
    let set = async |status: &str| {
        let wish = json!({"stream_id": id, "status": status});
        scene.post(&scene.endpoint("status_endpoint"), &wish).await.assert_json(200);
    };
    for (status, held) in [("paused", 1), ("disabled", 0)] {
        set(status).await;
        scene.verify(id, status).await;
        assert_eq!(scene.polled(&stream, &json!({})).await, [], "{status}");
        set("enabled").await;
        let sets = scene.polled(&stream, &json!({})).await;
        assert_eq!(sets.len(), held, "{status}");
        let acked: Vec<&String> = sets.iter().map(|(jti, _)| jti).collect();
        scene.polled(&stream, &json!({"ack": acked})).await;
    }
}

// SSF 1.0 §8.1.4: a transmitter may send one at any time (MAY); it carries no state (MUST NOT)
#[tokio::test]
async fn an_unsolicited_verification_carries_no_state() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&[]).await;
    let operator = scene.idp.add_operator().await;
    let url = format!("{}/admin/v1/streams/{}/verify", scene.origin(), text(&stream, "stream_id"));
    let asked = scene.call(Method::POST, &url, &operator.token, None).await;
    assert!(asked.status < 300, "{asked}");
    let [(_, set)] = scene.polled(&stream, &json!({})).await.try_into().unwrap();
    assert_eq!(claims(&set)["events"], json!({VERIFICATION: {}}));
    assert_eq!(claims(&set)["sub_id"], json!({"format": "opaque", "id": stream["stream_id"]}));
}
