//! Stories about who may call: operators, and clients with tokens of outside authorization servers (CAEP interop §2.7, RFC
//! 6750, RFC 7662, RFC 9068).

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use ssf_common::clock::Clock as _;
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::runtime::Env;
use ssf_harness::idp::{Idp, Party, Reply};
use ssf_transmitter::admin::{self, NewClient};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::client::{Authentication, Scopes};
use wiremock::matchers::{basic_auth, body_string_contains, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// An authorization server that somebody else runs.
struct As {
    server: MockServer,
    key: SigningKey,
}

impl As {
    async fn start() -> Self {
        Self { server: MockServer::start().await, key: SigningKey::generate(Algorithm::Es256).unwrap() }
    }

    fn issuer(&self) -> String {
        self.server.uri()
    }

    /// Publishes these keys and the metadata that name them, at the place of `well_known`.
    async fn publish(&self, well_known: &str, keys: &[&SigningKey]) {
        self.server.reset().await;
        let metadata = json!({"issuer": self.issuer(), "jwks_uri": format!("{}/keys", self.issuer())});
        let keys = json!({"keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>()});
        for (at, body) in [(format!("/.well-known/{well_known}"), metadata), ("/keys".to_owned(), keys)] {
            let answer = ResponseTemplate::new(200).set_body_json(body);
            Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(&self.server).await;
        }
    }

    /// Says this of every token it is asked about.
    async fn says(&self, of_token: &Value) {
        self.server.reset().await;
        let answer = ResponseTemplate::new(200).set_body_json(of_token);
        let asked = Mock::given(method("POST")).and(path("/introspect")).and(basic_auth("idp", "s3cret"));
        asked.and(body_string_contains("token=")).respond_with(answer).mount(&self.server).await;
    }

    async fn calls(&self, at: &str) -> usize {
        self.server.received_requests().await.unwrap().iter().filter(|request| request.url.path() == at).count()
    }

    /// An access token for `client` at this transmitter; `change` makes it another.
    fn token(&self, idp: &Idp, client: &str, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let now = idp.clock.now().unix_seconds();
        let mut header = json!({"typ": "at+jwt", "alg": "ES256", "kid": self.key.key_id()});
        let mut claims = json!({
            "iss": self.issuer(), "aud": idp.issuer, "sub": client, "client_id": client, "iat": now, "exp": now + 300,
            "jti": "1", "scope": "ssf.read ssf.manage",
        });
        change(&mut header, &mut claims);
        sign(&self.key, &header, &claims)
    }
}

pub(crate) fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let encoded = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let content = format!("{}.{}", encoded(header), encoded(claims));
    format!("{content}.{}", BASE64_URL_SAFE_NO_PAD.encode(key.sign(content.as_bytes()).unwrap()))
}

async fn trusting(server: &str) -> Idp {
    Idp::start_with(&[("authorization.servers", server)]).await
}

/// A receiver that gets its tokens from this outside server.
async fn client_of(outside: &As, idp: &Idp, name: &str) -> Party {
    let party = idp.add_receiver(name).await;
    bind(outside, idp, name).await;
    party
}

/// Lets this outside server, and no other, name the client.
async fn bind(outside: &As, idp: &Idp, name: &str) {
    let (by, env) = (Authentication::Outside(outside.issuer()), Env { clock: idp.clock.clone(), ..Env::system() });
    let name = name.into();
    let bound = admin::set_authentication(&idp.pool, &idp.row, &name, &by, &Actor::Service, &env).await;
    assert!(bound.unwrap().is_none(), "its secret is gone");
}

async fn streams(idp: &Idp, token: &str) -> Reply {
    idp.call(Method::GET, "/ssf/streams", token, None).await
}

#[tokio::test]
async fn a_jwt_of_an_outside_server_is_good_for_the_client_it_names_and_within_what_that_may() {
    // RFC 9068 §4, CAEP interop §2.7
    let outside = As::start().await;
    outside.publish("oauth-authorization-server", &[&outside.key]).await;
    let idp = trusting(&format!("[{{issuer={:?}}}]", outside.issuer())).await;
    let rp = client_of(&outside, &idp, "rp").await;
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    idp.add_client(NewClient { scopes: Scopes::from_words(["ssf.read"]), ..NewClient::receiver("reader", "r") }).await;
    bind(&outside, &idp, "reader").await;

    let token = outside.token(&idp, "rp", |_, _| {});
    let seen = streams(&idp, &token).await;
    assert_eq!((seen.status, seen.body[0]["stream_id"].as_str()), (200, Some(stream.as_str())), "its own streams");
    let as_rp = Party { token, ..rp };
    assert_eq!(idp.post("/ssf/verify", &as_rp, &json!({"stream_id": stream})).await.status, 204);

    let reader = outside.token(&idp, "reader", |_, _| {});
    assert_eq!(streams(&idp, &reader).await.status, 200);
    let refused = idp.call(Method::POST, "/ssf/streams", &reader, Some(&json!({}))).await;
    assert_eq!(
        (refused.status, refused.text("error")),
        (403, "insufficient_scope"),
        "the client may no more than that"
    );

    let manager = outside.token(&idp, "reader", |_, claims| claims["scope"] = json!("ssf.manage"));
    assert_eq!(streams(&idp, &manager).await.status, 200, "to manage is to read, and to read it may");

    let stranger = streams(&idp, &outside.token(&idp, "stranger", |_, _| {})).await;
    assert_eq!((stranger.status, stranger.text("error")), (403, "access_denied"));
    let resource = idp.send(Method::GET, "/.well-known/oauth-protected-resource", &[], "").await;
    assert_eq!(resource.body["authorization_servers"], json!([idp.issuer, outside.issuer()]));
}

#[tokio::test]
async fn a_server_names_the_clients_that_are_its_own_and_nobody_else() {
    let (ours, theirs) = (As::start().await, As::start().await);
    for server in [&ours, &theirs] {
        server.publish("oauth-authorization-server", &[&server.key]).await;
    }
    let idp = trusting(&format!("[{{issuer={:?}}}, {{issuer={:?}}}]", ours.issuer(), theirs.issuer())).await;
    idp.add_receiver("secretive").await;
    client_of(&ours, &idp, "rp").await;
    let seen = async |server: &As, name: &str| {
        let reply = streams(&idp, &server.token(&idp, name, |_, _| {})).await;
        (reply.status, reply.body.get("error").and_then(Value::as_str).map(ToOwned::to_owned))
    };
    assert_eq!(seen(&ours, "rp").await, (200, None));
    let denied = (403, Some("access_denied".to_owned()));
    assert_eq!(seen(&theirs, "rp").await, denied, "a namesake at another server");
    assert_eq!(seen(&ours, "secretive").await, denied, "one that has a secret of ours");
}

#[tokio::test]
async fn a_server_that_is_told_our_names_must_say_whom_a_token_is_for() {
    let outside = As::start().await;
    let with_names = asking(&outside).replace("client_id=", "audience=[\"api://ssf\"], client_id=");
    let idp = trusting(&with_names).await;
    client_of(&outside, &idp, "rp").await;
    outside.says(&json!({"active": true, "client_id": "rp", "scope": "ssf.read"})).await;
    assert_eq!(streams(&idp, "for-anybody").await.status, 401);
    outside.says(&json!({"active": true, "client_id": "rp", "scope": "ssf.read", "aud": "api://ssf"})).await;
    assert_eq!(streams(&idp, "for-us").await.status, 200);
}

#[tokio::test]
async fn a_jwt_that_is_not_an_access_token_for_us_is_a_bad_token() {
    // RFC 9068 §4, RFC 8725 §3, RFC 6750 §3.1
    let outside = As::start().await;
    outside.publish("openid-configuration", &[&outside.key]).await;
    let idp = trusting(&format!("[{{issuer={:?}, algorithms=[\"ES256\"]}}]", outside.issuer())).await;
    client_of(&outside, &idp, "rp").await;
    assert_eq!(streams(&idp, &outside.token(&idp, "rp", |_, _| {})).await.status, 200, "OpenID's metadata do as well");
    let now = idp.clock.now().unix_seconds();
    let with = |part: &'static str, member: &'static str, value: Value| {
        outside.token(&idp, "rp", |header, claims| {
            let part = if part == "header" { header } else { claims };
            part[member] = value;
        })
    };
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": outside.key.key_id()});
    let claims = json!({"iss": outside.issuer(), "aud": idp.issuer, "client_id": "rp", "exp": now + 300});
    let bad = [
        with("header", "typ", json!("JWT")),
        with("header", "typ", json!("secevent+jwt")),
        with("header", "alg", json!("none")),
        with("header", "alg", json!("RS256")),
        with("header", "kid", json!("unknown")),
        with("header", "crit", json!(["b64"])),
        with("claims", "iss", json!("https://other.example")),
        with("claims", "aud", json!("https://other.example")),
        with("claims", "exp", json!(now)),
        with("claims", "nbf", json!(now + 120)),
        with("claims", "iat", json!(now + 120)),
        with("claims", "client_id", json!(7)),
        with("claims", "client_id", json!("r\0p")),
        sign(&other, &header, &claims),
        outside.token(&idp, "rp", |_, _| {}) + "x",
        "a.b.c".to_owned(),
        "x".repeat(20_000),
    ];
    for token in bad {
        let refused = streams(&idp, &token).await;
        let challenge = refused.header("www-authenticate");
        assert_eq!((refused.status, refused.text("error")), (401, "invalid_token"), "{token}");
        assert!(challenge.starts_with("Bearer error=\"invalid_token\", resource_metadata="), "{challenge}");
    }
    assert_eq!(outside.calls("/keys").await, 1, "made-up key ids do not turn us against the server");
    let no_scope = with("claims", "scope", json!("openid email"));
    assert_eq!(streams(&idp, &no_scope).await.text("error"), "insufficient_scope");
}

#[tokio::test]
async fn servers_write_scopes_clients_and_types_in_several_ways() {
    let outside = As::start().await;
    outside.publish("oauth-authorization-server", &[&outside.key]).await;
    let (issuer, keys) = (outside.issuer(), format!("{}/keys", outside.issuer()));
    let settings = format!(
        "[{{issuer={issuer:?}, jwks_uri={keys:?}, untyped_jwt=true, client_claim=\"azp\", audience=[\"api://ssf\"]}}]"
    );
    let idp = trusting(&settings).await;
    client_of(&outside, &idp, "rp").await;
    let token = |typ: Option<&str>, name: &str, scopes: Value| {
        outside.token(&idp, "rp", |header, claims| {
            header.as_object_mut().unwrap().remove("typ");
            if let Some(typ) = typ {
                header["typ"] = json!(typ);
            }
            let claims = claims.as_object_mut().unwrap();
            claims.remove("scope");
            claims.remove("client_id");
            claims.extend([("azp".to_owned(), json!("rp")), ("aud".to_owned(), json!(["x", "api://ssf"]))]);
            claims.insert(name.to_owned(), scopes);
        })
    };
    for token in [
        token(Some("JWT"), "scope", json!("openid ssf.read")),
        token(None, "scope", json!(["ssf.read"])),
        token(Some("application/at+jwt"), "scp", json!(["ssf.read"])),
        token(Some("at+jwt"), "scp", json!("ssf.read")),
    ] {
        assert_eq!(streams(&idp, &token).await.status, 200);
    }
    assert_eq!(streams(&idp, &token(Some("secevent+jwt"), "scope", json!("ssf.read"))).await.status, 401);
}

#[tokio::test]
async fn a_rotated_key_is_found_and_keys_that_cannot_be_read_are_not_the_callers_fault() {
    let mut outside = As::start().await;
    let idp = trusting(&format!("[{{issuer={:?}}}]", outside.issuer())).await;
    client_of(&outside, &idp, "rp").await;
    let first = streams(&idp, &outside.token(&idp, "rp", |_, _| {})).await;
    assert_eq!((first.status, first.header("retry-after")), (503, "1"));
    outside.publish("oauth-authorization-server", &[&outside.key]).await;
    idp.advance(Duration::from_secs(30));
    let old = outside.token(&idp, "rp", |_, _| {});
    assert_eq!(streams(&idp, &old).await.status, 200);
    outside.key = SigningKey::generate(Algorithm::Es256).unwrap();
    outside.publish("oauth-authorization-server", &[&outside.key]).await;
    idp.advance(Duration::from_secs(30));
    assert_eq!(streams(&idp, &outside.token(&idp, "rp", |_, _| {})).await.status, 200);
    assert_eq!(streams(&idp, &old).await.status, 401, "the old one is withdrawn");
    // a server whose metadata name another issuer is not believed
    let liar = As::start().await;
    liar.publish("oauth-authorization-server", &[&liar.key]).await;
    let idp = trusting(&format!("[{{issuer=\"{}/\"}}]", liar.issuer())).await;
    idp.add_receiver("rp").await;
    let token = liar.token(&idp, "rp", |_, claims| claims["iss"] = json!(format!("{}/", liar.issuer())));
    assert_eq!(streams(&idp, &token).await.status, 503);
}

#[tokio::test]
async fn a_token_that_says_nothing_is_asked_about_and_the_answer_is_believed_for_a_moment() {
    // RFC 7662 §2
    let outside = As::start().await;
    let idp = trusting(&asking(&outside)).await;
    client_of(&outside, &idp, "rp").await;
    let now = idp.clock.now().unix_seconds();
    let good = json!({"active": true, "client_id": "rp", "scope": "ssf.read", "exp": now + 12, "aud": idp.issuer});
    outside.says(&good).await;
    for _ in 0..3 {
        assert_eq!(streams(&idp, "opaque-token").await.status, 200);
    }
    assert_eq!(outside.calls("/introspect").await, 1, "it is asked once");
    outside.says(&json!({"active": false})).await;
    assert_eq!(streams(&idp, "opaque-token").await.status, 200);
    idp.advance(Duration::from_secs(10));
    assert_eq!(streams(&idp, "opaque-token").await.status, 401, "and hears of the end within introspection_cache");
    outside.says(&good).await;
    assert_eq!(streams(&idp, "another").await.status, 200);
    idp.advance(Duration::from_secs(2));
    assert_eq!(streams(&idp, "another").await.status, 401, "no answer is believed beyond the token's end");
}

#[tokio::test]
async fn an_answer_that_is_not_about_us_is_a_no_and_no_answer_is_not_the_callers_fault() {
    let outside = As::start().await;
    let idp = trusting(&asking(&outside)).await;
    let rp = client_of(&outside, &idp, "rp").await;
    let now = idp.clock.now().unix_seconds();
    let bad = [
        json!({"active": false}),
        json!({"active": true, "scope": "ssf.read"}),
        json!({"active": true, "client_id": "rp", "scope": "ssf.read", "exp": now}),
        json!({"active": true, "client_id": "rp", "scope": "ssf.read", "nbf": now + 1}),
        json!({"active": true, "client_id": "rp", "scope": "ssf.read", "aud": ["https://other.example"]}),
        json!({"active": true, "client_id": "rp", "scope": "ssf.read", "iss": "https://other.example"}),
    ];
    for (at, answer) in bad.iter().enumerate() {
        outside.says(answer).await;
        let refused = streams(&idp, &format!("token-{at}")).await;
        assert_eq!((refused.status, refused.text("error")), (401, "invalid_token"), "{answer}");
    }
    for (at, answer) in [json!({}), json!([]), json!({"active": "yes"})].iter().enumerate() {
        outside.says(answer).await;
        assert_eq!(streams(&idp, &format!("odd-{at}")).await.status, 503, "{answer}");
    }
    outside.server.reset().await;
    let down = streams(&idp, "unknown").await;
    assert_eq!((down.status, down.header("retry-after")), (503, "1"));
    let redirect = ResponseTemplate::new(302).insert_header("location", "/elsewhere");
    Mock::given(method("POST")).respond_with(redirect).mount(&outside.server).await;
    assert_eq!(streams(&idp, "redirected").await.status, 503);
    assert_eq!(outside.calls("/elsewhere").await, 0, "a secret is not carried elsewhere");
    assert_eq!(streams(&idp, &rp.token).await.status, 200, "our own tokens need nobody");
}

fn asking(outside: &As) -> String {
    let issuer = outside.issuer();
    format!(
        "[{{issuer={issuer:?}, introspection_endpoint=\"{issuer}/introspect\", client_id=\"idp\", client_secret=\"s3cret\"}}]"
    )
}

#[tokio::test]
async fn an_outside_server_counts_only_at_the_issuer_it_is_for_and_makes_nobody_an_operator() {
    let outside = As::start().await;
    outside.publish("oauth-authorization-server", &[&outside.key]).await;
    let elsewhere = format!("[{{issuer={:?}, at=\"https://other.example\"}}]", outside.issuer());
    let idp = trusting(&elsewhere).await;
    client_of(&outside, &idp, "rp").await;
    assert_eq!(streams(&idp, &outside.token(&idp, "rp", |_, _| {})).await.status, 401);

    let idp = trusting(&format!("[{{issuer={:?}}}]", outside.issuer())).await;
    idp.add_operator().await;
    let (by, env) = (Authentication::Outside(outside.issuer()), Env { clock: idp.clock.clone(), ..Env::system() });
    let bound = admin::set_authentication(&idp.pool, &idp.row, &"operator".into(), &by, &Actor::Service, &env).await;
    assert!(bound.is_err(), "an operator's credentials are ours");
    let token = outside.token(&idp, "operator", |_, claims| claims["scope"] = json!("ssf.admin"));
    assert_eq!(streams(&idp, &token).await.status, 403, "and by no other way");
    let administrator = NewClient { is_operator: false, ..NewClient::operator("admin") };
    idp.add_client(administrator).await;
    bind(&outside, &idp, "admin").await;
    let token = outside.token(&idp, "admin", |_, claims| claims["scope"] = json!("ssf.admin ssf.read"));
    assert_eq!(streams(&idp, &token).await.text("error"), "insufficient_scope", "no scope is more than the client's");
}

#[tokio::test]
async fn an_operators_token_is_good_at_every_issuer_for_administration_alone() {
    let idp = Idp::start().await;
    let scopes = Scopes::from_words(["ssf.admin", "ssf.emit", "ssf.read"]);
    let operator = idp.add_client(NewClient { scopes: scopes.clone(), ..NewClient::operator("operator") }).await;
    let admin = NewClient { scopes, is_operator: false, ..NewClient::operator("admin") };
    let administrator = idp.add_client(admin).await;
    let blue = format!("{}/blue", idp.issuer).as_str().into();
    let sealing = ssf_transmitter::keys::SealingKey::parse(&ssf_harness::idp::SEALING_KEY.into()).unwrap();
    let env = Env { clock: idp.clock.clone(), ..Env::system() };
    let own = ssf_transmitter::issuer::OwnDefaults::default();
    let added = admin::add_issuer(&idp.pool, &blue, &own, Algorithm::Es256, &sealing, &Actor::Service, &env);
    added.await.unwrap();
    let twin = idp.twin().await;
    for party in [&operator, &administrator] {
        assert_eq!(twin.get("/latency", party).await.status, 200, "its other scopes are good at its own issuer");
    }
    let known = twin.get("/blue/latency", &operator).await;
    assert_eq!((known.status, known.text("error")), (403, "insufficient_scope"), "known there, for ssf.admin only");
    assert_eq!(twin.get("/blue/latency", &administrator).await.status, 401, "whoever is no operator is nobody there");
}
