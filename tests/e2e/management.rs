//! Stories about the management API: what anybody may read, who may call, and a stream's life (SSF 1.0 §7, §8.1).

use std::time::Duration;

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};
use sqlx::Row as _;
use ssf_harness::idp::{Idp, Party, Reply, uris};
use ssf_harness::sink::Sink;
use ssf_transmitter::admin::NewClient;
use ssf_transmitter::client::{Authentication, Scopes};

#[tokio::test]
async fn the_metadata_say_what_a_receiver_needs_and_nothing_that_is_not_there() {
    let idp = Idp::start().await;
    let reply = idp.send(Method::GET, "/.well-known/ssf-configuration", &[("accept", "text/html")], "").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    let text = reply.body.to_string().replace(idp.issuer.as_str(), "ISSUER");
    let shown: Value = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "spec_version": "1_0",
        "issuer": "ISSUER",
        "jwks_uri": "ISSUER/jwks.json",
        "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
        "configuration_endpoint": "ISSUER/ssf/streams",
        "status_endpoint": "ISSUER/ssf/status",
        "add_subject_endpoint": "ISSUER/ssf/subjects/add",
        "remove_subject_endpoint": "ISSUER/ssf/subjects/remove",
        "verification_endpoint": "ISSUER/ssf/verify",
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
        "default_subjects": "ALL",
    });
    assert_eq!(shown, expected);
    let old = idp.send(Method::GET, "/.well-known/risc-configuration", &[], "").await;
    assert_eq!(old.body, reply.body);
    let oauth = idp.send(Method::GET, "/.well-known/oauth-authorization-server", &[], "").await;
    assert_eq!(oauth.text("token_endpoint"), format!("{}/oauth2/token", idp.issuer));
}

#[tokio::test]
async fn an_issuer_with_a_path_has_its_metadata_between_host_and_path() {
    let at_root = Idp::start().await;
    let issuer = format!("{}/tenant/one", at_root.issuer);
    let idp = Idp::start_with(&[("issuer.url", &issuer)]).await;
    let reply = idp.send(Method::GET, "/.well-known/ssf-configuration/tenant/one", &[], "").await;
    assert_eq!((reply.status, reply.text("issuer")), (200, issuer.as_str()));
    let jwks_path = reply.text("jwks_uri").strip_prefix(at_root.issuer.as_str()).unwrap().to_owned();
    assert_eq!(jwks_path, "/tenant/one/jwks.json");
    assert_eq!(idp.send(Method::GET, &jwks_path, &[], "").await.status, 200);
    assert_eq!(at_root.send(Method::GET, "/.well-known/ssf-configuration/tenant/one", &[], "").await.status, 404);
}

#[tokio::test]
async fn the_key_set_is_public_and_holds_public_members_only() {
    for algorithm in ["RS256", "ES256", "PS256", "EdDSA"] {
        let idp = Idp::start_with(&[("issuer.algorithm", algorithm)]).await;
        let served = idp.send(Method::GET, "/jwks.json", &[], "").await;
        let [key] = served.body["keys"].as_array().unwrap().as_slice() else { panic!("{}", served.body) };
        assert_eq!((key["alg"].as_str(), key["use"].as_str()), (Some(algorithm), Some("sig")));
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "{algorithm} shows {private}");
        }
    }
}

