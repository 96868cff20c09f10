//! Stories about credentials over the admin API: what is secret is shown once, what was before is good no more, and nobody
//! becomes an operator by it.

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{Idp, Party, Reply};
use ssf_transmitter::admin::NewClient;

async fn ask(idp: &Idp, verb: Method, path: &str, party: &Party, body: &Value) -> Reply {
    let body = if body.is_null() { None } else { Some(body) };
    idp.call(verb, &format!("/admin/v1/clients/{path}"), &party.token, body).await
}

/// What the token endpoint answers to this secret, in the header or in the body.
async fn grants(idp: &Idp, client: &str, secret: &str, in_body: bool) -> u16 {
    use base64::Engine as _;
    let basic = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{client}:{secret}")));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let body = format!("grant_type=client_credentials&client_id={client}&client_secret={secret}");
    let reply = if in_body {
        idp.send(Method::POST, "/oauth2/token", &[form], body).await
    } else {
        let headers = [("authorization", basic.as_str()), form];
        idp.send(Method::POST, "/oauth2/token", &headers, "grant_type=client_credentials").await
    };
    reply.status
}

#[tokio::test]
async fn secrets_methods_and_tokens_change_over_http_and_every_change_is_written_down() {
    let idp = Idp::start().await;
    let (operator, rp) = (idp.add_operator().await, idp.add_receiver("rp").await);
    let rotated = ask(&idp, Method::POST, "rp/secret", &operator, &json!({"overlap": 3600})).await;
    assert_eq!((rotated.status, rotated.header("cache-control")), (200, "no-store"));
    let second = rotated.text("client_secret").to_owned();
    assert_eq!((grants(&idp, "rp", &rp.secret, false).await, grants(&idp, "rp", &second, false).await), (200, 200));
    let third = ask(&idp, Method::POST, "rp/secret", &operator, &json!({})).await.text("client_secret").to_owned();
    for (secret, status) in [(&rp.secret, 401), (&second, 401), (&third, 200)] {
        assert_eq!(grants(&idp, "rp", secret, false).await, status, "without an overlap all before it have ended");
    }

    let posted = ask(&idp, Method::PUT, "rp/method", &operator, &json!({"auth_method": "client_secret_post"})).await;
    let posted = posted.text("client_secret").to_owned();
    assert_eq!((grants(&idp, "rp", &third, false).await, grants(&idp, "rp", &posted, true).await), (401, 200));
    assert_eq!(ask(&idp, Method::GET, "rp", &operator, &Value::Null).await.body["auth_method"], "client_secret_post");

    let added =
        ask(&idp, Method::POST, "rp/tokens", &operator, &json!({"label": "blue", "scopes": ["ssf.read"]})).await;
    assert_eq!(added.status, 201);
    let reader = Party { token: added.text("token").to_owned(), ..rp };
    assert_eq!(idp.get("/ssf/streams", &reader).await.status, 200);
    assert_eq!(idp.post("/ssf/streams", &reader, &json!({})).await.status, 403, "it allows what it was given for");
    let listed = ask(&idp, Method::GET, "rp/tokens", &operator, &Value::Null).await;
    let blue = listed.body["items"].as_array().unwrap().iter().find(|token| token["label"] == "blue").unwrap();
    assert_eq!((blue["id"].as_str(), &blue["scopes"]), (Some(added.text("id")), &json!(["ssf.read"])));
    assert!(!listed.body.to_string().contains(&reader.token), "the tokens themselves are nowhere");
    assert_eq!(ask(&idp, Method::DELETE, "rp/tokens/blue", &operator, &Value::Null).await.status, 204);
    assert_eq!(idp.get("/ssf/streams", &reader).await.status, 401);

    let log = idp.get("/admin/v1/audit?limit=1000", &operator).await.body;
    let of_operator = log["items"].as_array().unwrap().iter().filter(|entry| entry["actor"] == "operator:operator");
    let actions: Vec<&str> = of_operator.map(|entry| entry["action"].as_str().unwrap()).collect();
    let rotated = "client.secret_rotated";
    assert_eq!(actions, [rotated, rotated, "client.method_changed", "client.token_added", "client.token_revoked"]);
    assert!([&second, &third, &posted, &reader.token].iter().all(|secret| !log.to_string().contains(*secret)));
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused_with_its_reason() {
    let idp = Idp::start().await;
    let (operator, _) = (idp.add_operator().await, idp.add_receiver("rp").await);
    let add = json!({"label": "blue"});
    assert_eq!(ask(&idp, Method::POST, "rp/tokens", &operator, &add).await.status, 201);
    for (verb, path, body, status, says) in [
        (Method::POST, "nobody/secret", json!({}), 404, "no such client"),
        (Method::POST, "rp/secret", json!({"overlap": 2_592_001}), 400, "at most 30 days"),
        (Method::POST, "rp/secret", json!({"overlap": -1}), 400, "member overlap"),
        (Method::PUT, "rp/method", json!({"auth_method": "tls_client_auth"}), 400, "auth_method: use "),
        (Method::PUT, "rp/method", json!({"auth_method": "none"}), 400, "tokens.allow_public_clients"),
        (Method::PUT, "rp/method", json!({"auth_method": "private_key_jwt"}), 400, "jwks or jwks_uri"),
        (
            Method::PUT,
            "rp/method",
            json!({"auth_method": "authorization_server", "authorization_server": "https://as.example"}),
            400,
            "one of authorization.servers",
        ),
        (Method::POST, "rp/tokens", add, 409, "a token of this label"),
        (Method::POST, "rp/tokens", json!({"label": ""}), 400, "1 to 200"),
        (Method::POST, "rp/tokens", json!({"scopes": ["ssf.emit"]}), 400, "may not be granted"),
        (Method::POST, "rp/tokens", json!({"scopes": ["openid"]}), 400, "each of scopes"),
        (Method::DELETE, "rp/tokens/green", Value::Null, 404, "no such static token"),
    ] {
        let reply = ask(&idp, verb.clone(), path, &operator, &body).await;
        let said = reply.text("error_description");
        assert!(reply.status == status && said.contains(says), "{verb} {path} {body}: {} {said}", reply.status);
    }
    let public = json!({"auth_method": "private_key_jwt", "jwks_uri": "https://rp.example/keys"});
    assert_eq!(ask(&idp, Method::PUT, "rp/method", &operator, &public).await.status, 200);
    let without = ask(&idp, Method::POST, "rp/secret", &operator, &json!({})).await;
    assert_eq!((without.status, without.text("error")), (409, "conflict"));
}

#[tokio::test]
async fn an_issuers_administrator_does_not_become_an_operator_by_an_operators_credentials() {
    let idp = Idp::start().await;
    idp.add_operator().await;
    let administrator = idp.add_client(NewClient { is_operator: false, ..NewClient::operator("admin") }).await;
    for (verb, path, body) in [
        (Method::POST, "operator/secret", json!({})),
        (Method::PUT, "operator/method", json!({"auth_method": "client_secret_post"})),
        (Method::POST, "operator/tokens", json!({})),
        (Method::DELETE, "operator/tokens/any", Value::Null),
        (Method::DELETE, "operator", Value::Null),
    ] {
        let reply = ask(&idp, verb.clone(), path, &administrator, &body).await;
        assert_eq!(reply.status, 403, "{verb} {path}: {}", reply.body);
    }
    assert_eq!(ask(&idp, Method::POST, "admin/tokens", &administrator, &json!({})).await.status, 201, "its own it may");
}

#[tokio::test]
async fn the_last_operator_is_not_removed_over_http() {
    let idp = Idp::start().await;
    let operator = idp.add_operator().await;
    let refused = ask(&idp, Method::DELETE, "operator", &operator, &Value::Null).await;
    assert_eq!((refused.status, refused.text("error")), (409, "conflict"));
    let tokens = ask(&idp, Method::GET, "operator/tokens", &operator, &Value::Null).await;
    let only = format!("operator/tokens/{}", tokens.body["items"][0]["id"].as_str().unwrap());
    let refused = ask(&idp, Method::DELETE, &only, &operator, &Value::Null).await;
    assert_eq!((refused.status, refused.text("error")), (409, "conflict"), "nor its last credential");
    let other = json!({"client_id": "other", "operator": true, "token": true});
    assert_eq!(idp.post("/admin/v1/clients", &operator, &other).await.status, 201);
    assert_eq!(ask(&idp, Method::DELETE, "other/tokens/none", &operator, &Value::Null).await.status, 404);
    assert_eq!(ask(&idp, Method::DELETE, "operator", &operator, &Value::Null).await.status, 204);
    assert_eq!(idp.get("/admin/v1/clients", &operator).await.status, 401);
}
