//! Stories about the admin API: who may use it, and that every change is written down. `registrations` is about what it
//! changes, `views` about what it shows.

mod registrations;
mod views;

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Env;
use ssf_harness::document::operations;
use ssf_harness::idp::{Idp, Party, Reply};
use ssf_harness::sink::{Answer, Sink};
use ssf_transmitter::admin::{self, NewClient};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::client::Scopes;

const ADMIN: &str = "/admin/v1";

/// An administrator of the one issuer, who operates nothing else.
async fn administrator(idp: &Idp) -> Party {
    let scopes = Scopes::from_words(["ssf.admin"]);
    idp.add_client(NewClient { scopes, ..NewClient::producer("administrator") }).await
}

async fn get(idp: &Idp, path: &str, party: &Party) -> Value {
    let reply = idp.get(&format!("{ADMIN}{path}"), party).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    assert_eq!(reply.header("cache-control"), "no-store");
    reply.body
}

async fn ask(idp: &Idp, verb: Method, path: &str, party: &Party, body: &Value) -> Reply {
    idp.call(verb, &format!("{ADMIN}{path}"), &party.token, Some(body)).await
}

/// Another issuer below the first, with a producer, a receiver on push, and an administrator of its own.
async fn blue(idp: &Idp, operator: &Party) -> (String, Party, String) {
    let url = format!("{}/tenants/blue", idp.issuer);
    let added = ask(idp, Method::POST, "/issuers", operator, &json!({"url": url, "algorithm": "ES256"})).await;
    assert_eq!(added.status, 201, "{}", added.body);
    let env = Env { clock: Arc::<ssf_common::clock::ManualClock>::clone(&idp.clock), random: Arc::new(SystemRandom) };
    let issuer = admin::find_issuer(&idp.pool, &url.as_str().into()).await.unwrap().unwrap();
    let new = NewClient {
        scopes: Scopes::from_words(["ssf.admin", "ssf.manage", "ssf.emit"]),
        with_token: true,
        ..NewClient::receiver("blue", "blue")
    };
    let credentials = admin::add_client(&idp.pool, &issuer, &new, &Actor::Service, &env).await.unwrap().unwrap();
    let token = secrecy::ExposeSecret::expose_secret(credentials.token.as_ref().unwrap()).to_owned();
    let party = Party { client_id: "blue".into(), audience: "blue".into(), secret: String::new(), token };
    (added.text("id").to_owned(), party, "/tenants/blue".to_owned())
}

