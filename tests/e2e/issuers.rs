//! Stories about many issuers in one service: no call of one reads, changes or infers anything of another.

use http::Method;
use serde_json::{Value, json};
use ssf_common::jwks::Algorithm;
use ssf_common::protocol::DefaultSubjects;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, claims, opaque};
use ssf_harness::sink::Sink;
use ssf_transmitter::admin;
use ssf_transmitter::audit::{self, Actor};
use ssf_transmitter::issuer::OwnDefaults;

/// Every call that a credential opens, about this stream and this event.
fn calls(stream: &str, event: &str) -> Vec<(Method, String, Value)> {
    let of = json!({"stream_id": stream});
    let with = |members: Value| {
        let mut body = of.clone();
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body
    };
    vec![
        (Method::GET, "/ssf/streams".to_owned(), Value::Null),
        (Method::GET, format!("/ssf/streams?stream_id={stream}"), Value::Null),
        (Method::PATCH, "/ssf/streams".to_owned(), with(json!({"description": "taken over"}))),
        (Method::PUT, "/ssf/streams".to_owned(), with(json!({"events_requested": []}))),
        (Method::DELETE, format!("/ssf/streams?stream_id={stream}"), Value::Null),
        (Method::GET, format!("/ssf/status?stream_id={stream}"), Value::Null),
        (Method::POST, "/ssf/status".to_owned(), with(json!({"status": "disabled"}))),
        (Method::POST, "/ssf/subjects/add".to_owned(), with(json!({"subject": opaque("s")}))),
        (Method::POST, "/ssf/subjects/remove".to_owned(), with(json!({"subject": opaque("s")}))),
        (Method::POST, "/ssf/verify".to_owned(), of.clone()),
        (Method::POST, format!("/ssf/poll/{stream}"), json!({"returnImmediately": true})),
        (Method::GET, format!("/events/{event}"), Value::Null),
        (Method::GET, "/latency".to_owned(), Value::Null),
    ]
}

async fn answers(idp: &Idp, party: &Party, stream: &str, event: &str) -> Vec<(String, u16, Value)> {
    let mut answers = Vec::new();
    for (verb, path, body) in calls(stream, event) {
        let reply = idp.call(verb.clone(), &path, &party.token, Some(&body)).await;
        answers.push((
            format!("{verb} {}", path.replace(stream, "STREAM").replace(event, "EVENT")),
            reply.status,
            reply.body,
        ));
    }
    answers
}

#[tokio::test]
async fn a_credential_of_one_issuer_is_worth_nothing_at_another() {
    let root = Idp::start().await;
    let (blue, green) =
        (root.tenant("/blue", &OwnDefaults::default()).await, root.tenant("/green", &OwnDefaults::default()).await);
    let at_blue = (blue.add_receiver("rp").await, blue.add_producer().await);
    let at_green = (green.add_receiver("rp").await, green.add_producer().await);
    let stream = green.poll_stream(&at_green.0, &["session-revoked"]).await;
    let event = green.revoke(&at_green.1, "s1").await;
    green.fan_out().await;
    let stranger = Party { token: "nobody".to_owned(), ..at_blue.0.clone() };
    for other in [&root, &green] {
        for (stream, event) in [(stream.as_str(), event.as_str()), (NO_STREAM, NO_EVENT)] {
            let expected = answers(other, &stranger, stream, event).await;
            assert!(expected.iter().all(|(_, status, _)| *status == 401));
            for party in [&at_blue.0, &at_blue.1] {
                assert_eq!(answers(other, party, stream, event).await, expected);
            }
        }
    }
    let basic = [("authorization", "Basic cnA6d3Jvbmc="), ("content-type", "application/x-www-form-urlencoded")];
    let unknown = green.send(Method::POST, "/oauth2/token", &basic, "grant_type=client_credentials").await;
    let form = format!("grant_type=client_credentials&client_id=rp&client_secret={}", at_blue.0.secret);
    let foreign = green.send(Method::POST, "/oauth2/token", &basic[1..], form).await;
    assert_eq!((foreign.status, &foreign.body), (401, &unknown.body), "a namesake's secret is a wrong one");
    assert_is_as_it_was(&green, &at_green.0, &stream).await;
}

/// Asserts that a stream was neither changed nor stopped nor deleted.
async fn assert_is_as_it_was(idp: &Idp, owner: &Party, stream: &str) {
    let kept = idp.get(&format!("/ssf/streams?stream_id={stream}"), owner).await;
    assert_eq!((kept.status, &kept.body["description"]), (200, &Value::Null), "nothing happened to it");
    assert_eq!(kept.body["events_requested"].as_array().unwrap().len(), 1);
    let status = idp.get(&format!("/ssf/status?stream_id={stream}"), owner).await;
    assert_eq!(status.text("status"), "enabled");
    assert_eq!(idp.count("select count(*) from stream_subject").await, 0);
}

