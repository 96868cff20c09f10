//! A stream's life (SSF 1.0 §8.1.1): created, read, changed and deleted by its receiver, and as many as it may have.

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{Idp, Party, Reply, uris};
use ssf_harness::sink::Sink;
use ssf_transmitter::admin::NewClient;
use ssf_transmitter::client::Scopes;

#[tokio::test]
async fn a_created_stream_answers_with_its_whole_configuration() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let wanted = json!({
        "events_requested": [uris(&["session-revoked"])[0], "urn:example:unknown"],
        "description": "all of it",
    });
    let created = idp.post("/ssf/streams", &rp, &wanted).await;
    assert_eq!((created.status, created.header("cache-control")), (201, "no-store"));
    let stream = created.text("stream_id").to_owned();
    let mut shown = created.body.clone();
    assert_eq!(shown["events_supported"].as_array().unwrap().len(), 23);
    assert_eq!(shown["delivery"]["endpoint_url"], format!("{}/ssf/poll/{stream}", idp.issuer));
    for changing in ["stream_id", "iss", "events_supported", "delivery"] {
        shown.as_object_mut().unwrap().remove(changing);
    }
    let expected = json!({
        "aud": "https://rp.example",
        "events_requested": wanted["events_requested"],
        "events_delivered": uris(&["session-revoked"]),
        "min_verification_interval": 10,
        "description": "all of it",
    });
    assert_eq!(shown, expected);
    let again = idp.post("/ssf/streams", &rp, &wanted).await;
    assert_eq!((again.status, again.text("error")), (409, "conflict"));
    let one = idp.get(&format!("/ssf/streams?stream_id={stream}"), &rp).await;
    assert_eq!((one.status, one.header("cache-control"), &one.body), (200, "no-store", &created.body));
    let all = idp.get("/ssf/streams", &rp).await;
    assert_eq!((all.status, all.header("cache-control"), &all.body), (200, "no-store", &json!([created.body])));
    let status = idp.get(&format!("/ssf/status?stream_id={stream}"), &rp).await;
    assert_eq!(
        (status.header("cache-control"), &status.body),
        ("no-store", &json!({"stream_id": stream, "status": "enabled"}))
    );
}

#[tokio::test]
async fn what_cannot_be_a_stream_is_refused_with_the_member_named() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let push = |more: Value| {
        let mut delivery = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": "http://127.0.0.1:9/"});
        delivery.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"delivery": delivery})
    };
    let refused = [
        (json!({"delivery": {"method": "urn:ietf:rfc:1149"}}), "delivery.method"),
        (json!({"delivery": {"method": "urn:ietf:rfc:8935"}}), "delivery.endpoint_url"),
        (push(json!({"endpoint_url": "file:///etc/passwd"})), "delivery.endpoint_url"),
        (push(json!({"authorization_header": "a\r\nb: c"})), "delivery.authorization_header"),
        (json!({"aud": "https://other.example"}), "aud"),
        (json!({"description": "a\0b"}), "description"),
        (json!({"events_requested": ["urn:a\0b"]}), "events_requested"),
        (json!({"events_requested": "session-revoked"}), "the member events_requested"),
    ];
    for (body, start) in refused {
        let reply = idp.post("/ssf/streams", &rp, &body).await;
        let said = reply.text("error_description");
        assert!(reply.status == 400 && said.starts_with(start), "{body}: {} {said}", reply.status);
    }
    let garbage =
        idp.send(Method::POST, "/ssf/streams", &[("authorization", &format!("Bearer {}", rp.token))], "{").await;
    assert_eq!(garbage.status, 400);
    assert_eq!(idp.call(Method::DELETE, "/ssf/streams", &rp.token, None).await.status, 400);
    assert_eq!(idp.get("/ssf/status", &rp).await.status, 400);
    assert_eq!(idp.count("select count(*) from stream").await, 0);
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_a_put_everything() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let stream = idp.push_stream(&rp, "http://127.0.0.1:9/push", &["session-revoked"]).await;
    let patch = |body: Value| patch(&idp, &rp, &stream, Method::PATCH, body);
    let put = |body: Value| self::patch(&idp, &rp, &stream, Method::PUT, body);
    let changed = patch(json!({"description": "one", "events_requested": uris(&["revalidate"])})).await;
    assert_eq!((changed.status, changed.header("cache-control")), (200, "no-store"));
    assert_eq!(changed.body["events_delivered"], json!(uris(&["revalidate"])));
    assert_eq!(changed.body["delivery"]["endpoint_url"], "http://127.0.0.1:9/push");
    let sent_back = patch(changed.body.clone()).await;
    assert_eq!((sent_back.status, &sent_back.body), (200, &changed.body), "a whole configuration may be sent back");
    for (member, other) in [
        ("iss", json!("https://other.example")),
        ("aud", json!("https://other.example")),
        ("events_supported", json!([])),
        ("events_delivered", json!([])),
        ("min_verification_interval", json!(1)),
        ("inactivity_timeout", json!(1)),
    ] {
        for reply in [patch(json!({ member: other })).await, put(json!({ member: other })).await] {
            let said = reply.text("error_description");
            assert!(reply.status == 400 && said.starts_with(member), "{member}: {} {said}", reply.status);
        }
    }
    let replaced = put(json!({"events_requested": uris(&["session-revoked"])})).await;
    assert_eq!(replaced.status, 200);
    assert_eq!(replaced.body.get("description"), None);
    assert_eq!(replaced.body["delivery"]["method"], "urn:ietf:rfc:8936", "no delivery means poll");
    let read = idp.get(&format!("/ssf/streams?stream_id={stream}"), &rp).await;
    assert_eq!(read.body, replaced.body);
}

