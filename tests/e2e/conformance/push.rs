//! Push delivery (RFC 8935, SSF 1.0 §6.1.1).

use std::time::Duration;

use serde_json::json;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, uris};
use ssf_harness::sink::{Answer, Sink};
use ssf_transmitter::admin::NewClient;

use super::{PUSH, Scene, text};

// RFC 8935 §2.1: POST, the compact SET, `Content-Type: application/secevent+jwt`, `Accept: application/json` (MUST)
#[tokio::test]
async fn a_push_is_a_post_of_the_compact_set() {
    let (scene, sink) = pushing().await;
    scene.idp.revoke(&scene.producer, "s").await;
    scene.idp.drain().await;
    let [request] = sink.requests().try_into().unwrap();
    assert_eq!(request.header("content-type"), Some("application/secevent+jwt"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("content-length"), Some(request.set.len().to_string().as_str()));
    assert_eq!(request.set.split('.').count(), 3);
    scene.idp.verify(&request.set, &scene.rp).await;
}

// RFC 8935 §2.2: 202 is accepted (MUST); 200 and 204 too (SHOULD, ours)
#[tokio::test]
async fn every_kind_of_acceptance_ends_the_delivery() {
    let (scene, sink) = pushing().await;
    sink.next([Answer::status(202), Answer::status(200), Answer::status(204)]);
    let mut events = Vec::new();
    for session in ["a", "b", "c"] {
        events.push(scene.idp.revoke(&scene.producer, session).await);
    }
    scene.idp.drain().await;
    scene.idp.advance(Duration::from_mins(1));
    scene.idp.drain().await;
    assert_eq!(sink.requests().len(), 3, "none is sent twice");
    for event in events {
        assert_eq!(scene.idp.progress(&scene.producer, &event).await["delivered"], 1);
    }
}

// RFC 8935 §2.3, §2.4, SSF 1.0 §8.1.4.1: an error of the SET ends its delivery with its code; the stream goes on
#[tokio::test]
async fn a_set_that_is_refused_is_not_sent_again_and_holds_up_no_other() {
    let (scene, sink) = pushing().await;
    for code in ["invalid_request", "invalid_state", "something_new"] {
        let before = sink.requests().len();
        sink.next([Answer::refusal(code)]);
        let refused = scene.idp.revoke(&scene.producer, "s").await;
        let next = scene.idp.revoke(&scene.producer, "s").await;
        scene.idp.drain().await;
        assert_eq!(sink.requests().len(), before + 2, "{code}");
        assert_eq!(scene.idp.progress(&scene.producer, &refused).await["refused"], 1, "{code}");
        assert_eq!(scene.idp.progress(&scene.producer, &next).await["delivered"], 1, "{code}");
    }
}

// RFC 8935 §2.3, ours: an error that cannot even be kept harms nobody whose answer is settled with it
#[tokio::test]
async fn a_receiver_that_answers_what_cannot_be_kept_harms_no_other() {
    let (scene, sink) = pushing().await;
    let hostile = Sink::start().await;
    scene.create_push(&hostile.url, &["session-revoked"]).await;
    hostile.script(|_| Answer::status(400).saying(r#"{"err": "a\u0000\u0007b", "description": "\u0000\ud83d\ude00"}"#));
    let events = [scene.idp.revoke(&scene.producer, "a").await, scene.idp.revoke(&scene.producer, "b").await];
    // all answers arrive together and are settled in one statement
    for sink in [&sink, &hostile] {
        sink.hold();
    }
    scene.idp.fan_out().await;
    scene.idp.transmitter.push.tick().await.unwrap();
    sink.arrivals(2).await;
    hostile.arrivals(2).await;
    for sink in [&sink, &hostile] {
        sink.release();
    }
    scene.idp.drain().await;
    for event in &events {
        let progress = scene.idp.progress(&scene.producer, event).await;
        assert_eq!((&progress["delivered"], &progress["refused"]), (&json!(1), &json!(1)), "{progress}");
    }
    scene.idp.advance(Duration::from_mins(1));
    scene.idp.drain().await;
    assert_eq!((sink.requests().len(), hostile.requests().len()), (2, 2), "nothing is sent twice");
}

// RFC 8935 §2.3, §2.4: trouble of the stream (its credential, our key, issuer or audience) keeps the SET, which comes
// again unchanged (SHOULD)
#[tokio::test]
async fn a_set_that_meets_trouble_of_the_stream_is_kept_and_sent_again_unchanged() {
    let troubles = ["invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed", "access_denied"];
    let answers = troubles.map(Answer::refusal).into_iter();
    let statuses = [301, 302, 307, 308, 400, 401, 403, 404, 429, 500, 503].map(Answer::status);
    for answer in answers.chain(statuses) {
        let (scene, sink) = pushing().await;
        sink.next([answer.clone()]);
        let event = scene.idp.revoke(&scene.producer, "s").await;
        scene.idp.drain().await;
        assert_eq!(scene.idp.progress(&scene.producer, &event).await["pending"], 1, "{answer:?}");
        scene.idp.advance(Duration::from_secs(10));
        scene.idp.drain().await;
        let [first, again] = sink.requests().try_into().unwrap();
        assert_eq!(first.claims(), again.claims(), "{answer:?}");
        assert_eq!(scene.idp.progress(&scene.producer, &event).await["delivered"], 1, "{answer:?}");
    }
}

// RFC 8935 §2.2, ours: a redirect is not followed
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (scene, sink) = pushing().await;
    let elsewhere = Sink::start().await;
    for status in [301, 302, 303, 307, 308] {
        let before = sink.requests().len();
        sink.next([Answer::status(status).with("location", &elsewhere.url)]);
        let event = scene.idp.revoke(&scene.producer, "s").await;
        scene.idp.drain().await;
        assert_eq!(sink.requests().len(), before + 1, "it was told to go elsewhere");
        assert_eq!(scene.idp.progress(&scene.producer, &event).await["pending"], 1, "{status}");
        scene.idp.advance(Duration::from_secs(10));
        scene.idp.drain().await;
        assert_eq!(sink.requests().len(), before + 2, "and came again");
        assert_eq!(scene.idp.progress(&scene.producer, &event).await["delivered"], 1, "{status}");
    }
    assert_eq!(elsewhere.requests().len(), 0);
}

// RFC 8935 §3, SSF 1.0 §6.1.1: the stream's `Authorization` verbatim if it has one, none if it has none (MUST)
#[tokio::test]
async fn a_push_carries_the_streams_authorization_or_none() {
    let (scene, sink) = pushing().await;
    let delivery = json!({"method": PUSH, "endpoint_url": sink.url, "authorization_header": "Bearer push-token"});
    scene.create(&json!({"delivery": delivery, "events_requested": uris(&["account-disabled"])})).await;
    scene.idp.revoke(&scene.producer, "s").await;
    let disabled = json!({"type": "account-disabled", "subject": {"format": "opaque", "id": "s"}});
    scene.idp.emit(&scene.producer, &disabled).await;
    scene.idp.drain().await;
    let mut seen: Vec<_> = sink.requests().iter().map(|r| r.header("authorization").map(ToOwned::to_owned)).collect();
    seen.sort();
    assert_eq!(seen, [None, Some("Bearer push-token".to_owned())]);
}

// SSF 1.0 §6.1.1, ours: what is not https, or leads inward, is refused at registration unless explicitly allowed
#[tokio::test]
async fn an_address_that_leads_inward_is_refused_at_registration() {
    let idp = Idp::start_with(&[("issuer.url", "https://idp.example")]).await;
    let rp = idp.add_client(NewClient { with_token: true, ..NewClient::receiver("rp", "rp") }).await;
    let bearer = format!("Bearer {}", rp.token);
    let headers = [("host", "idp.example"), ("authorization", bearer.as_str())];
    for endpoint in [
        "http://rp.example/push",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.0.0.1/",
        "https://0.0.0.0/",
        "https://10.1.2.3/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::]/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/",
    ] {
        let body = json!({"delivery": {"method": PUSH, "endpoint_url": endpoint}}).to_string();
        let reply = idp.send(http::Method::POST, "/ssf/streams", &headers, body).await;
        let said = reply.text("error_description");
        assert!(reply.status == 400 && said.contains("endpoint_url"), "{endpoint}: {} {said}", reply.status);
    }
}

// RFC 8935 §4, ours: a receiver that is away gets every SET when it is back, in order per subject
#[tokio::test]
async fn a_receiver_that_was_away_gets_everything_in_order() {
    let (scene, sink) = pushing().await;
    sink.script(|_| Answer::status(503));
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(scene.idp.revoke(&scene.producer, "s").await);
        scene.idp.drain().await;
        scene.idp.advance(Duration::from_secs(10));
    }
    let attempts = sink.requests().len();
    sink.script(|_| Answer::status(202));
    scene.idp.drain().await;
    let txns: Vec<String> =
        sink.requests()[attempts..].iter().map(|request| text(&request.claims(), "txn").to_owned()).collect();
    assert_eq!(txns, expected);
}

async fn pushing() -> (Scene, Sink) {
    let (scene, sink) = (Scene::start().await, Sink::start().await);
    scene.create_push(&sink.url, &["session-revoked"]).await;
    (scene, sink)
}
