//! Stories about the admin API: who may use it, what it shows, and that every change is written down.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Env;
use ssf_harness::document::operations;
use ssf_harness::idp::{Idp, Party, Reply, opaque};
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
async fn clients_are_added_with_credentials_shown_once_listed_read_and_removed() {
    let idp = Idp::start().await;
    let admin = administrator(&idp).await;
    let added = ask(
        &idp,
        Method::POST,
        "/clients",
        &admin,
        &json!({"client_id": "my app", "audience": ["https://app.example"], "token": true, "secret": true}),
    )
    .await;
    assert_eq!(added.status, 201, "{}", added.body);
    let app = Party {
        client_id: "my app".into(),
        audience: "https://app.example".into(),
        secret: added.text("client_secret").into(),
        token: added.text("token").into(),
    };
    let stream = idp.poll_stream(&app, &["session-revoked"]).await;
    let again = ask(&idp, Method::POST, "/clients", &admin, &json!({"client_id": "my app", "audience": ["x"]})).await;
    assert_eq!(again.status, 409);
    let shown = get(&idp, "/clients/my%20app", &admin).await;
    assert_eq!(
        (&shown["streams"], &shown["max_streams"], &shown["has_secret"], &shown["operator"]),
        (&json!(1), &json!(1), &json!(true), &json!(false))
    );
    let text = get(&idp, "/clients", &admin).await.to_string();
    assert!(!text.contains(&app.secret) && !text.contains(&app.token), "credentials are shown once");
    let removed = ask(&idp, Method::DELETE, "/clients/my%20app", &admin, &json!({})).await;
    assert_eq!(removed.status, 204);
    assert_eq!(idp.get("/ssf/streams", &app).await.status, 401, "its tokens ended");
    assert_eq!(get(&idp, &format!("/streams/{stream}"), &admin).await["status"], "disabled");
    assert_eq!(ask(&idp, Method::DELETE, "/clients/my%20app", &admin, &json!({})).await.status, 404);
    let log = get(&idp, "/audit", &admin).await;
    let of_app: Vec<(&Value, &Value)> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["target"] == "my app")
        .map(|entry| (&entry["actor"], &entry["action"]))
        .collect();
    assert_eq!(
        of_app,
        [
            (&json!("client:administrator"), &json!("client.added")),
            (&json!("client:administrator"), &json!("client.removed"))
        ]
    );
}

#[tokio::test]
async fn a_client_that_cannot_be_is_refused_with_the_member_named() {
    let idp = Idp::start().await;
    let (admin, operator) = (administrator(&idp).await, idp.add_operator().await);
    let long = "x".repeat(2_000);
    for (body, says) in [
        (json!({}), "client_id"),
        (json!({"client_id": "", "audience": ["a"]}), "client_id"),
        (json!({"client_id": long, "audience": ["a"]}), "client_id"),
        (json!({"client_id": "a\u{0}b", "audience": ["a"]}), "client_id"),
        (json!({"client_id": "x"}), "audience"),
        (json!({"client_id": "x", "audience": [""]}), "audience"),
        (json!({"client_id": "x", "audience": vec!["a"; 21]}), "audience"),
        (json!({"client_id": "x", "scopes": []}), "scopes"),
        (json!({"client_id": "x", "scopes": ["ssf.everything"]}), "scopes"),
        (json!({"client_id": "x", "audience": ["a"], "max_streams": 10_001}), "max_streams"),
        (json!({"client_id": "x", "audience": ["a"], "events_supported": ["urn:mine"]}), "events_supported"),
        (json!({"client_id": "x", "audience": ["a"], "secret": false}), "secret"),
        (json!({"client_id": "x", "audience": ["a"], "scope": ["ssf.read"]}), "as specified"),
    ] {
        let reply = ask(&idp, Method::POST, "/clients", &admin, &body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.body);
        assert!(reply.text("error_description").contains(says), "{body}: {}", reply.body);
    }
    let new = json!({"client_id": "second", "operator": true, "token": true});
    assert_eq!(ask(&idp, Method::POST, "/clients", &admin, &new).await.status, 403);
    assert_eq!(ask(&idp, Method::POST, "/clients", &operator, &new).await.status, 201);
    assert_eq!(ask(&idp, Method::DELETE, "/clients/second", &admin, &json!({})).await.status, 403);
    assert_eq!(ask(&idp, Method::DELETE, "/clients/second", &operator, &json!({})).await.status, 204);
}