#[tokio::test]
async fn a_bad_credential_is_401_whatever_else_is_wrong() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    let calls = [
        (Method::POST, "/ssf/streams".to_owned()),
        (Method::PATCH, "/ssf/streams".to_owned()),
        (Method::PUT, "/ssf/streams".to_owned()),
        (Method::GET, "/ssf/streams?stream_id=none".to_owned()),
        (Method::GET, format!("/ssf/streams?stream_id={stream}")),
        (Method::DELETE, "/ssf/streams".to_owned()),
        (Method::GET, "/ssf/status?stream_id=none".to_owned()),
        (Method::POST, "/ssf/subjects/add".to_owned()),
        (Method::POST, "/ssf/subjects/remove".to_owned()),
        (Method::POST, "/ssf/verify".to_owned()),
        (Method::POST, "/ssf/poll/none".to_owned()),
        (Method::POST, "/events".to_owned()),
        (Method::GET, "/events/none".to_owned()),
        (Method::GET, "/latency?since=garbage".to_owned()),
    ];
    for (verb, path) in calls {
        let metadata = format!("resource_metadata=\"{}/.well-known/oauth-protected-resource\"", idp.issuer);
        let (bad, none) = (format!("Bearer error=\"invalid_token\", {metadata}"), format!("Bearer {metadata}"));
        for (header, challenge) in [("Bearer wrong", &bad), ("Basic cnA6cnA=", &none), ("Bearer ", &none)] {
            let reply = idp.send(verb.clone(), &path, &[("authorization", header)], "{ garbage \0").await;
            let said = (reply.status, reply.header("www-authenticate"), reply.header("cache-control"));
            assert_eq!(said, (401, challenge.as_str(), "no-store"), "{verb} {path} with {header}");
        }
        assert_eq!(idp.send(verb.clone(), &path, &[], "{ garbage").await.status, 401, "{verb} {path}");
    }
}

#[tokio::test]
async fn a_token_may_stand_in_the_header_only() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let in_query = format!("/ssf/streams?access_token={}", rp.token);
    assert_eq!(idp.send(Method::GET, &in_query, &[], "").await.status, 400);
    assert_eq!(idp.get(&in_query, &rp).await.status, 400);
    let header = format!("Bearer {}", rp.token);
    let twice = [("authorization", header.as_str()), ("authorization", header.as_str())];
    assert_eq!(idp.send(Method::GET, "/ssf/streams", &twice, "").await.status, 400);
    let in_body = format!("access_token={}", rp.token);
    assert_eq!(idp.send(Method::POST, "/ssf/streams", &[], in_body).await.status, 401);
}

#[tokio::test]
async fn a_scope_allows_what_it_covers_and_no_more() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    let read = Party { token: token(&idp, &rp, "ssf.read").await.text("access_token").to_owned(), ..rp.clone() };
    assert_eq!(idp.get(&format!("/ssf/streams?stream_id={stream}"), &read).await.status, 200);
    assert_eq!(idp.get(&format!("/ssf/status?stream_id={stream}"), &read).await.status, 200);
    assert_eq!(idp.poll(&read, &stream, &json!({})).await.status, 200);
    let to_manage = [
        idp.post("/ssf/streams", &read, &json!({})).await,
        idp.call(Method::PATCH, "/ssf/streams", &read.token, Some(&json!({"stream_id": stream}))).await,
        idp.call(Method::PUT, "/ssf/streams", &read.token, Some(&json!({"stream_id": stream}))).await,
        idp.call(Method::DELETE, &format!("/ssf/streams?stream_id={stream}"), &read.token, None).await,
        idp.post("/ssf/verify", &read, &json!({"stream_id": stream})).await,
    ];
    for reply in to_manage {
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"ssf.manage\", resource_metadata=";
        assert!(reply.status == 403 && reply.header("www-authenticate").starts_with(challenge), "{}", reply.status);
    }
    assert_eq!(idp.post("/events", &rp, &json!({})).await.status, 403);
    let producer = idp.add_producer().await;
    assert_eq!(idp.get("/ssf/streams", &producer).await.status, 403);
}

#[tokio::test]
async fn another_receivers_stream_is_not_found_exactly_like_none() {
    let idp = Idp::start().await;
    let (rp, other) = (idp.add_receiver("rp").await, idp.add_receiver("other").await);
    let theirs = idp.poll_stream(&other, &["session-revoked"]).await;
    let unknown = "018f0000-0000-4000-8000-000000000000";
    for stream in [theirs.as_str(), "garbage", "../streams"] {
        assert_eq!(seen(&calls_for(&idp, &rp, stream).await), seen(&calls_for(&idp, &rp, unknown).await), "{stream}");
    }
    assert!(calls_for(&idp, &rp, &theirs).await.iter().all(|reply| reply.status == 404));
    assert_eq!(idp.get("/ssf/streams", &rp).await.body, json!([]));
    assert_eq!(idp.get("/ssf/streams", &other).await.body.as_array().unwrap().len(), 1, "and nothing happened to it");
}

