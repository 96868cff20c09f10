//! Authorization (CAEP interop §2.7, RFC 6750, RFC 6749).

use std::time::Duration;

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::Party;
use ssf_transmitter::admin::NewClient;
use ssf_transmitter::client::Authentication;

use super::{Answer, Scene, text};

// CAEP interop §2.7.2, RFC 6750 §2.1: a bearer token in the header only; one in the query is refused (MUST NOT)
#[tokio::test]
async fn a_token_in_the_query_or_in_the_body_is_not_accepted() {
    let scene = Scene::start().await;
    let at = scene.endpoint("configuration_endpoint");
    let in_query = format!("{at}?access_token={}", scene.rp.token);
    scene.send(Method::GET, &in_query, &[], "").await.assert_refused(400, "invalid_request");
    let both = scene.get(&in_query).await;
    both.assert_refused(400, "invalid_request");
    assert!(both.header("www-authenticate").contains("error=\"invalid_request\""), "{both}");
    let in_body = json!({"access_token": scene.rp.token}).to_string();
    scene.send(Method::POST, &at, &[], in_body).await.assert_refused(401, "invalid_token");
    for (header, good) in
        [(format!("bearer {}", scene.rp.token), true), (scene.rp.token.clone(), false), (basic(&scene.rp), false)]
    {
        let answer = scene.send(Method::GET, &at, &[("authorization", &header)], "").await;
        assert_eq!(answer.status, if good { 200 } else { 401 }, "{answer}");
    }
}

// CAEP interop §2.7.1, RFC 6749 §4.4, §5.1: client credentials give a token of at most 60 minutes, not to be stored (MUST)
#[tokio::test]
async fn client_credentials_give_a_short_lived_token() {
    let scene = Scene::start().await;
    let server = scene.document("oauth-authorization-server").await.json();
    let basic = basic(&scene.rp);
    let by_header = [("content-type", FORM), ("authorization", basic.as_str())];
    // a client has one method (RFC 7591 §2): this one shows its secret in the body
    let new = NewClient { authentication: Authentication::SecretPost, ..NewClient::receiver("post", "post") };
    let post = scene.idp.add_client(new).await;
    let (id, secret) = (&post.client_id, &post.secret);
    let in_body = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let url = text(&server, "token_endpoint");
    for answer in [
        scene.send(Method::POST, url, &by_header, "grant_type=client_credentials").await,
        scene.send(Method::POST, url, &by_header[..1], in_body).await,
    ] {
        let token = answer.assert_json(200);
        assert!(text(&token, "token_type").eq_ignore_ascii_case("bearer"));
        assert!((1..=3_600).contains(&token["expires_in"].as_u64().unwrap()), "{token}");
        let bearer = text(&token, "access_token");
        let at = scene.endpoint("configuration_endpoint");
        assert_eq!(scene.call(Method::GET, &at, bearer, None).await.status, 200);
    }
}

// RFC 6750 §3.1 `invalid_token`: also for one whose time is over (MUST)
#[tokio::test]
async fn a_token_ends_when_it_said_it_would() {
    let scene = Scene::start().await;
    let token = grant(&scene, "grant_type=client_credentials").await.assert_json(200);
    let at = scene.endpoint("configuration_endpoint");
    scene.idp.advance(Duration::from_secs(token["expires_in"].as_u64().unwrap() - 1));
    assert_eq!(scene.call(Method::GET, &at, text(&token, "access_token"), None).await.status, 200);
    scene.idp.advance(Duration::from_secs(1));
    let over = scene.call(Method::GET, &at, text(&token, "access_token"), None).await;
    over.assert_refused(401, "invalid_token");
    assert!(over.header("www-authenticate").contains("error=\"invalid_token\""), "{over}");
}