#[tokio::test]
async fn a_list_of_clients_is_read_page_by_page() {
    let idp = Idp::start().await;
    let operator = idp.add_operator().await;
    for name in ["d", "a", "c", "b"] {
        idp.add_receiver(name).await;
    }
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&idp, &format!("/clients?limit=2{after}"), &operator).await;
        names.extend(
            page["items"].as_array().unwrap().iter().map(|client| client["client_id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "operator"]);
}

#[tokio::test]
async fn a_stream_shows_how_much_waits_how_old_it_is_and_what_its_receiver_answers() {
    let idp = Idp::start().await;
    let (rp, producer, operator) = (idp.add_receiver("rp").await, idp.add_producer().await, idp.add_operator().await);
    let sink = Sink::start().await;
    let stream = idp.push_stream(&rp, &sink.url, &["session-revoked", "revalidate"]).await;
    let path = format!("/streams/{stream}");
    let calm = get(&idp, &path, &operator).await;
    assert_eq!(
        (&calm["health"]["breaker"], &calm["health"]["waiting"]["total"]),
        (&json!({"state": "closed", "failures": 0}), &json!(0))
    );
    idp.revoke(&producer, "s1").await;
    idp.drain().await;
    sink.script(|_| Answer::status(503));
    for (kind, lane) in
        [("session-revoked", "urgent"), ("revalidate", "prompt"), ("revalidate", "bulk"), ("revalidate", "bulk")]
    {
        idp.emit(&producer, &json!({"type": kind, "lane": lane, "subject": opaque(&format!("{kind} {lane}"))})).await;
    }
    idp.drain().await;
    idp.advance(Duration::from_millis(1_500));
    let shown = get(&idp, &path, &operator).await;
    let health = &shown["health"];
    let waiting = json!({"total": 4, "urgent": 1, "prompt": 1, "bulk": 2, "oldest_decision": health["waiting"]["oldest_decision"], "oldest_age_ms": 1_500});
    assert_eq!(health["waiting"], waiting);
    assert_eq!(
        (&health["breaker"]["state"], &health["last_error"]),
        (&json!("open"), &json!("the receiver answered HTTP 503"))
    );
    assert!(
        health["breaker"]["retry_at"].is_string()
            && health["last_success_at"].is_string()
            && health["last_failure_at"].is_string()
    );
    assert_eq!(
        (&shown["client_id"], &shown["delivery_method"], &shown["endpoint_url"], &shown["status"]),
        (&json!("rp"), &json!("push"), &json!(sink.url), &json!("enabled"))
    );
    let list = get(&idp, "/streams", &operator).await;
    assert_eq!(list["items"], json!([shown]));
    // what waits, in the order in which it is taken, page by page
    let (mut lanes, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&idp, &format!("{path}/deliveries?limit=3{after}"), &operator).await;
        lanes.extend(page["items"].as_array().unwrap().iter().map(|one| one["lane"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(lanes, ["urgent", "prompt", "bulk", "bulk"]);
    for bad in ["after=x", "after=9.1", "after=1", "limit=0", "limit=1001"] {
        let reply = idp.get(&format!("{ADMIN}{path}/deliveries?{bad}"), &operator).await;
        assert_eq!(reply.status, 400, "{bad}");
    }
    for unknown in [
        "/streams/x",
        "/streams/00000000-0000-4000-8000-000000000000",
        "/streams/00000000-0000-4000-8000-000000000000/deliveries",
    ] {
        assert_eq!(idp.get(&format!("{ADMIN}{unknown}"), &operator).await.status, 404);
    }
}

#[tokio::test]
async fn decisions_are_listed_by_time_type_and_cause_and_followed_to_every_stream() {
    let idp = Idp::start().await;
    let (producer, operator) = (idp.add_producer().await, idp.add_operator().await);
    let (good, bad) = (Sink::start().await, Sink::start().await);
    bad.script(|_| Answer::refusal("invalid_request"));
    for (name, sink) in [("good", &good), ("bad", &bad)] {
        let rp = idp.add_receiver(name).await;
        idp.push_stream(&rp, &sink.url, &["session-revoked"]).await;
    }
    let mut ids = Vec::new();
    for n in 0..5 {
        let kind = if n == 2 { "revalidate" } else { "session-revoked" };
        ids.push(
            idp.emit(
                &producer,
                &json!({"type": kind, "txn": format!("t{}", n / 2), "subject": opaque(&format!("canary-{n}"))}),
            )
            .await,
        );
        idp.fan_out().await;
        idp.advance(Duration::from_secs(1));
    }
    let all = get(&idp, "/events", &operator).await;
    assert!(!all.to_string().contains("canary"), "whom they are about is not told");
    let listed = |page: &Value| {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["event_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(listed(&all), newest_first);
    assert_eq!(listed(&get(&idp, "/events?type=revalidate", &operator).await), [ids[2].clone()]);
    assert_eq!(listed(&get(&idp, "/events?txn=t0", &operator).await), [ids[1].clone(), ids[0].clone()]);
    assert_eq!(listed(&get(&idp, "/events?txn=t9", &operator).await), Vec::<String>::new());
    let second = all["items"][3]["recorded_at"].as_str().unwrap();
    assert_eq!(listed(&get(&idp, &format!("/events?since={second}"), &operator).await).len(), 4);
    assert_eq!(listed(&get(&idp, &format!("/events?until={second}"), &operator).await), [ids[0].clone()]);
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&idp, &format!("/events?limit=2{after}"), &operator).await;
        paged.extend(listed(&page));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(paged, newest_first);
    idp.drain().await;
    let followed = get(&idp, &format!("/events/{}", ids[0]), &operator).await;
    let mut states: Vec<(&str, Option<&str>)> = followed["deliveries"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["state"].as_str().unwrap(), one["error"].as_str()))
        .collect();
    states.sort_unstable();
    assert_eq!(states, [("acknowledged", None), ("refused", Some("invalid_request"))]);
    assert_eq!(followed["streams"], 2);
    let page = get(&idp, &format!("/events/{}?limit=1", ids[0]), &operator).await;
    let rest =
        get(&idp, &format!("/events/{}?after={}", ids[0], page["deliveries"]["next"].as_str().unwrap()), &operator)
            .await;
    assert_eq!(rest["deliveries"]["items"].as_array().unwrap().len(), 1);
    let waiting = idp.revoke(&producer, "not yet").await;
    assert_eq!(get(&idp, &format!("/events/{waiting}"), &operator).await["state"], "recorded");
    assert_eq!(idp.get("/admin/v1/events/x", &operator).await.status, 404);
    let latency = get(&idp, "/latency", &operator).await;
    assert_eq!(latency["rows"][0]["count"], 4, "{latency}");
    for query in ["/events?since=x", "/events?type=x", "/events?after=x", "/events?txn=", "/latency?since=x"] {
        assert_eq!(idp.get(&format!("{ADMIN}{query}"), &operator).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn issuers_are_added_changed_and_removed_by_operators_and_served_at_once() {
    let idp = Idp::start().await;
    let operator = idp.add_operator().await;
    let (id, party, path) = blue(&idp, &operator).await;
    assert_eq!(idp.send(Method::GET, &format!("/.well-known/ssf-configuration{path}"), &[], "").await.status, 200);
    let twice = ask(&idp, Method::POST, "/issuers", &operator, &json!({"url": format!("{}{path}", idp.issuer)})).await;
    assert_eq!(twice.status, 409);
    for (body, says) in [
        (json!({"url": "http://idp.example"}), "url"),
        (json!({"url": ""}), "url"),
        (json!({"url": "https://idp.example/?x=1"}), "url"),
        (json!({"url": "https://idp.example", "max_streams": 20_000}), "max_streams"),
        (json!({"url": "https://idp.example", "algorithm": "HS256"}), "as specified"),
        (json!({}), "url"),
    ] {
        let reply = ask(&idp, Method::POST, "/issuers", &operator, &body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.text("error_description").contains(says), "{body}: {}", reply.body);
    }
    let at = format!("/issuers/{id}");
    let changed =
        ask(&idp, Method::PATCH, &at, &operator, &json!({"max_streams": 3, "default_subjects": "NONE"})).await;
    assert_eq!(
        (changed.status, &changed.body["algorithm"], &changed.body["max_streams"]),
        (200, &json!("ES256"), &json!(3))
    );
    let changed = ask(&idp, Method::PATCH, &at, &operator, &json!({"max_streams": null})).await;
    assert_eq!(
        (changed.body.get("max_streams"), &changed.body["default_subjects"]),
        (None, &json!("NONE")),
        "null goes back, what is missing stays"
    );
    assert_eq!(get(&idp, &at, &operator).await, changed.body);
    let all = get(&idp, "/issuers", &operator).await;
    let items = all["items"].as_array().unwrap();
    let primary: Vec<&Value> = items.iter().filter(|issuer| issuer["primary"] == true).collect();
    assert_eq!((items.len(), primary.len(), &primary[0]["url"]), (2, 1, &json!(idp.issuer)));
    let first = primary[0]["id"].as_str().unwrap();
    assert_eq!(ask(&idp, Method::DELETE, &format!("/issuers/{first}"), &operator, &json!({})).await.status, 409);
    assert_eq!(ask(&idp, Method::DELETE, &at, &operator, &json!({})).await.status, 204);
    assert_eq!(idp.get(&at.replace("/issuers", "/admin/v1/issuers"), &operator).await.status, 404);
    assert_eq!(idp.get(&format!("{path}/ssf/streams"), &party).await.status, 404, "nothing is there any more");
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

#[tokio::test]
async fn keys_are_listed_without_anything_private() {
    let idp = Idp::start().await;
    let operator = idp.add_operator().await;
    let keys = get(&idp, "/keys", &operator).await;
    let published = idp.send(Method::GET, "/jwks.json", &[], "").await.body;
    assert_eq!(keys["items"][0]["kid"], published["keys"][0]["kid"]);
    assert_eq!((&keys["items"][0]["state"], &keys["items"][0]["algorithm"]), (&json!("active"), &json!("ES256")));
    assert!(keys["items"][0].get("private_jwk_sealed").is_none() && !keys.to_string().contains("\"d\""));
}