#[tokio::test]
async fn a_caller_of_one_issuer_cannot_tell_anothers_streams_and_events_from_none() {
    let root = Idp::start().await;
    let (blue, green) =
        (root.tenant("/blue", &OwnDefaults::default()).await, root.tenant("/green", &OwnDefaults::default()).await);
    let (rp, producer) = (blue.add_receiver("rp").await, blue.add_producer().await);
    let (theirs, their_producer) = (green.add_receiver("rp").await, green.add_producer().await);
    let stream = green.poll_stream(&theirs, &["session-revoked"]).await;
    let event = green.revoke(&their_producer, "s1").await;
    green.fan_out().await;
    for party in [&rp, &producer] {
        let without_events = |answers: Vec<(String, u16, Value)>| {
            // what one may list is one's own; times differ
            answers.into_iter().filter(|(call, ..)| !call.ends_with("/latency")).collect::<Vec<_>>()
        };
        let about_theirs = without_events(answers(&blue, party, &stream, &event).await);
        assert_eq!(about_theirs, without_events(answers(&blue, party, NO_STREAM, NO_EVENT).await));
        assert!(about_theirs.iter().any(|(_, status, _)| *status == 404 || *status == 403));
        if party.client_id == rp.client_id {
            let found = about_theirs.iter().filter(|(call, status, _)| call.contains("/ssf/") && *status != 404);
            assert_eq!(
                found.map(|(call, ..)| call.as_str()).collect::<Vec<_>>(),
                ["GET /ssf/streams"],
                "one's own list"
            );
        }
    }
    assert_is_as_it_was(&green, &theirs, &stream).await;
    let latency = blue.get("/latency", &producer).await;
    assert_eq!(latency.body["rows"], json!([]), "their deliveries are not in our report");
    // an acknowledgement by a stranger, over a stream of his own
    let own = blue.poll_stream(&rp, &["session-revoked"]).await;
    let waiting = green.poll(&theirs, &stream, &json!({})).await;
    let jti = waiting.body["sets"].as_object().unwrap().keys().next().unwrap().clone();
    blue.poll(&rp, &own, &json!({"ack": [jti], "setErrs": {&jti: {"err": "invalid_request"}}})).await;
    let again = green.poll(&theirs, &stream, &json!({})).await;
    assert!(again.body["sets"].get(&jti).is_some(), "it settles nothing of another's");
}

#[tokio::test]
async fn each_issuer_signs_in_its_own_name_with_its_own_key_to_its_own_streams() {
    let root = Idp::start().await;
    let own = OwnDefaults { algorithm: Some(Algorithm::EdDsa), ..OwnDefaults::default() };
    let (blue, green) = (root.tenant("/blue", &own).await, root.tenant("/a/green", &OwnDefaults::default()).await);
    let mut served = Vec::new();
    for idp in [&root, &blue, &green] {
        let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
        let sink = Sink::start().await;
        idp.push_stream(&rp, &sink.url, &["session-revoked"]).await;
        served.push((idp, rp, producer, sink));
    }
    for (idp, _, producer, _) in &served {
        idp.revoke(producer, idp.issuer.as_str()).await;
    }
    root.drain().await;
    for (idp, rp, _, sink) in &served {
        let [received] = sink.requests().try_into().unwrap();
        assert_eq!(received.subject(), idp.issuer.as_str());
        assert_eq!(received.claims()["iss"], json!(idp.issuer));
        idp.verify(&received.set, rp).await;
    }
    let keys = |reply: &ssf_harness::idp::Reply| reply.body["keys"][0]["kid"].clone();
    let (one, two) =
        (blue.send(Method::GET, "/jwks.json", &[], "").await, green.send(Method::GET, "/jwks.json", &[], "").await);
    assert_ne!(keys(&one), keys(&two));
    assert_eq!((&one.body["keys"][0]["alg"], &two.body["keys"][0]["alg"]), (&json!("EdDSA"), &json!("ES256")));
}