// RFC 6749 §5.2: what the token endpoint refuses, by its codes (MUST); a failed client 401 with a challenge
#[tokio::test]
async fn the_token_endpoint_refuses_by_the_codes_of_oauth() {
    let scene = Scene::start().await;
    for (body, code) in [
        ("", "invalid_request"),
        ("scope=ssf.read", "invalid_request"),
        ("grant_type=password", "unsupported_grant_type"),
        ("grant_type=client_credentials&scope=ssf.emit", "invalid_scope"),
        ("grant_type=client_credentials&scope=openid", "invalid_scope"),
    ] {
        grant(&scene, body).await.assert_refused(400, code);
    }
    let server = scene.document("oauth-authorization-server").await.json();
    let url = text(&server, "token_endpoint");
    for header in [basic(&Party { secret: "wrong".into(), ..scene.rp.clone() }), "Basic !".into(), "Basic".into()] {
        let headers = [("content-type", FORM), ("authorization", header.as_str())];
        let refused = scene.send(Method::POST, url, &headers, "grant_type=client_credentials").await;
        refused.assert_refused(401, "invalid_client");
        assert!(refused.header("www-authenticate").starts_with("Basic"), "{refused}");
    }
}

// CAEP interop §2.7.3: `ssf.read` suffices for reads, `ssf.manage` for everything (MUST)
#[tokio::test]
async fn read_suffices_to_read_and_manage_for_everything() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let id = text(&stream, "stream_id");
    let scoped = |scope: &str| format!("grant_type=client_credentials&scope={scope}");
    let read = grant(&scene, &scoped("ssf.read")).await.assert_json(200);
    let manage = grant(&scene, &scoped("ssf.manage")).await.assert_json(200);
    assert_eq!((&read["scope"], &manage["scope"]), (&json!("ssf.read"), &json!("ssf.manage")));
    let reads = [
        (Method::GET, scene.endpoint("configuration_endpoint"), None),
        (Method::GET, scene.about("configuration_endpoint", id), None),
        (Method::GET, scene.about("status_endpoint", id), None),
        (Method::POST, text(&stream["delivery"], "endpoint_url").to_owned(), Some(json!({"returnImmediately": true}))),
    ];
    let change = json!({"stream_id": id});
    let subject = json!({"stream_id": id, "subject": {"format": "opaque", "id": "s"}});
    let changes = [
        (Method::POST, scene.endpoint("configuration_endpoint"), Some(json!({}))),
        (Method::PATCH, scene.endpoint("configuration_endpoint"), Some(change.clone())),
        (Method::PUT, scene.endpoint("configuration_endpoint"), Some(change.clone())),
        (Method::POST, scene.endpoint("verification_endpoint"), Some(change)),
        (Method::POST, scene.endpoint("status_endpoint"), Some(json!({"stream_id": id, "status": "paused"}))),
        (Method::POST, scene.endpoint("add_subject_endpoint"), Some(subject.clone())),
        (Method::POST, scene.endpoint("remove_subject_endpoint"), Some(subject)),
        (Method::DELETE, scene.about("configuration_endpoint", id), None),
    ];
    for (verb, url, body) in &reads {
        for token in [&read, &manage] {
            let answer = scene.call(verb.clone(), url, text(token, "access_token"), body.as_ref()).await;
            assert_eq!(answer.status, 200, "{verb} {url}: {answer}");
        }
    }
    for (verb, url, body) in &changes {
        let refused = scene.call(verb.clone(), url, text(&read, "access_token"), body.as_ref()).await;
        refused.assert_refused(403, "insufficient_scope");
        let challenge = refused.header("www-authenticate");
        assert!(challenge.starts_with("Bearer ") && challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        assert!(challenge.contains("scope=\"ssf.manage\""), "{challenge}");
        let done = scene.call(verb.clone(), url, text(&manage, "access_token"), body.as_ref()).await;
        assert!(done.status < 300, "{verb} {url}: {done}");
    }
}

