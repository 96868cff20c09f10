//! The modules of the OpenID Foundation's test plans for transmitters that receive SETs (see `openid_plan`).

use http::Method;
use serde_json::{Value, json};

use super::openid_suite::{Auth, Mode, Suite, play, play_with};
use super::{CAEP, PUSH, text};

#[tokio::test]
async fn openid_ssf_transmitter_stream_verification_push() {
    play_with(&[Mode::Push], &Auth::ALL, async |suite: &Suite| {
        let stream = suite.create().await;
        suite.trigger_verification(text(&stream, "stream_id"), "state-1").await;
        let [set] = suite.delivered(&stream).await.try_into().unwrap();
        suite.assert_verification(&set, &stream, "state-1").await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_stream_verification_error_push_no_auth() {
    play_with(&[Mode::Push], &Auth::ALL, async |suite: &Suite| {
        let mut body = suite.wanted(None, "anonymous");
        body["delivery"] = json!({"method": PUSH, "endpoint_url": suite.sink.url});
        let stream = suite.configure(Method::POST, &body).await.assert_json(201);
        suite.trigger_verification(text(&stream, "stream_id"), "state-1").await;
        suite.scene.idp.drain().await;
        let [request] = suite.sink.requests().try_into().unwrap();
        assert_eq!(request.header("authorization"), None);
        suite.assert_verification(&request.set, &stream, "state-1").await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_stream_verification_poll_only() {
    play_with(&[Mode::Poll], &Auth::ALL, async |suite: &Suite| {
        let stream = suite.create().await;
        suite.trigger_verification(text(&stream, "stream_id"), "state-1").await;
        let [(_, set)] = suite.poll(&stream, &json!({})).await.try_into().unwrap();
        suite.assert_verification(&set, &stream, "state-1").await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_stream_verification_poll_and_ack() {
    play_with(&[Mode::Poll], &Auth::ALL, async |suite: &Suite| {
        let stream = suite.create().await;
        suite.trigger_verification(text(&stream, "stream_id"), "state-1").await;
        let [(jti, _)] = suite.poll(&stream, &json!({})).await.try_into().unwrap();
        suite.trigger_verification(text(&stream, "stream_id"), "state-2").await;
        let [(_, set)] = suite.poll(&stream, &json!({"ack": [jti]})).await.try_into().unwrap();
        suite.assert_verification(&set, &stream, "state-2").await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_stream_verification_ack_only() {
    play_with(&[Mode::Poll], &Auth::ALL, async |suite: &Suite| {
        let stream = suite.create().await;
        suite.trigger_verification(text(&stream, "stream_id"), "state-1").await;
        let [(jti, set)] = suite.poll(&stream, &json!({})).await.try_into().unwrap();
        suite.assert_verification(&set, &stream, "state-1").await;
        assert_eq!(suite.poll(&stream, &json!({"ack": [jti], "maxEvents": 0})).await, []);
        assert_eq!(suite.poll(&stream, &json!({})).await, [], "it was acknowledged");
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_stream_verification_set_errs() {
    play_with(&[Mode::Poll], &Auth::ALL, async |suite: &Suite| {
        let stream = suite.create().await;
        suite.trigger_verification(text(&stream, "stream_id"), "state-1").await;
        let [(jti, set)] = suite.poll(&stream, &json!({})).await.try_into().unwrap();
        suite.assert_verification(&set, &stream, "state-1").await;
        let errors = json!({jti: {"err": "invalid_request", "description": "reported on purpose"}});
        assert_eq!(suite.poll(&stream, &json!({"maxEvents": 0, "setErrs": errors})).await, []);
        assert_eq!(suite.poll(&stream, &json!({})).await, [], "what was refused does not come again");
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_stream_verification_long_poll() {
    play_with(&[Mode::Poll], &Auth::ALL, async |suite: &Suite| {
        let stream = suite.create().await;
        let id = text(&stream, "stream_id");
        suite.scene.idp.advance(std::time::Duration::from_secs(1));
        let waits = json!({"returnImmediately": false});
        let (polled, ()) = tokio::join!(suite.poll(&stream, &waits), async {
            // a poll is activity, so it has been let in once that is noted
            while suite.is_idle(id).await {
                tokio::task::yield_now().await;
            }
            suite.trigger_verification(id, "state-1").await;
            suite.scene.idp.fan_out().await;
        });
        let [(_, set)] = polled.try_into().unwrap();
        suite.assert_verification(&set, &stream, "state-1").await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_stream_verification_error_invalid_body() {
    play(async |suite: &Suite| {
        suite.create().await;
        let bearer = format!("Bearer {}", suite.token);
        let url = suite.scene.endpoint("verification_endpoint");
        let answer = suite.scene.send(Method::POST, &url, &[("authorization", &bearer)], "{\"stream_id\": ").await;
        assert_eq!(answer.status, 400, "{answer}");
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_stream_verification_error_invalid_token() {
    play(async |suite: &Suite| {
        let body = json!({"stream_id": suite.create_id().await, "state": "s"});
        suite.assert_challenged(Method::POST, "verification_endpoint", &body).await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_stream_verification_error_unknown_stream() {
    play(async |suite: &Suite| {
        let body = json!({"stream_id": suite.gone().await, "state": "s"});
        let url = suite.scene.endpoint("verification_endpoint");
        assert_eq!(suite.scene.call(Method::POST, &url, &suite.token, Some(&body)).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_poll_endpoint_authorization() {
    play_with(&[Mode::Poll], &Auth::ALL, async |suite: &Suite| {
        let stream = suite.create().await;
        let url = text(&stream["delivery"], "endpoint_url");
        let body = json!({"maxEvents": 10, "returnImmediately": true});
        let anonymous = suite.scene.send(Method::POST, url, &[], body.to_string()).await;
        assert!(anonymous.status == 401 && anonymous.header("www-authenticate").starts_with("Bearer"), "{anonymous}");
        suite.assert_challenged_at(Method::POST, url, Some(&body)).await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_poll_endpoint_url_unique_per_stream() {
    play_with(&[Mode::Poll], &Auth::ALL, async |suite: &Suite| {
        let first = suite.create().await;
        let second = suite.configure(Method::POST, &suite.wanted(None, "second")).await;
        // the module is skipped for a receiver that may have one stream only; `conformance::configuration` shows two
        assert!(second.status == 409 || second.json()["delivery"]["endpoint_url"] != first["delivery"]["endpoint_url"]);
        suite.delete(text(&first, "stream_id")).await.assert_empty(204);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_paused_stream_holds_events() {
    play(async |suite: &Suite| {
        let stream = suite.create().await;
        let id = text(&stream, "stream_id");
        assert_eq!(suite.status(id).await.assert_json(200)["status"], "enabled");
        suite.set_status(id, "paused").await;
        suite.trigger_verification(id, "held").await;
        suite.scene.idp.advance(std::time::Duration::from_secs(20));
        assert_eq!(suite.delivered(&stream).await, [""; 0], "no SET while it is paused");
        suite.set_status(id, "enabled").await;
        let [set] = suite.delivered(&stream).await.try_into().unwrap();
        suite.assert_verification(&set, &stream, "held").await;
        suite.delete(id).await.assert_empty(204);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_disabled_stream_drops_events() {
    play(async |suite: &Suite| {
        let stream = suite.create().await;
        let id = text(&stream, "stream_id");
        assert_eq!(suite.status(id).await.assert_json(200)["status"], "enabled");
        suite.set_status(id, "disabled").await;
        suite.trigger_verification(id, "dropped").await;
        suite.scene.idp.advance(std::time::Duration::from_secs(20));
        assert_eq!(suite.delivered(&stream).await, [""; 0], "no SET while it is disabled");
        suite.set_status(id, "enabled").await;
        suite.trigger_verification(id, "again").await;
        let [set] = suite.delivered(&stream).await.try_into().unwrap();
        suite.assert_verification(&set, &stream, "again").await;
        suite.delete(id).await.assert_empty(204);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_transmitter_stream_caep_interop() {
    play(async |suite: &Suite| {
        let stream = suite.create().await;
        let id = text(&stream, "stream_id");
        assert_eq!(suite.read(id).await.assert_json(200), stream);
        assert_eq!(suite.status(id).await.assert_json(200)["status"], "enabled");
        suite.trigger_verification(id, "state-1").await;
        let email = json!({"format": "email", "email": "user@example.com"});
        let iss_sub = json!({"format": "iss_sub", "iss": "https://issuer.example.com/", "sub": "145234573"});
        let decisions = [
            json!({"type": "session-revoked", "subject": email, "initiating_entity": "policy"}),
            json!({"type": "credential-change", "subject": iss_sub, "credential_type": "fido2-roaming",
                "change_type": "create", "friendly_name": "security key",
                "reason_admin": {"en": "user enrolment"}, "reason_user": {"en-GB": "you asked for it"}}),
            json!({"type": "device-compliance-change", "subject": email, "previous_status": "compliant",
                "current_status": "not-compliant"}),
        ];
        for decision in &decisions {
            suite.decide(decision).await;
        }
        let mut seen = Vec::new();
        for set in suite.delivered(&stream).await {
            let (uri, payload) = suite.assert_set(&set, &stream).await;
            if let Some(name) = uri.strip_prefix(CAEP) {
                assert_caep(name, &payload);
                let format = ssf_harness::idp::claims(&set)["sub_id"]["format"].clone();
                assert!(format == "email" || format == "iss_sub", "{format}");
                seen.push(name.to_owned());
            } else {
                suite.assert_verification(&set, &stream, "state-1").await;
                seen.push("verification".to_owned());
            }
        }
        seen.sort();
        assert_eq!(seen, ["credential-change", "device-compliance-change", "session-revoked", "verification"]);
        suite.delete(id).await.assert_empty(204);
    })
    .await;
}

/// What the suite asserts of a CAEP event's members.
fn assert_caep(name: &str, payload: &Value) {
    assert!(payload["event_timestamp"].as_i64().is_some_and(|at| (0..100_000_000_000).contains(&at)), "{payload}");
    let entity = payload["initiating_entity"].as_str();
    assert!(matches!(entity, None | Some("admin" | "user" | "policy" | "system")), "{payload}");
    let reasons = payload["reason_admin"].as_object().unwrap();
    assert!(!reasons.is_empty() && reasons.values().all(Value::is_string), "{payload}");
    let required: &[&str] = match name {
        "credential-change" => &["credential_type", "change_type"],
        "device-compliance-change" => &["previous_status", "current_status"],
        _ => &[],
    };
    assert!(required.iter().all(|member| payload[member].is_string()), "{payload}");
}