#[tokio::test]
async fn the_poll_endpoint_is_the_transmitters_to_name() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    let poll = |endpoint: &str| json!({"delivery": {"method": "urn:ietf:rfc:8936", "endpoint_url": endpoint}});
    let own = format!("{}/ssf/poll/{stream}", idp.issuer);
    for verb in [Method::PATCH, Method::PUT] {
        assert_eq!(patch(&idp, &rp, &stream, verb.clone(), poll(&own)).await.status, 200);
        assert_eq!(patch(&idp, &rp, &stream, verb, poll("https://other.example/")).await.status, 400);
    }
}

async fn patch(idp: &Idp, rp: &Party, stream: &str, verb: Method, mut body: Value) -> Reply {
    body["stream_id"] = json!(stream);
    idp.call(verb, "/ssf/streams", &rp.token, Some(&body)).await
}

#[tokio::test]
async fn an_authorization_header_is_never_shown_and_never_follows_to_a_new_address() {
    let idp = Idp::start().await;
    let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    let (first, second) = (Sink::start().await, Sink::start().await);
    let push = |url: &str, header: Option<&str>| {
        let mut delivery = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": url});
        if let Some(header) = header {
            delivery["authorization_header"] = json!(header);
        }
        json!({"delivery": delivery, "events_requested": uris(&["session-revoked"])})
    };
    let created = idp.post("/ssf/streams", &rp, &push(&first.url, Some("Bearer push-secret"))).await;
    let stream = created.text("stream_id").to_owned();
    let read = idp.get(&format!("/ssf/streams?stream_id={stream}"), &rp).await;
    let described = patch(&idp, &rp, &stream, Method::PATCH, json!({"description": "x"})).await;
    for reply in [&created, &read, &described] {
        assert!(reply.status < 300 && !reply.body.to_string().contains("push-secret"), "{}", reply.body);
    }
    idp.revoke(&producer, "one").await;
    idp.drain().await;
    assert_eq!(first.requests()[0].header("authorization"), Some("Bearer push-secret"), "a PATCH elsewhere keeps it");
    patch(&idp, &rp, &stream, Method::PATCH, push(&second.url, None)).await;
    idp.revoke(&producer, "two").await;
    idp.drain().await;
    assert_eq!(second.requests()[0].header("authorization"), None);
    patch(&idp, &rp, &stream, Method::PUT, push(&first.url, Some("Custom  words: as they are"))).await;
    idp.revoke(&producer, "three").await;
    idp.drain().await;
    assert_eq!(first.requests()[1].header("authorization"), Some("Custom  words: as they are"));
}

#[tokio::test]
async fn a_stream_can_be_deleted_in_any_status_and_is_gone() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    for status in ["enabled", "paused", "disabled"] {
        let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
        sqlx::query("update stream set status = $1").bind(status).execute(&idp.pool).await.unwrap();
        let at = format!("/ssf/streams?stream_id={stream}");
        assert_eq!(idp.get(&format!("/ssf/status?stream_id={stream}"), &rp).await.text("status"), status);
        let gone = idp.call(Method::DELETE, &at, &rp.token, None).await;
        assert_eq!((gone.status, gone.header("cache-control"), &gone.body), (204, "no-store", &Value::Null));
        assert_eq!(idp.call(Method::DELETE, &at, &rp.token, None).await.status, 404);
        assert_eq!(idp.get("/ssf/streams", &rp).await.body, json!([]));
    }
}

#[tokio::test]
async fn a_client_sees_only_the_types_it_is_offered() {
    let idp = Idp::start().await;
    let offered = Some(uris(&["revalidate"]));
    let new = NewClient { events_supported: offered.clone(), with_token: true, ..NewClient::receiver("rp", "rp") };
    let rp = idp.add_client(NewClient { scopes: Scopes::from_words(["ssf.manage"]), ..new }).await;
    let wanted = json!({"events_requested": uris(&["revalidate", "session-revoked"])});
    let created = idp.post("/ssf/streams", &rp, &wanted).await;
    assert_eq!(created.body["events_supported"], json!(offered));
    assert_eq!(created.body["events_delivered"], json!(offered));
}

#[tokio::test]
async fn as_many_streams_as_allowed_and_not_one_more_however_they_are_asked_for() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let body = json!({});
    let create = || idp.post("/ssf/streams", &rp, &body);
    let replies = tokio::join!(create(), create(), create(), create(), create(), create());
    let statuses = [replies.0, replies.1, replies.2, replies.3, replies.4, replies.5].map(|reply| reply.status);
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(idp.count("select count(*) from stream").await, 1);
}