async fn calls_for(idp: &Idp, rp: &Party, stream: &str) -> Vec<Reply> {
    let of = json!({"stream_id": stream});
    vec![
        idp.get(&format!("/ssf/streams?stream_id={stream}"), rp).await,
        idp.get(&format!("/ssf/status?stream_id={stream}"), rp).await,
        idp.call(Method::PATCH, "/ssf/streams", &rp.token, Some(&of)).await,
        idp.call(Method::PUT, "/ssf/streams", &rp.token, Some(&of)).await,
        idp.call(Method::DELETE, &format!("/ssf/streams?stream_id={stream}"), &rp.token, None).await,
        idp.post("/ssf/verify", rp, &of).await,
        idp.post(&format!("/ssf/poll/{}", stream.replace('/', "%2F")), rp, &json!({"returnImmediately": true})).await,
    ]
}

fn seen(replies: &[Reply]) -> Vec<(u16, Value)> {
    replies.iter().map(|reply| (reply.status, reply.body.clone())).collect()
}

#[tokio::test]
async fn the_token_endpoint_knows_its_clients_by_header_and_by_body() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("r p&+%").await;
    let in_header = token(&idp, &rp, "").await;
    assert_eq!((in_header.status, in_header.header("cache-control")), (200, "no-store"));
    assert_eq!((in_header.text("token_type"), in_header.text("scope")), ("Bearer", "ssf.read ssf.manage"));
    assert_eq!(in_header.body["expires_in"], 1_800);
    let new = NewClient { authentication: Authentication::SecretPost, ..NewClient::receiver("other", "other") };
    let other = idp.add_client(new).await;
    let in_body = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", &other.client_id),
        ("client_secret", &other.secret),
        ("scope", "ssf.read ssf.emit openid"),
    ]);
    let in_body = idp.send(Method::POST, "/oauth2/token", &[FORM], in_body).await;
    assert_eq!((in_body.status, in_body.text("scope")), (200, "ssf.read"));
    for reply in [in_header, in_body] {
        let granted = Party { token: reply.text("access_token").to_owned(), ..rp.clone() };
        assert_eq!(idp.get("/ssf/streams", &granted).await.status, 200);
    }
}

#[tokio::test]
async fn what_the_token_endpoint_refuses_it_names() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let removed = idp.add_client(NewClient { with_secret: false, ..NewClient::receiver("no-secret", "aud") }).await;
    for (id, secret) in
        [("rp", "wrong"), ("nobody", "secret"), ("rp", ""), (removed.client_id.as_str(), ""), ("r\0p", "\0")]
    {
        let party = Party { client_id: id.to_owned(), secret: secret.to_owned(), ..rp.clone() };
        let refused = token(&idp, &party, "").await;
        assert_eq!((refused.status, refused.text("error")), (401, "invalid_client"), "{id:?}");
        assert!(refused.header("www-authenticate").starts_with("Basic"));
    }
    let basic = basic(&rp);
    let with = [FORM, ("authorization", basic.as_str())];
    for (body, error) in [
        ("grant_type=password", "unsupported_grant_type"),
        ("grant_type=client_credentials&scope=ssf.emit", "invalid_scope"),
        ("scope=ssf.read", "invalid_request"),
    ] {
        let refused = idp.send(Method::POST, "/oauth2/token", &with, body).await;
        assert_eq!((refused.status, refused.text("error")), (400, error), "{body}");
    }
    let not_a_form = idp.send(Method::POST, "/oauth2/token", &with[1..], "{}").await;
    assert_eq!((not_a_form.status, not_a_form.text("error")), (400, "invalid_request"));
    assert_eq!(idp.send(Method::POST, "/oauth2/token", &[FORM], "grant_type=client_credentials").await.status, 401);
}

