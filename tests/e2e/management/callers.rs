//! Who may call the management API, with which token, and what anybody else is told.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{Idp, Party, Reply};
use ssf_transmitter::admin::NewClient;
use ssf_transmitter::client::Authentication;

use super::{FORM, basic, form, token};

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