#[tokio::test]
async fn an_issuer_below_a_path_has_its_documents_between_host_and_path_and_its_own_defaults() {
    let root = Idp::start().await;
    let own = OwnDefaults {
        default_subjects: Some(DefaultSubjects::None),
        min_verification_interval_s: Some(77),
        inactivity_timeout_s: Some(3_600),
        ..OwnDefaults::default()
    };
    let blue = root.tenant("/tenants/blue", &own).await;
    let read = root.send(Method::GET, "/.well-known/ssf-configuration/tenants/blue", &[], "").await;
    assert_eq!((read.status, read.text("issuer")), (200, blue.issuer.as_str()));
    assert_eq!(read.text("default_subjects"), "NONE");
    assert_eq!(read.text("configuration_endpoint"), format!("{}/ssf/streams", blue.issuer));
    for elsewhere in ["/.well-known/ssf-configuration/tenants", "/.well-known/ssf-configuration/tenants/blue/x"] {
        assert_eq!(root.send(Method::GET, elsewhere, &[], "").await.status, 404, "{elsewhere}");
    }
    let rp = blue.add_receiver("rp").await;
    let created = blue.post("/ssf/streams", &rp, &json!({})).await;
    assert_eq!(created.body["min_verification_interval"], json!(77));
    assert_eq!(created.body["inactivity_timeout"], json!(3_600));
    assert!(created.body["delivery"]["endpoint_url"].as_str().unwrap().starts_with(blue.issuer.as_str()));
    let at_root = root.add_receiver("rp").await;
    let created = root.post("/ssf/streams", &at_root, &json!({})).await;
    assert_eq!(created.body["min_verification_interval"], json!(10), "and the others keep theirs");
}

#[tokio::test]
async fn an_issuer_that_another_process_added_is_served_after_a_tick_and_one_that_was_removed_is_not() {
    let root = Idp::start().await;
    let twin = root.twin().await;
    let blue = root.tenant("/blue", &OwnDefaults::default()).await;
    let document = "/.well-known/ssf-configuration/blue";
    assert_eq!(twin.send(Method::GET, document, &[], "").await.status, 404);
    twin.transmitter.tenants.refresh().await.unwrap();
    assert_eq!(twin.send(Method::GET, document, &[], "").await.status, 200);

    let (rp, producer) = (blue.add_receiver("rp").await, blue.add_producer().await);
    let stream = blue.poll_stream(&rp, &["session-revoked"]).await;
    blue.revoke(&producer, "s1").await;
    root.fan_out().await;
    let (actor, env) = (Actor::Service, ssf_common::runtime::Env::system());
    admin::remove_issuer(&root.pool, &blue.row, &actor, &env).await.unwrap();
    root.transmitter.tenants.refresh().await.unwrap();
    assert_eq!(root.send(Method::GET, document, &[], "").await.status, 404);
    assert_eq!(blue.get(&format!("/ssf/streams?stream_id={stream}"), &rp).await.status, 404);
    root.transmitter.maintenance.tick().await.unwrap();
    let discarded =
        "select count(*) from delivery_history where outcome = 'discarded' and error_code = 'issuer_removed'";
    assert_eq!(root.count(discarded).await, 1, "what waited is on record");

    let entries = audit::entries(&mut root.pool.acquire().await.unwrap(), blue.row.id, 0, 10).await.unwrap();
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    let of_the_issuer: Vec<&str> = actions.into_iter().filter(|action| action.starts_with("issuer.")).collect();
    assert_eq!(of_the_issuer, ["issuer.added", "issuer.removed"]);
    assert_eq!(audit::verify(blue.row.id, &[0; 32], 1, &entries), Ok(()));
    let changed = sqlx::query("update audit set action = 'nothing'").execute(&root.pool).await.unwrap_err();
    assert!(changed.to_string().contains("append-only"), "{changed}");
}

#[tokio::test]
async fn no_issuer_is_added_where_another_has_its_endpoints() {
    let root = Idp::start().await;
    let operator = root.add_operator().await;
    for path in ["/admin", "/ssf", "/ssf/streams", "/events"] {
        let body = json!({"url": format!("{}{path}", root.issuer)});
        assert_eq!(root.post("/admin/v1/issuers", &operator, &body).await.status, 400, "{path}");
    }
    let body = json!({"url": format!("{}/administration", root.issuer)});
    assert_eq!(root.post("/admin/v1/issuers", &operator, &body).await.status, 201);
}