#[tokio::test]
async fn an_issued_token_ends_with_its_time_and_a_static_one_with_its_client() {
    let idp = Idp::start_with(&[("tokens.lifetime", "10m")]).await;
    let rp = idp.add_receiver("rp").await;
    let issued = Party { token: token(&idp, &rp, "").await.text("access_token").to_owned(), ..rp.clone() };
    idp.advance(Duration::from_secs(599));
    assert_eq!(idp.get("/ssf/streams", &issued).await.status, 200);
    idp.advance(Duration::from_secs(1));
    assert_eq!(idp.get("/ssf/streams", &issued).await.status, 401);
    idp.advance(Duration::from_hours(24 * 365));
    assert_eq!(idp.get("/ssf/streams", &rp).await.status, 200);
    let env = ssf_common::runtime::Env::system();
    let gone = ssf_transmitter::admin::remove_client(
        &idp.pool,
        &idp.transmitter.issuer,
        &"rp".into(),
        &ssf_transmitter::audit::Actor::Service,
        &env,
    )
    .await;
    assert!(gone.unwrap());
    assert_eq!(idp.get("/ssf/streams", &rp).await.status, 401);
    assert_eq!(token(&idp, &rp, "").await.status, 401);
}

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
        (json!({"events_requested": "session-revoked"}), "the body's members"),
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
async fn no_secret_stands_in_the_database_as_it_is() {
    let idp = Idp::start_with(&[("issuer.algorithm", "RS256")]).await;
    let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    let sink = Sink::start().await;
    let issued = token(&idp, &rp, "").await.text("access_token").to_owned();
    let delivery =
        json!({"method": "urn:ietf:rfc:8935", "endpoint_url": sink.url, "authorization_header": "Bearer push-secret"});
    idp.post("/ssf/streams", &rp, &json!({"delivery": delivery, "events_requested": uris(&["session-revoked"])})).await;
    idp.revoke(&producer, "one").await;
    idp.drain().await;
    assert_eq!(sink.requests()[0].header("authorization"), Some("Bearer push-secret"));
    let secrets = [&rp.secret, &rp.token, &producer.token, &issued, "push-secret", "\"d\"", "\"dp\""];
    let cells = every_cell(&idp).await;
    assert!(cells.iter().any(|(place, _)| place == "event.subject"), "the search looks at everything");
    for (place, bytes) in cells {
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} stands in {place}");
        }
    }
}

/// Every text, JSON and binary value of the schema, with its place.
async fn every_cell(idp: &Idp) -> Vec<(String, Vec<u8>)> {
    let columns = sqlx::query(
        "select table_name::text, column_name::text, data_type::text from information_schema.columns
          where table_schema = current_schema and data_type in ('text', 'character varying', 'jsonb', 'json', 'bytea', 'ARRAY')",
    );
    let mut cells = Vec::new();
    for column in columns.fetch_all(&idp.pool).await.unwrap() {
        let [table, name, kind]: [String; 3] = [0, 1, 2].map(|at| column.get(at));
        let bytes = if kind == "bytea" { name.clone() } else { format!("convert_to({name}::text, 'UTF8')") };
        let query = format!("select {bytes} from {table} where {name} is not null");
        let rows = sqlx::query_scalar::<_, Vec<u8>>(sqlx::AssertSqlSafe(query)).fetch_all(&idp.pool).await.unwrap();
        cells.extend(rows.into_iter().map(|value| (format!("{table}.{name}"), value)));
    }
    cells
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

/// Asks for a token with the secret in the header.
async fn token(idp: &Idp, party: &Party, scope: &str) -> Reply {
    let body = form(&[("grant_type", "client_credentials"), ("scope", scope)]);
    idp.send(Method::POST, "/oauth2/token", &[FORM, ("authorization", &basic(party))], body).await
}

fn basic(party: &Party) -> String {
    let encoded = |text: &str| form(&[("", text)]).split_off(1);
    let pair = format!("{}:{}", encoded(&party.client_id), encoded(&party.secret));
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
