//! An application behind the tower layer: who gets through, what the others are answered, and that a token is bound only
//! when its key was shown on the request.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Extension;
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::request::Parts;
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde_json::{Value, json};
use sha2_of_openssl::sha256;
use ssf_common::clock::{Clock, ManualClock};
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_receiver::guard::dpop::{DpopPolicy, Target, Verifier};
use ssf_receiver::guard::{Ask, Challenge, Checked, Confirmation, GuardLayer, Presented, Refusal, Remote, Shown};
use ssf_receiver::session::Description;

use super::{Gate, opaque};
use crate::peer::jws;
use crate::rp::START;

mod sha2_of_openssl {
    /// SHA-256 by another implementation than the one under test.
    pub(super) fn sha256(text: &str) -> Vec<u8> {
        openssl::hash::hash(openssl::hash::MessageDigest::sha256(), text.as_bytes()).unwrap().to_vec()
    }
}

async fn page(Extension(checked): Extension<Checked>) -> Json<Value> {
    Json(json!(checked))
}

/// Serves one page behind this guard.
async fn served<A: Ask>(guard: GuardLayer<A>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/page", get(page)).layer(guard);
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    base
}

fn by_header(parts: &mut Parts) -> Result<Presented, Refusal> {
    let sid = parts.headers.get("x-sid").and_then(|sid| sid.to_str().ok()).ok_or(Refusal::Nobody)?;
    Ok(Presented::session(sid.into()))
}

fn guarded<A: Ask>(ask: A) -> GuardLayer<A> {
    let challenge = Challenge::default().max_age(Duration::from_mins(1));
    GuardLayer::new(ask, by_header).with_challenge(challenge).for_browsers(|_, refusal| match refusal {
        Refusal::Revalidate(_) => Some(Redirect::to("/login?prompt=login").into_response()),
        Refusal::Nobody => Some(Redirect::to("/login").into_response()),
        _ => None,
    })
}

fn client() -> Client {
    Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap()
}

fn seen(answer: &Response) -> (u16, String) {
    let told = answer.headers().get("www-authenticate").or_else(|| answer.headers().get("location"));
    (answer.status().as_u16(), told.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default())
}

