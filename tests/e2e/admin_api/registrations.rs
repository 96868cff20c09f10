//! Clients and issuers over the admin API: added, listed, changed and removed, and refused with the member named.

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{Idp, Party};

use super::{administrator, ask, blue, get};

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
        (json!({"client_id": "x", "audience": ["a"], "scope": ["ssf.read"]}), "not known here: scope"),
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
        (json!({"url": "https://idp.example", "algorithm": "HS256"}), "member algorithm"),
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
