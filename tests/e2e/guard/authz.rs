//! `/v1/authz` as gateways ask it: the shape of Envoy's requests, what is judged, and what is answered.

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use ssf_common::runtime::postgres;
use ssf_harness::TestCluster;
use ssf_receiver::SCHEMA;

use super::{Gate, opaque};
use crate::peer::Peer;
use crate::rp::{START, prepared};

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

async fn ask(gate: &Gate, headers: &[(&'static str, &str)]) -> Response {
    let mut request = gate.peer.http.get(format!("{}/v1/authz", gate.peer.base));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_session_passes_until_it_is_revoked_and_is_challenged_when_it_must_be_revalidated() {
    let gate = Gate::open().await;
    assert_eq!(gate.register("s-1", json!({"subject": opaque("alice")})).await, "active");
    let cookie = [("cookie", "theme=dark; session=s-1")];

    let passed = ask(&gate, &cookie).await;
    assert_eq!((passed.status().as_u16(), header(&passed, "x-ssf-state")), (200, "active"));
    assert_eq!(header(&passed, "x-ssf-as-of"), "2026-11-18T11:06:40Z");
    assert_eq!((header(&passed, "cache-control"), header(&passed, "x-ssf-stale")), ("no-store", "false"));
    let body: Value = passed.json().await.unwrap();
    let expected = json!({
        "sid": "s-1", "state": "active", "as_of": "2026-11-18T11:06:40Z", "class": "bearer", "stale": false,
        "break_glass": false,
    });
    assert_eq!(body, expected);

    gate.tell("revalidate", &opaque("alice")).await;
    let again = ask(&gate, &cookie).await;
    assert_eq!((again.status().as_u16(), header(&again, "x-ssf-state")), (401, "revalidate_required"));
    let challenge = "Bearer error=\"insufficient_user_authentication\",error_description=\"a newer assertion of the issuer is required\",acr_values=\"urn:gold\",max_age=\"300\"";
    assert_eq!(header(&again, "www-authenticate"), challenge);
    let body: Value = again.json().await.unwrap();
    let said = (&body["state"], &body["reason"], &body["error"]);
    assert_eq!(
        said,
        (&json!("revalidate_required"), &json!("revalidate_by_issuer"), &json!("insufficient_user_authentication"))
    );

    gate.tell("session-revoked", &opaque("alice")).await;
    let over = ask(&gate, &cookie).await;
    assert_eq!((over.status().as_u16(), header(&over, "x-ssf-state")), (401, "revoked"));
    assert_eq!(header(&over, "x-ssf-reason"), "revoked_by_issuer");
    let challenge = "Bearer error=\"invalid_token\",error_description=\"the session is over or unknown\"";
    assert_eq!(header(&over, "www-authenticate"), challenge);
}

#[tokio::test]
async fn envoy_asks_with_the_method_and_the_path_of_the_request() {
    let gate = Gate::open().await;
    gate.register("s-1", json!({"subject": opaque("alice")})).await;
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::HEAD, Method::PATCH]
    {
        for path in ["", "/", "/things/7?q=1", "/v1/sessions/s-1", "//x"] {
            let url = format!("{}/v1/authz{path}", gate.peer.base);
            let ask = |sid| gate.peer.http.request(method.clone(), &url).header("x-session-id", sid).body("a body");
            let (known, unknown) = (ask("s-1").send().await.unwrap(), ask("s-2").send().await.unwrap());
            assert_eq!((known.status().as_u16(), header(&known, "x-ssf-state")), (200, "active"), "{method} {path}");
            assert_eq!(
                (unknown.status().as_u16(), header(&unknown, "x-ssf-state")),
                (401, "unknown"),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn nobody_gets_through_by_showing_a_good_session_beside_a_bad_one() {
    let gate = Gate::open().await;
    gate.register("good", json!({"subject": opaque("mallory")})).await;
    gate.register("bad", json!({"subject": opaque("alice")})).await;
    gate.tell("session-revoked", &opaque("alice")).await;
    let both = [
        vec![("cookie", "session=good; session=bad")],
        vec![("cookie", "session=bad; session=good")],
        vec![("cookie", "session=bad"), ("x-session-id", "good")],
        vec![("cookie", "session=good"), ("x-session-id", "bad")],
    ];
    for headers in both {
        let said = ask(&gate, &headers).await;
        assert_eq!((said.status().as_u16(), header(&said, "x-ssf-state")), (401, "revoked"), "{headers:?}");
    }
    let nobody = ask(&gate, &[("cookie", "theme=dark")]).await;
    assert_eq!((nobody.status().as_u16(), header(&nobody, "www-authenticate")), (401, "Bearer"), "RFC 6750 §3.1");
    assert_eq!(header(&nobody, "x-ssf-state"), "");
    let long = "x".repeat(257);
    let strange = ask(&gate, &[("x-session-id", &long)]).await;
    assert!(strange.status() == 401 && header(&strange, "www-authenticate").contains("invalid_token"));
}

#[tokio::test]
async fn a_token_that_the_gateway_verified_is_judged_by_what_it_says_of_it() {
    let gate = Gate::open().await;
    let (issuer, origin) = (gate.issuer(), (START - 10).to_string());
    let token = [
        ("x-token-issuer", issuer.as_str()),
        ("x-token-subject", "alice"),
        ("x-token-session", "idp-7"),
        ("x-token-id", "token-1"),
        ("x-token-origin", origin.as_str()),
        ("x-token-binding", "dpop"),
    ];
    let passed = ask(&gate, &token).await;
    assert_eq!(passed.status(), 200);
    let body: Value = passed.json().await.unwrap();
    assert_eq!((&body["state"], &body["class"], body.get("sid")), (&json!("active"), &json!("bound"), None));
    gate.tell("session-revoked", &json!({"format": "jwt_id", "iss": issuer, "jti": "token-1"})).await;
    assert_eq!(header(&ask(&gate, &token).await, "x-ssf-state"), "revoked");
    let other = [&token[..3], &token[4..]].concat();
    assert_eq!(header(&ask(&gate, &other).await, "x-ssf-state"), "active", "another token of the same session");
    assert_eq!(ask(&gate, &token[1..]).await.status(), 401, "half a description");
    let strangers = [&[("x-token-issuer", "https://other.example")], &token[1..]].concat();
    assert_eq!(header(&ask(&gate, &strangers).await, "x-ssf-reason"), "unknown_issuer");
}

#[tokio::test]
async fn when_nobody_knows_nobody_gets_through() {
    let database = TestCluster::shared().await.scratch_database("authz").await.unwrap();
    let peer = Peer::on(prepared(&database).await, "poll").await;
    let ask = |client: &Client| client.get(format!("{}/v1/authz", peer.base)).header("x-session-id", "s-1").send();
    assert_eq!(ask(&peer.http).await.unwrap().status(), 401);
    peer.pool.close().await;
    let away = ask(&peer.http).await.unwrap();
    assert_eq!((away.status().as_u16(), header(&away, "retry-after")), (503, "1"));
    assert_eq!((header(&away, "x-ssf-state"), header(&away, "www-authenticate")), ("", ""));
    // the database itself is well: it was our way to it that was gone
    postgres::connect(database.options.clone(), SCHEMA, 1, "e2e").await.unwrap();
}
