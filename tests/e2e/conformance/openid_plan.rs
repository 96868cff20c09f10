//! The modules of the OpenID Foundation's test plans for transmitters (openid-ssf-transmitter-test-plan and
//! openid-ssf-transmitter-caep-test-plan), played step by step: each test bears its module's name, and is run with push
//! and poll delivery, with a static token and with one from the token endpoint, where its module is.

use http::Method;
use serde_json::{Value, json};

use super::openid_suite::{Auth, Mode, Suite, play, play_with};
use super::{POLL, text};

const UNKNOWN: &str = "b6c0f1a2-0000-4000-8000-5d0c9fb3a111";

#[tokio::test]
async fn openid_ssf_transmitter_metadata() {
    play(async |suite: &Suite| {
        let scene = &suite.scene;
        let answer = scene.document("ssf-configuration").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        let metadata = answer.json();
        assert_eq!(metadata["issuer"], scene.origin());
        for member in ["jwks_uri", "configuration_endpoint", "status_endpoint", "verification_endpoint"] {
            assert!(text(&metadata, member).parse::<url::Url>().is_ok(), "{member}");
        }
        assert!(metadata["delivery_methods_supported"].as_array().unwrap().contains(&json!(suite.mode.urn())));
        assert!(
            metadata["authorization_schemes"].as_array().unwrap().iter().all(|scheme| scheme["spec_urn"].is_string())
        );
        assert!(matches!(metadata["default_subjects"].as_str(), None | Some("ALL" | "NONE")));
        assert_eq!(metadata["spec_version"], "1_0");
        let keys = scene.send(Method::GET, text(&metadata, "jwks_uri"), &[], "").await.json();
        assert!(!keys["keys"].as_array().unwrap().is_empty());
        let resource = scene.document("oauth-protected-resource").await;
        assert_eq!(resource.status, 200, "{resource}");
        let scopes = resource.json()["scopes_supported"].clone();
        assert!(["ssf.read", "ssf.manage"].iter().all(|scope| scopes.as_array().unwrap().contains(&json!(scope))));
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_happy_path() {
    play(async |suite: &Suite| {
        let stream = suite.create().await;
        let id = text(&stream, "stream_id");
        assert_eq!(stream["iss"], suite.scene.metadata["issuer"]);
        assert!(stream["aud"].is_string() || stream["aud"].is_array());
        for member in ["events_delivered", "events_supported", "events_requested"] {
            assert!(stream[member].as_array().unwrap().iter().all(Value::is_string), "{member}");
        }
        assert_eq!(suite.read(id).await.assert_json(200), stream);

        let updated = suite.wanted(Some(id), "updated");
        let shown = suite.configure(Method::PATCH, &updated).await.assert_json(200);
        suite.assert_reflects(&shown, &updated);
        suite.assert_reflects(&suite.read(id).await.assert_json(200), &updated);

        let replaced = suite.wanted(Some(id), "replaced");
        let shown = suite.configure(Method::PUT, &replaced).await.assert_json(200);
        suite.assert_reflects(&shown, &replaced);
        suite.assert_reflects(&suite.read(id).await.assert_json(200), &replaced);

        let mut reduced = suite.wanted(Some(id), "");
        reduced.as_object_mut().unwrap().remove("description");
        reduced["events_requested"] = json!(["https://schemas.openid.net/secevent/caep/event-type/session-revoked"]);
        let shown = suite.configure(Method::PUT, &reduced).await.assert_json(200);
        suite.assert_reflects(&shown, &reduced);
        assert!(shown.get("description").is_none(), "{shown}");
        assert_eq!(shown["events_delivered"], reduced["events_requested"]);

        let status = suite.status(id).await.assert_json(200);
        assert_eq!((&status["stream_id"], &status["status"]), (&json!(id), &json!("enabled")));
        for status in ["enabled", "paused", "disabled"] {
            suite.set_status(id, status).await;
        }
        suite.delete(id).await.assert_empty(204);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_create_stream_without_delivery() {
    play_with(&[Mode::Poll], &Auth::ALL, async |suite: &Suite| {
        let mut body = suite.wanted(None, "without delivery");
        body.as_object_mut().unwrap().remove("delivery");
        let stream = suite.configure(Method::POST, &body).await.assert_json(201);
        assert_eq!(stream["delivery"]["method"], POLL);
        assert!(!text(&stream["delivery"], "endpoint_url").is_empty());
        suite.delete(text(&stream, "stream_id")).await.assert_empty(204);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_create_stream_with_broken_input() {
    play(async |suite: &Suite| {
        assert_eq!(suite.broken(Method::POST).await.status, 400);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_create_stream_with_invalid_token() {
    play(async |suite: &Suite| {
        suite.assert_challenged(Method::POST, "configuration_endpoint", &suite.wanted(None, "x")).await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_create_stream_with_duplicate_config() {
    play(async |suite: &Suite| {
        suite.create().await;
        let second = suite.configure(Method::POST, &suite.wanted(None, "second")).await;
        assert!(matches!(second.status, 201 | 409), "{second}");
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_create_stream_with_read_only_token() {
    play_with(&Mode::ALL, &[Auth::Dynamic], async |suite: &Suite| {
        let granted = suite.token("ssf.read").await;
        assert_eq!(granted["scope"], "ssf.read", "the scope was narrowed");
        let url = suite.scene.endpoint("configuration_endpoint");
        let body = suite.wanted(None, "x");
        let refused = suite.scene.call(Method::POST, &url, text(&granted, "access_token"), Some(&body)).await;
        assert_eq!(refused.status, 403, "{refused}");
        assert!(refused.header("www-authenticate").starts_with("Bearer "), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_read_stream_with_invalid_token() {
    play(async |suite: &Suite| {
        let id = suite.create_id().await;
        let url = suite.scene.about("configuration_endpoint", &id);
        suite.assert_challenged_at(Method::GET, &url, None).await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_read_stream_without_token() {
    play(async |suite: &Suite| {
        let url = suite.scene.endpoint("configuration_endpoint");
        let refused = suite.scene.send(Method::GET, &url, &[], "").await;
        assert!(refused.status == 401 && refused.header("www-authenticate").starts_with("Bearer"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_token_in_uri_query() {
    play_with(&Mode::ALL, &[Auth::Dynamic], async |suite: &Suite| {
        let url = format!("{}?access_token={}", suite.scene.endpoint("configuration_endpoint"), suite.token);
        let refused = suite.scene.send(Method::GET, &url, &[], "").await;
        assert!(matches!(refused.status, 400 | 401), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_read_unknown_stream() {
    play(async |suite: &Suite| {
        let gone = suite.gone().await;
        assert_eq!((suite.read(&gone).await.status, suite.read(UNKNOWN).await.status), (404, 404));
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_read_stream_status_with_invalid_token() {
    play(async |suite: &Suite| {
        let url = suite.scene.about("status_endpoint", &suite.create_id().await);
        suite.assert_challenged_at(Method::GET, &url, None).await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_read_status_of_unknown_stream() {
    play(async |suite: &Suite| {
        let gone = suite.gone().await;
        assert_eq!(suite.status(&gone).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_update_stream_with_invalid_token() {
    play(async |suite: &Suite| {
        let body = suite.wanted(Some(&suite.create_id().await), "x");
        suite.assert_challenged(Method::PATCH, "configuration_endpoint", &body).await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_update_stream_with_invalid_body() {
    play(async |suite: &Suite| {
        suite.create().await;
        assert_eq!(suite.broken(Method::PATCH).await.status, 400);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_update_unknown_stream() {
    play(async |suite: &Suite| {
        let body = suite.wanted(Some(&suite.gone().await), "x");
        assert_eq!(suite.configure(Method::PATCH, &body).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_replace_stream_with_invalid_token() {
    play(async |suite: &Suite| {
        let body = suite.wanted(Some(&suite.create_id().await), "x");
        suite.assert_challenged(Method::PUT, "configuration_endpoint", &body).await;
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_replace_stream_with_invalid_body() {
    play(async |suite: &Suite| {
        suite.create().await;
        assert_eq!(suite.broken(Method::PUT).await.status, 400);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_replace_unknown_stream() {
    play(async |suite: &Suite| {
        let body = suite.wanted(Some(&suite.gone().await), "x");
        assert_eq!(suite.configure(Method::PUT, &body).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_delete_stream_with_invalid_token() {
    play(async |suite: &Suite| {
        let id = suite.create_id().await;
        let url = suite.scene.about("configuration_endpoint", &id);
        suite.assert_challenged_at(Method::DELETE, &url, None).await;
        assert_eq!(suite.read(&id).await.status, 200, "it is still there");
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_control_error_delete_unknown_stream() {
    play(async |suite: &Suite| {
        let gone = suite.gone().await;
        assert_eq!(suite.delete(&gone).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn openid_ssf_stream_subject_control() {
    play(async |suite: &Suite| {
        let stream = suite.create().await;
        let subject = json!({"format": "email", "email": "example.user@example.com"});
        let mut body = json!({"stream_id": stream["stream_id"], "subject": subject, "verified": true});
        let add = suite.scene.endpoint("add_subject_endpoint");
        suite.scene.call(Method::POST, &add, &suite.token, Some(&body)).await.assert_empty(200);
        body.as_object_mut().unwrap().remove("verified");
        let remove = suite.scene.endpoint("remove_subject_endpoint");
        suite.scene.call(Method::POST, &remove, &suite.token, Some(&body)).await.assert_empty(204);
        suite.delete(text(&stream, "stream_id")).await.assert_empty(204);
    })
    .await;
}
