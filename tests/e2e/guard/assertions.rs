//! Sessions and tokens of OIDC, SAML and opaque ones: an event by any of their names reaches them, and no other's.

use serde_json::{Value, json};
use ssf_receiver::guard::{Ask as _, Presented};
use ssf_receiver::session::{Description, SamlAssertion, Sid};
use ssf_receiver::validity::State;

use super::{Gate, opaque};
use crate::rp::START;

fn id_token(issuer: &str, user: &str, sid: &str) -> Description {
    let claims = json!({"iss": issuer, "sub": user, "sid": sid, "jti": format!("jti-{sid}"), "iat": START - 100, "auth_time": START - 200});
    Description::from_id_token(claims.as_object().unwrap()).unwrap()
}

fn saml(issuer: &str, name: &str, index: &str) -> Description {
    let assertion = SamlAssertion {
        entity_id: "https://idp.example/saml",
        name_id: name,
        name_id_format: Some("urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"),
        assertion_id: &format!("_assertion-{index}"),
        issue_instant: "2026-11-18T11:00:00Z",
        authn_instant: "2026-11-18T10:59:59Z",
        session_index: Some(index),
        session_not_on_or_after: Some("2026-11-19T00:00:00Z"),
    };
    assertion.description(&issuer.into()).unwrap()
}

/// Registers the session and its neighbour, tells the event, and gives back both states.
async fn after(
    event: &Value,
    session: impl Fn(&str) -> Description,
    neighbour: impl Fn(&str) -> Description,
) -> [String; 2] {
    let gate = Gate::open().await;
    let issuer = gate.issuer();
    let event = serde_json::from_str(&event.to_string().replace("<issuer>", &issuer)).unwrap();
    assert_eq!(gate.register("s", json!(session(&issuer))).await, "active");
    assert_eq!(gate.register("n", json!(neighbour(&issuer))).await, "active");
    gate.tell("session-revoked", &event).await;
    let mut states = [String::new(), String::new()];
    for (state, sid) in states.iter_mut().zip(["s", "n"]) {
        let url = format!("{}/v1/sessions/{sid}", gate.peer.base);
        let body: Value = gate.peer.http.get(url).send().await.unwrap().json().await.unwrap();
        body["state"].as_str().unwrap().clone_into(state);
    }
    states
}

#[tokio::test]
async fn an_oidc_session_is_reached_by_its_subject_its_sid_and_its_token() {
    let names = [
        (json!({"format": "iss_sub", "iss": "<issuer>", "sub": "alice"}), true),
        (opaque("idp-1"), false),
        (json!({"format": "jwt_id", "iss": "<issuer>", "jti": "jti-idp-1"}), false),
        (
            json!({"format": "complex", "user": {"format": "iss_sub", "iss": "<issuer>", "sub": "alice"}, "session": opaque("idp-1")}),
            false,
        ),
    ];
    for (name, reaches_the_other) in names {
        let states = after(&name, |i| id_token(i, "alice", "idp-1"), |i| id_token(i, "alice", "idp-2")).await;
        let other = if reaches_the_other { "revoked" } else { "active" };
        assert_eq!(states, ["revoked", other], "{name}");
    }
}

#[tokio::test]
async fn a_saml_session_is_reached_by_its_assertion_its_session_index_and_its_name_id() {
    let names = [
        (
            json!({"format": "saml_assertion_id", "issuer": "https://idp.example/saml", "assertion_id": "_assertion-x1"}),
            false,
        ),
        (opaque("x1"), false),
        (json!({"format": "complex", "session": opaque("x1")}), false),
        (json!({"format": "email", "email": "alice@example.com"}), true),
        (json!({"format": "iss_sub", "iss": "https://idp.example/saml", "sub": "alice@example.com"}), true),
        (json!({"format": "iss_sub", "iss": "<issuer>", "sub": "alice@example.com"}), true),
    ];
    for (name, reaches_the_other) in names {
        let states = after(&name, |i| saml(i, "alice@example.com", "x1"), |i| saml(i, "alice@example.com", "x2")).await;
        let other = if reaches_the_other { "revoked" } else { "active" };
        assert_eq!(states, ["revoked", other], "{name}");
    }
}

#[tokio::test]
async fn an_opaque_token_is_judged_by_its_introspection_or_by_its_digest() {
    let gate = Gate::open().await;
    let (issuer, ask) = (gate.issuer(), gate.peer.receiver.local());
    let introspected = json!({"active": true, "sub": "alice", "iat": START - 10, "exp": START + 3_600, "jti": "t-1"});
    let description =
        Description::from_introspection(introspected.as_object().unwrap(), &issuer.as_str().into()).unwrap();
    let token = "an-opaque-token";
    gate.register(Sid::of_secret(token).as_str(), json!(description)).await;
    let (described, named) = (Presented::described(description), Presented::session(Sid::of_secret(token)));
    for presented in [&described, &named] {
        assert_eq!(ask.ask(presented).await.unwrap().state, State::Active);
    }
    let unknown = ask.ask(&Presented::session(Sid::of_secret("another"))).await.unwrap();
    assert_eq!(unknown.state, State::Unknown);
    gate.tell("session-revoked", &json!({"format": "jwt_id", "iss": issuer, "jti": "t-1"})).await;
    for presented in [&described, &named] {
        assert_eq!(ask.ask(presented).await.unwrap().state, State::Revoked);
    }
    let stored: i64 = sqlx::query_scalar("select count(*) from session where sid = $1")
        .bind(token)
        .fetch_one(&gate.peer.pool)
        .await
        .unwrap();
    assert_eq!(stored, 0, "the token itself is kept nowhere");
}