#[tokio::test]
async fn nobody_but_an_administrator_of_that_issuer_gets_in_and_the_credential_is_looked_at_first() {
    let idp = Idp::start().await;
    let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    let (admin, operator) = (administrator(&idp).await, idp.add_operator().await);
    let (_, foreign, _) = blue(&idp, &operator).await;
    for (method, template) in operations().into_iter().filter(|(_, path)| path.starts_with(ADMIN)) {
        let path = template
            .split('/')
            .map(|part| if part.starts_with('{') { "nothing" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let bad_body = json!("nonsense");
        for (token, status) in
            [("", 401), ("nonsense", 401), (&foreign.token, 401), (&rp.token, 403), (&producer.token, 403)]
        {
            let headers = [("authorization", format!("Bearer {token}"))];
            let headers: Vec<(&str, &str)> =
                headers.iter().filter(|_| !token.is_empty()).map(|(name, value)| (*name, value.as_str())).collect();
            let reply =
                idp.send(method.clone(), &format!("{path}?limit=nonsense"), &headers, bad_body.to_string()).await;
            assert_eq!(reply.status, status, "{method} {path}");
        }
        let is_operators = template.contains("/issuers");
        let reply = idp.call(method.clone(), &path, &admin.token, Some(&bad_body)).await;
        assert_eq!(reply.status == 403, is_operators, "{method} {path}: {}", reply.body);
        let reply = idp.call(method.clone(), &path, &operator.token, Some(&bad_body)).await;
        assert!(![401, 403, 500].contains(&reply.status), "{method} {path}: {}", reply.body);
    }
}

#[tokio::test]
async fn an_administrator_of_one_issuer_sees_nothing_of_another() {
    let idp = Idp::start().await;
    let (rp, producer, operator) = (idp.add_receiver("rp").await, idp.add_producer().await, idp.add_operator().await);
    let sink = Sink::start().await;
    sink.script(|_| Answer::refusal("invalid_request"));
    let stream = idp.push_stream(&rp, &sink.url, &["session-revoked"]).await;
    let event = idp.revoke(&producer, "s1").await;
    idp.drain().await;
    let dead = get(&idp, "/dead-letters", &operator).await["items"][0]["jti"].as_str().unwrap().to_owned();
    let (_, blue, path) = blue(&idp, &operator).await;
    for list in ["/streams", "/events", "/dead-letters"] {
        assert_eq!(idp.get(&format!("{path}{ADMIN}{list}"), &blue).await.body, json!({"items": []}), "{list}");
    }
    let clients = idp.get(&format!("{path}{ADMIN}/clients"), &blue).await.body;
    assert_eq!(clients["items"].as_array().unwrap().len(), 1);
    let keys = idp.get(&format!("{path}{ADMIN}/keys"), &blue).await.body;
    assert_ne!(keys["items"][0]["kid"], get(&idp, "/keys", &operator).await["items"][0]["kid"]);
    let entries = idp.get(&format!("{path}{ADMIN}/audit"), &blue).await.body;
    assert!(!entries.to_string().contains("rp.example") && entries["items"][0]["seq"] == 1, "{entries}");
    for one in [
        format!("/streams/{stream}"),
        format!("/streams/{stream}/deliveries"),
        format!("/events/{event}"),
        format!("/dead-letters/{dead}"),
        "/clients/rp".to_owned(),
    ] {
        assert_eq!(idp.get(&format!("{path}{ADMIN}{one}"), &blue).await.status, 404, "{one}");
    }
    let replay = json!({"jtis": [dead]});
    assert_eq!(idp.post(&format!("{path}{ADMIN}/dead-letters/replay"), &blue, &replay).await.body["done"], 0);
    let discard = json!({"jtis": [dead], "reason": "mine?"});
    assert_eq!(idp.post(&format!("{path}{ADMIN}/dead-letters/discard"), &blue, &discard).await.body["done"], 0);
    assert_eq!(
        idp.post(&format!("{path}{ADMIN}/dead-letters/replay"), &blue, &json!({"stream_id": stream})).await.status,
        404
    );
    assert_eq!(idp.call(Method::DELETE, &format!("{path}{ADMIN}/clients/rp"), &blue.token, None).await.status, 404);
    assert_eq!(get(&idp, "/dead-letters", &operator).await["items"][0]["jti"], json!(dead), "untouched");
}

#[tokio::test]
async fn what_an_administrator_does_to_another_issuers_things_is_answered_like_nothing_and_does_nothing() {
    let idp = Idp::start().await;
    let (rp, producer, operator) = (idp.add_receiver("rp").await, idp.add_producer().await, idp.add_operator().await);
    let sink = Sink::start().await;
    sink.script(|_| Answer::refusal("invalid_request"));
    let stream = idp.push_stream(&rp, &sink.url, &["session-revoked"]).await;
    idp.revoke(&producer, "s1").await;
    idp.drain().await;
    let first = async |list: &str, member: &str| {
        get(&idp, list, &operator).await["items"][0][member].as_str().unwrap().to_owned()
    };
    let (dead, kid) = (first("/dead-letters", "jti").await, first("/keys", "kid").await);
    let label = first("/clients/rp/tokens", "id").await;
    let (_, blue, path) = blue(&idp, &operator).await;
    let everything = async || {
        let mut all = Vec::new();
        for list in ["/streams", "/dead-letters", "/keys", "/clients", "/clients/rp/tokens", "/events", "/audit"] {
            all.push(get(&idp, list, &operator).await);
        }
        all.push(json!(idp.count("select count(*) from outbox").await));
        all.push(json!(idp.count("select count(*) from delivery").await));
        all
    };
    let before = everything().await;
    let some = |body: Value| Some(body);
    for (verb, at, theirs, none, body) in [
        (Method::PUT, "/streams/{}/status", stream.as_str(), NO_STREAM, some(json!({"status": "disabled"}))),
        (Method::PUT, "/streams/{}/algorithm", &stream, NO_STREAM, some(json!({"algorithm": "ES256"}))),
        (Method::PUT, "/streams/{}/algorithm", &stream, NO_STREAM, some(json!({"algorithm": "EdDSA"}))),
        (Method::POST, "/streams/{}/verify", &stream, NO_STREAM, None),
        (Method::POST, "/dead-letters/{}/replay", &dead, NO_STREAM, None),
        (Method::POST, "/dead-letters/{}/discard", &dead, NO_STREAM, some(json!({"reason": "mine?"}))),
        (Method::POST, "/keys/{}/retire", &kid, "none", some(json!({}))),
        (Method::POST, "/keys/{}/retire", &kid, "none", some(json!({"remove": true}))),
        (Method::POST, "/clients/{}/secret", "rp", "none", some(json!({}))),
        (Method::PUT, "/clients/{}/method", "rp", "none", some(json!({"auth_method": "client_secret_post"}))),
        (Method::GET, "/clients/{}/tokens", "rp", "none", None),
        (Method::POST, "/clients/{}/tokens", "rp", "none", some(json!({}))),
        (Method::DELETE, "/clients/{}/tokens/TOKEN", "rp", "none", None),
        (Method::DELETE, "/clients/{}", "rp", "none", None),
    ] {
        let call = async |id: &str| {
            let at = format!("{path}{ADMIN}{}", at.replace("{}", id).replace("TOKEN", &label));
            let reply = idp.call(verb.clone(), &at, &blue.token, body.as_ref()).await;
            (reply.status, reply.body)
        };
        let (theirs, none) = (call(theirs).await, call(none).await);
        assert_eq!((theirs.0, &theirs), (404, &none), "{verb} {at}");
    }
    let latency = idp.get(&format!("{path}{ADMIN}/latency"), &blue).await;
    assert_eq!((latency.status, &latency.body["rows"]), (200, &json!([])), "their deliveries are not in our report");
    assert_eq!(everything().await, before);
}

const NO_STREAM: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test]
async fn the_audit_log_is_read_in_order_and_says_where_somebody_tampered_with_it() {
    let idp = Idp::start().await;
    let operator = idp.add_operator().await;
    for n in 0..4 {
        idp.add_receiver(&format!("rp{n}")).await;
    }
    let (mut seqs, mut after) = (Vec::new(), 0);
    loop {
        let page = get(&idp, &format!("/audit?limit=2&after={after}"), &operator).await;
        seqs.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_i64().unwrap()));
        match page["next"].as_str() {
            Some(next) => after = next.parse().unwrap(),
            None => break,
        }
    }
    let count = i64::try_from(seqs.len()).unwrap();
    assert!(count >= 5, "one entry for each client");
    assert_eq!(seqs, (1..=count).collect::<Vec<_>>());
    let verdict = get(&idp, "/audit/verify", &operator).await;
    let last = get(&idp, &format!("/audit?after={}", count - 1), &operator).await["items"][0]["hash"].clone();
    assert_eq!(verdict, json!({"intact": true, "entries": count, "head": last}));
    idp.execute("alter table audit disable trigger user; update audit set actor = 'client:somebody else' where seq = 3; alter table audit enable trigger user").await;
    let verdict = get(&idp, "/audit/verify", &operator).await;
    assert_eq!((&verdict["intact"], &verdict["broken_at"], &verdict["entries"]), (&json!(false), &json!(3), &json!(2)));
    idp.execute("alter table audit disable trigger user; delete from audit where seq = 3; alter table audit enable trigger user").await;
    assert_eq!(get(&idp, "/audit/verify", &operator).await["broken_at"], json!(3), "a gap is found too");
    assert_eq!(idp.get(&format!("{ADMIN}/audit?after=x"), &operator).await.status, 400);
}