/// The whole story, whoever is asked.
async fn is_guarded_by<A: Ask>(gate: &Gate, ask: A) {
    let base = served(guarded(ask)).await;
    let http = client();
    let get = |sid: &'static str| http.get(format!("{base}/page")).header("x-sid", sid);
    let browser = |request: RequestBuilder| request.header("accept", "text/html,application/xhtml+xml;q=0.9");

    let passed = get("s-1").send().await.unwrap();
    assert_eq!(passed.status(), 200);
    let checked: Value = passed.json().await.unwrap();
    assert_eq!(
        (&checked["state"], &checked["sid"], &checked["class"]),
        (&json!("active"), &json!("s-1"), &json!("bearer"))
    );
    assert_eq!(seen(&http.get(format!("{base}/page")).send().await.unwrap()), (401, "Bearer".to_owned()));
    assert_eq!(seen(&browser(http.get(format!("{base}/page"))).send().await.unwrap()), (303, "/login".to_owned()));

    gate.tell("revalidate", &opaque("alice")).await;
    let (status, challenge) = seen(&get("s-1").send().await.unwrap());
    assert_eq!(status, 401);
    assert!(
        challenge.contains("insufficient_user_authentication") && challenge.ends_with(",max_age=\"60\""),
        "{challenge}"
    );
    assert_eq!(seen(&browser(get("s-1")).send().await.unwrap()), (303, "/login?prompt=login".to_owned()));
    gate.peer.later(2);
    let newer = json!({"validated": ssf_common::clock::Clock::now(&*gate.peer.clock).unix_seconds()});
    let url = format!("{}/v1/sessions/s-1/revalidated", gate.peer.base);
    assert_eq!(gate.peer.http.post(url).json(&newer).send().await.unwrap().status(), 200);
    assert_eq!(get("s-1").send().await.unwrap().status(), 200, "proved again, it goes on");

    gate.tell("session-revoked", &opaque("alice")).await;
    for request in [get("s-1"), browser(get("s-1"))] {
        let (status, challenge) = seen(&request.send().await.unwrap());
        assert_eq!(status, 401);
        assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
    }
    assert_eq!(get("nobody").send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn in_process_the_layer_lets_through_who_is_active() {
    let gate = Gate::open().await;
    gate.register("s-1", json!({"subject": opaque("alice")})).await;
    is_guarded_by(&gate, gate.peer.receiver.local()).await;
}

#[tokio::test]
async fn over_the_socket_the_layer_lets_through_who_is_active_and_nobody_when_it_is_gone() {
    let gate = Gate::open().await;
    gate.register("s-1", json!({"subject": opaque("alice")})).await;
    gate.register("s-2", json!({"subject": opaque("bob")})).await;
    is_guarded_by(&gate, Remote::unix(&gate.socket(), Duration::from_secs(10)).unwrap()).await;

    let base = served(guarded(Remote::unix(&gate.socket(), Duration::from_secs(10)).unwrap())).await;
    let http = client();
    let get = || http.get(format!("{base}/page")).header("x-sid", "s-2").send();
    assert_eq!(get().await.unwrap().status(), 200);
    gate.close().await;
    let away = get().await.unwrap();
    assert_eq!((away.status().as_u16(), away.headers()["retry-after"].to_str().unwrap()), (503, "1"));
}

/// What an application does with a DPoP-bound token whose claims it has verified.
fn with_proof(parts: &Parts, token: &Value, verifier: &Verifier, clock: &ManualClock) -> Result<Presented, Refusal> {
    let claims = token.as_object().ok_or(Refusal::Invalid(None))?;
    let description = Description::from_access_token(claims).map_err(|_| Refusal::Invalid(None))?;
    let confirmation = Confirmation::of(claims).map_err(|_| Refusal::Invalid(None))?;
    let target = Target::at("https://api.example", parts.uri.path()).ok_or(Refusal::Invalid(None))?;
    let proof = if parts.headers.contains_key("dpop") {
        let judged = verifier.verify(&parts.headers, parts.method.as_str(), &target, Some("the token"), clock.now());
        Some(judged.map_err(|refusal| Refusal::Proof(refusal, None))?)
    } else {
        None
    };
    Ok(Presented::described(description).confirmed(&confirmation, &Shown { proof, certificate: None }))
}

#[tokio::test]
async fn a_token_is_bound_only_if_its_key_was_shown_on_this_request() {
    let gate = Gate::open().await;
    let (key, other) =
        (SigningKey::generate(Algorithm::Es256).unwrap(), SigningKey::generate(Algorithm::Es256).unwrap());
    let token =
        json!({"iss": gate.issuer(), "sub": "alice", "iat": START, "exp": START + 300, "cnf": {"jkt": key.key_id()}});
    let (verifier, clock) = (Verifier::new(DpopPolicy::default()), Arc::clone(&gate.peer.clock));
    let identify = move |parts: &mut Parts| with_proof(parts, &token, &verifier, &clock);
    let base = served(GuardLayer::new(gate.peer.receiver.local(), identify)).await;
    let http = client();
    let ask = async |headers: HeaderMap| http.get(format!("{base}/page")).headers(headers).send().await.unwrap();
    let proof = |key: &SigningKey, jti: &str, path: &str| {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.public_jwk()});
        let ath = BASE64_URL_SAFE_NO_PAD.encode(sha256("the token"));
        let claims =
            json!({"jti": jti, "htm": "GET", "htu": format!("https://api.example{path}"), "iat": START, "ath": ath});
        let mut headers = HeaderMap::new();
        headers.insert("dpop", jws(&header, &claims, |message| key.sign(message).unwrap()).parse().unwrap());
        headers
    };

    let shown = proof(&key, "1", "/page");
    let bound = ask(shown.clone()).await;
    assert_eq!(bound.status(), 200);
    let checked: Value = bound.json().await.unwrap();
    assert_eq!(checked["class"], "bound");

    let refused = [
        (ask(shown).await, "DPoP error=\"invalid_dpop_proof\"", "the same proof again"),
        (ask(proof(&key, "2", "/other")).await, "DPoP error=\"invalid_dpop_proof\"", "a proof for another page"),
        (ask(proof(&other, "3", "/page")).await, "DPoP error=\"invalid_token\"", "somebody else's key"),
        (ask(HeaderMap::new()).await, "DPoP error=\"invalid_token\"", "no proof at all: a stolen token"),
    ];
    for (answer, expected, what) in refused {
        let (status, challenge) = seen(&answer);
        assert!(status == 401 && challenge.starts_with(expected), "{what}: {status} {challenge}");
    }
}