// RFC 6750 §3, §3.1: every 401 has a challenge; without a credential it names no error (SHOULD NOT)
#[tokio::test]
async fn a_challenge_names_an_error_only_if_there_was_a_credential() {
    let scene = Scene::start().await;
    for (verb, url) in everything(&scene).await {
        let without = scene.send(verb.clone(), &url, &[], "").await;
        without.assert_refused(401, "invalid_token");
        let challenge = without.header("www-authenticate");
        assert!(challenge.starts_with("Bearer") && !challenge.contains("error="), "{verb} {url}: {challenge}");
        let with = scene.call(verb.clone(), &url, "wrong", None).await;
        with.assert_refused(401, "invalid_token");
        let challenge = with.header("www-authenticate");
        assert!(
            challenge.starts_with("Bearer ") && challenge.contains("error=\"invalid_token\""),
            "{verb} {url}: {challenge}"
        );
        for challenge in [without.header("www-authenticate"), challenge] {
            // RFC 9728 §5.1
            let named = challenge.split("resource_metadata=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            assert_eq!(named, format!("{}/.well-known/oauth-protected-resource", scene.origin()));
        }
    }
}

// Ours, after CAEP interop §2.7.2: the credential is checked before the body and before existence
#[tokio::test]
async fn a_bad_credential_is_401_whatever_else_is_wrong() {
    let scene = Scene::start().await;
    for (verb, url) in everything(&scene).await {
        let url = url.replace("stream_id=", "stream_id=unknown&stream_id=");
        for body in ["{\"stream_id\": ", "\0", "[]"] {
            let headers = [("authorization", "Bearer wrong"), ("content-type", "text/plain")];
            let answer = scene.send(verb.clone(), &url, &headers, body).await;
            assert_eq!(answer.status, 401, "{verb} {url} {body:?}: {answer}");
        }
    }
    let body = json!({"stream_id": "018f0000-0000-4000-8000-000000000000"});
    let at = scene.endpoint("configuration_endpoint");
    scene.call(Method::PATCH, &at, &scene.producer.token, Some(&body)).await.assert_refused(403, "insufficient_scope");
}

// Ours, after SSF 1.0 §8.1.1.2: a stream of another receiver is 404, exactly like one that does not exist
#[tokio::test]
async fn another_receivers_stream_is_like_none() {
    let scene = Scene::start().await;
    let stream = scene.create_poll(&["session-revoked"]).await;
    let stranger = scene.idp.add_receiver("stranger").await;
    let theirs = asked_about(&scene, &stranger, text(&stream, "stream_id")).await;
    let none = asked_about(&scene, &stranger, "018f0000-0000-4000-8000-000000000000").await;
    for (theirs, none) in theirs.iter().zip(&none) {
        theirs.assert_refused(404, "not_found");
        let seen = |answer: &Answer| (answer.status, answer.bytes.clone(), header_names(answer));
        assert_eq!(seen(theirs), seen(none));
    }
    assert_eq!(scene.read(text(&stream, "stream_id")).await.json(), stream, "and nothing happened to it");
}

// CAEP interop §2.7, ours: the credential fixes the receiver, its `aud` and its streams
#[tokio::test]
async fn a_credential_sees_its_own_streams_and_audience_only() {
    let scene = Scene::start().await;
    let mine = scene.create(&json!({})).await;
    let new = NewClient { with_token: true, ..NewClient::receiver("other", "https://other.example") };
    let other = scene.idp.add_client(new).await;
    let at = scene.endpoint("configuration_endpoint");
    assert_eq!(scene.call(Method::GET, &at, &other.token, None).await.assert_json(200), json!([]));
    let theirs = scene.call(Method::POST, &at, &other.token, Some(&json!({}))).await.assert_json(201);
    assert_eq!((&mine["aud"], &theirs["aud"]), (&json!("https://rp.example"), &json!("https://other.example")));
    assert_eq!(scene.get(&at).await.assert_json(200), json!([mine]));
    let issued = grant(&scene, "grant_type=client_credentials").await.assert_json(200);
    let by_token = scene.call(Method::GET, &at, text(&issued, "access_token"), None).await.assert_json(200);
    assert_eq!(by_token, json!([mine]), "a static and an issued token are the same receiver");
}

// RFC 8414 §2, §3 of the built-in server (CAEP interop §2.7.1)
#[tokio::test]
async fn the_authorization_server_describes_itself() {
    let scene = Scene::start().await;
    let answer = scene.document("oauth-authorization-server").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let server = answer.json();
    assert_eq!(server["issuer"], scene.metadata["issuer"]);
    assert!(text(&server, "token_endpoint").starts_with(scene.origin()));
    let has = |member: &str, value: &str| server[member].as_array().unwrap().contains(&json!(value));
    assert!(has("grant_types_supported", "client_credentials"));
    for method in ["client_secret_basic", "client_secret_post"] {
        assert!(has("token_endpoint_auth_methods_supported", method), "{method}");
    }
    for scope in ["ssf.read", "ssf.manage"] {
        assert!(has("scopes_supported", scope), "{scope}");
    }
}

// RFC 9728 §2, §3 (CAEP interop §2.7): whose tokens are good here, and how they are sent
#[tokio::test]
async fn the_protected_resource_describes_itself() {
    let scene = Scene::start().await;
    let answer = scene.document("oauth-protected-resource").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let resource = answer.json();
    assert_eq!(resource["resource"], scene.metadata["issuer"]);
    assert_eq!(resource["bearer_methods_supported"], json!(["header"]));
    let server = scene.document("oauth-authorization-server").await.json();
    assert!(resource["authorization_servers"].as_array().unwrap().contains(&server["issuer"]));
    for scope in ["ssf.read", "ssf.manage"] {
        assert!(resource["scopes_supported"].as_array().unwrap().contains(&json!(scope)), "{scope}");
    }
}

/// Every request of a receiver's that needs a credential.
async fn everything(scene: &Scene) -> Vec<(Method, String)> {
    let stream = scene.create_poll(&["session-revoked"]).await;
    let id = text(&stream, "stream_id");
    let configuration = scene.endpoint("configuration_endpoint");
    let mut all = vec![
        (Method::POST, configuration.clone()),
        (Method::GET, configuration.clone()),
        (Method::GET, scene.about("configuration_endpoint", id)),
        (Method::PATCH, configuration.clone()),
        (Method::PUT, configuration),
        (Method::DELETE, scene.about("configuration_endpoint", id)),
        (Method::GET, scene.about("status_endpoint", id)),
        (Method::POST, scene.endpoint("status_endpoint")),
        (Method::POST, scene.endpoint("verification_endpoint")),
        (Method::POST, text(&stream["delivery"], "endpoint_url").to_owned()),
    ];
    for member in ["add_subject_endpoint", "remove_subject_endpoint"] {
        all.extend(scene.metadata[member].as_str().map(|url| (Method::POST, url.to_owned())));
    }
    all
}

/// Everything that can be asked about a stream, as this receiver.
async fn asked_about(scene: &Scene, rp: &Party, id: &str) -> Vec<Answer> {
    let of = json!({"stream_id": id});
    let configuration = scene.endpoint("configuration_endpoint");
    let poll = format!("{}/ssf/poll/{id}", scene.origin());
    let subject = json!({"stream_id": id, "subject": {"format": "opaque", "id": "s"}});
    let calls: [(Method, String, Option<Value>); 10] = [
        (Method::GET, scene.about("configuration_endpoint", id), None),
        (Method::PATCH, configuration.clone(), Some(of.clone())),
        (Method::PUT, configuration, Some(of.clone())),
        (Method::DELETE, scene.about("configuration_endpoint", id), None),
        (Method::GET, scene.about("status_endpoint", id), None),
        (Method::POST, scene.endpoint("verification_endpoint"), Some(of)),
        (Method::POST, scene.endpoint("status_endpoint"), Some(json!({"stream_id": id, "status": "disabled"}))),
        (Method::POST, scene.endpoint("add_subject_endpoint"), Some(subject.clone())),
        (Method::POST, scene.endpoint("remove_subject_endpoint"), Some(subject)),
        (Method::POST, poll, Some(json!({"returnImmediately": true}))),
    ];
    let mut answers = Vec::new();
    for (verb, url, body) in calls {
        answers.push(scene.call(verb, &url, &rp.token, body.as_ref()).await);
    }
    answers
}

fn header_names(answer: &Answer) -> Vec<String> {
    let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort();
    names
}

/// Asks for a token with the secret in the header.
async fn grant(scene: &Scene, form: &str) -> Answer {
    let server = scene.document("oauth-authorization-server").await.json();
    let basic = basic(&scene.rp);
    let headers = [("content-type", FORM), ("authorization", basic.as_str())];
    scene.send(Method::POST, text(&server, "token_endpoint"), &headers, form.to_owned()).await
}

fn basic(party: &Party) -> String {
    let pair = format!("{}:{}", party.client_id, party.secret);
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
}

const FORM: &str = "application/x-www-form-urlencoded";