#[tokio::test]
async fn sql_must_name_its_issuer_where_several_are_served_and_reaches_only_that_one() {
    let root = Idp::start().await;
    let blue = root.tenant("/blue", &OwnDefaults::default()).await;
    let (rp, at_root) = (blue.add_receiver("rp").await, root.add_receiver("rp").await);
    let stream = blue.poll_stream(&rp, &["session-revoked"]).await;
    let other = root.poll_stream(&at_root, &["session-revoked"]).await;
    let emit = "select ssf_transmitter.ssf_emit('session-revoked', $1, issuer => $2)";
    let unnamed = sqlx::query(emit).bind(opaque("s1")).bind(None::<String>).execute(&root.pool).await.unwrap_err();
    assert!(unnamed.to_string().contains("name one"), "{unnamed}");
    sqlx::query(emit).bind(opaque("s1")).bind(blue.issuer.as_str()).execute(&root.pool).await.unwrap();
    root.fan_out().await;
    let got = blue.poll(&rp, &stream, &json!({})).await;
    let [set] = got.body["sets"].as_object().unwrap().values().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(claims(set.as_str().unwrap())["iss"], json!(blue.issuer));
    assert_eq!(root.poll(&at_root, &other, &json!({})).await.body["sets"], json!({}));
}

const NO_STREAM: &str = "018f0000-0000-4000-8000-000000000000";
const NO_EVENT: &str = "018f0000-0000-7000-8000-000000000000";

#[tokio::test]
async fn an_issuer_that_comes_back_has_none_of_its_old_clients() {
    let root = Idp::start().await;
    let operator = root.add_operator().await;
    let blue = root.tenant("/blue", &OwnDefaults::default()).await;
    let (rp, producer) = (blue.add_receiver("rp").await, blue.add_producer().await);
    let stream = blue.poll_stream(&rp, &["session-revoked"]).await;
    let at = format!("/admin/v1/issuers/{}", blue.row.id);
    assert_eq!(root.call(Method::DELETE, &at, &operator.token, None).await.status, 204);
    let again = root.post("/admin/v1/issuers", &operator, &json!({"url": blue.issuer})).await;
    assert_eq!((again.status, again.text("id")), (201, blue.row.id.to_string().as_str()), "{}", again.body);
    let path = |rest: &str| format!("/blue{rest}");
    assert_eq!(root.get(&path("/ssf/streams"), &rp).await.status, 401);
    assert_eq!(root.get(&path("/latency"), &producer).await.status, 401);
    assert_eq!(root.get(&path("/admin/v1/clients"), &operator).await.body["items"], json!([]));
    let streams = root.get(&path("/admin/v1/streams"), &operator).await;
    assert!(!streams.body.to_string().contains(&format!("\"{stream}\",\"status\":\"enabled")), "{}", streams.body);
    let namesake = json!({"client_id": "rp", "audience": ["rp"], "token": true});
    assert_eq!(root.post(&path("/admin/v1/clients"), &operator, &namesake).await.status, 201, "its name is free");
}

#[tokio::test]
async fn an_issuer_is_added_once_and_of_two_changes_none_is_lost() {
    let root = Idp::start().await;
    let operator = root.add_operator().await;
    let url = format!("{}/blue", root.issuer);
    let added = root.post("/admin/v1/issuers", &operator, &json!({"url": url, "max_streams": 3})).await;
    assert_eq!(added.status, 201);
    let again = root.post("/admin/v1/issuers", &operator, &json!({"url": url})).await;
    assert_eq!((again.status, again.text("error")), (409, "conflict"));
    let unknown = root.post("/admin/v1/issuers", &operator, &json!({"url": format!("{url}2"), "max_stream": 3})).await;
    assert_eq!(unknown.status, 400, "a member that does nothing is not taken");
    let at = format!("/admin/v1/issuers/{}", added.text("id"));
    let patch = async |body: Value| root.call(Method::PATCH, &at, &operator.token, Some(&body)).await.status;
    let (one, other) =
        tokio::join!(patch(json!({"min_verification_interval": 7})), patch(json!({"inactivity_timeout": 86_400})),);
    assert_eq!((one, other), (200, 200));
    let now = root.get(&at, &operator).await.body;
    assert_eq!(
        (&now["max_streams"], &now["min_verification_interval"], &now["inactivity_timeout"]),
        (&json!(3), &json!(7), &json!(86_400))
    );
    assert_eq!(patch(json!({"inactivity_timeout": 2_147_483_648_u32})).await, 400);
}

#[tokio::test]
async fn no_issuer_lies_where_another_has_its_endpoints_whichever_came_first() {
    let root = Idp::start().await;
    let operator = root.add_operator().await;
    let add = async |url: &str| root.post("/admin/v1/issuers", &operator, &json!({"url": url})).await;
    assert_eq!(add("https://idp.example/tenants/ssf").await.status, 201);
    let refused = add("https://idp.example/tenants").await;
    assert_eq!(refused.status, 400);
    assert!(refused.text("error_description").contains("own endpoints"), "{}", refused.body);
}
