//! Stories about the token endpoint: each client by its one method, and no other (RFC 6749 §2.3, §4.4, §5; RFC 7523; RFC
//! 8414; RFC 8707).

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::runtime::Env;
use ssf_harness::idp::{Idp, Party, Reply};
use ssf_transmitter::admin::{self, NewClient};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::client::{AuthMethod, Authentication, ClientKeys, PublicKeys};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn client(idp: &Idp, name: &str, authentication: Authentication) -> Party {
    idp.add_client(NewClient { authentication, ..NewClient::receiver(name, &format!("https://{name}.example")) }).await
}

/// Posts a form, with a Basic header if a pair is given.
async fn ask(idp: &Idp, basic: Option<(&str, &str)>, form: &[(&str, &str)]) -> Reply {
    let header = basic.map(|(id, secret)| format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}"))));
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    headers.extend(header.as_deref().map(|header| ("authorization", header)));
    let form = form.iter().chain([&("grant_type", "client_credentials")]);
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    idp.send(Method::POST, "/oauth2/token", &headers, body).await
}

fn public(keys: &[&SigningKey]) -> Value {
    json!({"keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>()})
}

fn here(keys: &[&SigningKey]) -> Authentication {
    Authentication::Keys(ClientKeys::Here(PublicKeys::parse(public(keys).to_string().as_bytes()).unwrap()))
}

/// A JWT with these claims.
fn signed(key: &SigningKey, claims: &Value) -> String {
    let header = json!({"alg": key.algorithm(), "kid": key.key_id()});
    let encoded = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let content = format!("{}.{}", encoded(&header), encoded(claims));
    format!("{content}.{}", BASE64_URL_SAFE_NO_PAD.encode(key.sign(content.as_bytes()).unwrap()))
}

/// What a client says of itself, good for a minute.
fn assertion(idp: &Idp, client: &str, jti: &str) -> Value {
    let now = ssf_common::clock::Clock::now(&*idp.clock).unix_seconds();
    json!({"iss": client, "sub": client, "aud": idp.issuer, "jti": jti, "iat": now, "exp": now + 60})
}

async fn assert(idp: &Idp, jwt: &str) -> Reply {
    ask(idp, None, &[("client_assertion_type", JWT_BEARER), ("client_assertion", jwt)]).await
}

/// Time as the transmitter has it.
fn env(idp: &Idp) -> Env {
    Env { clock: idp.clock.clone(), ..Env::system() }
}

#[tokio::test]
async fn each_client_is_known_by_its_own_method_and_by_no_other() {
    // RFC 6749 §2.3, RFC 7591 §2
    let idp = Idp::start_with(&[("tokens.allow_public_clients", "true")]).await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let parties = [
        client(&idp, "basic", Authentication::SecretBasic).await,
        client(&idp, "post", Authentication::SecretPost).await,
        client(&idp, "keys", here(&[&key])).await,
        client(&idp, "open", Authentication::Public).await,
    ];
    for party in &parties {
        let name = party.client_id.as_str();
        let secret = if party.secret.is_empty() { "some secret" } else { &party.secret };
        let jwt = signed(&key, &assertion(&idp, name, name));
        let by_each = [
            ("basic", ask(&idp, Some((name, secret)), &[]).await),
            ("post", ask(&idp, None, &[("client_id", name), ("client_secret", secret)]).await),
            ("keys", assert(&idp, &jwt).await),
            ("open", ask(&idp, None, &[("client_id", name)]).await),
        ];
        for (method, reply) in by_each {
            if method == name {
                assert_eq!((reply.status, reply.text("scope")), (200, "ssf.read ssf.manage"), "{name}");
            } else {
                assert_eq!((reply.status, reply.text("error")), (401, "invalid_client"), "{name} by {method}");
            }
            assert_eq!(reply.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn two_ways_at_once_are_refused_and_a_parameter_stands_once() {
    // RFC 6749 §2.3, §3.2
    let idp = Idp::start().await;
    let rp = client(&idp, "rp", Authentication::SecretBasic).await;
    let basic = Some(("rp", rp.secret.as_str()));
    for form in [
        &[("client_secret", "x")][..],
        &[("client_id", "rp"), ("client_secret", rp.secret.as_str())],
        &[("client_assertion_type", JWT_BEARER), ("client_assertion", "a.b.c")],
        &[("client_id", "other")],
        &[("scope", "ssf.read"), ("scope", "ssf.manage")],
    ] {
        let refused = ask(&idp, basic, form).await;
        assert_eq!((refused.status, refused.text("error")), (400, "invalid_request"), "{form:?}");
    }
    let both = ask(&idp, None, &[("client_id", "rp"), ("client_secret", "x"), ("client_assertion", "a.b.c")]).await;
    assert_eq!((both.status, both.text("error")), (400, "invalid_request"));
    assert_eq!(
        ask(&idp, basic, &[("client_id", "rp"), ("client_secret", "")]).await.status,
        200,
        "nothing is not a way"
    );
}

#[tokio::test]
async fn an_assertion_is_good_once_for_us_alone_and_not_for_long() {
    // RFC 7523 §3
    let idp = Idp::start().await;
    let (key, other) =
        (SigningKey::generate(Algorithm::Ps256).unwrap(), SigningKey::generate(Algorithm::Ps256).unwrap());
    client(&idp, "rp", here(&[&key])).await;
    let now = ssf_common::clock::Clock::now(&*idp.clock).unix_seconds();
    let with = |member: &str, value: Value| {
        let mut claims = assertion(&idp, "rp", &format!("{member}{value}"));
        claims[member] = value;
        if claims[member].is_null() {
            claims.as_object_mut().unwrap().remove(member);
        }
        signed(&key, &claims)
    };
    let endpoint = format!("{}/oauth2/token", idp.issuer);
    for good in
        [with("aud", json!(endpoint)), with("aud", json!([idp.issuer, endpoint])), with("exp", json!(now + 600))]
    {
        let granted = assert(&idp, &good).await;
        assert_eq!(granted.status, 200, "{}", granted.body);
        let again = assert(&idp, &good).await;
        assert_eq!((again.status, again.text("error")), (401, "invalid_client"), "it is good once");
    }
    let refused = [
        with("aud", json!("https://other.example")),
        with("aud", json!([idp.issuer, "https://other.example"])),
        with("aud", Value::Null),
        with("exp", json!(now)),
        with("exp", json!(now + 3_600)),
        with("exp", Value::Null),
        with("jti", Value::Null),
        with("jti", json!("")),
        with("sub", json!("other")),
        with("sub", Value::Null),
        with("iss", json!("other")),
        with("nbf", json!(now + 120)),
        signed(&other, &assertion(&idp, "rp", "by another key")),
        signed(&key, &assertion(&idp, "nobody", "of nobody")),
        "e30.e30.e30".to_owned(),
        "garbage".to_owned(),
    ];
    for jwt in refused {
        let refused = assert(&idp, &jwt).await;
        assert_eq!((refused.status, refused.text("error")), (401, "invalid_client"), "{jwt}");
    }
    let kind = ask(&idp, None, &[("client_assertion_type", "saml"), ("client_assertion", "a.b.c")]).await;
    assert_eq!((kind.status, kind.text("error")), (400, "invalid_request"));
    let named = signed(&key, &assertion(&idp, "rp", "named"));
    let form = [("client_id", "x"), ("client_assertion_type", JWT_BEARER), ("client_assertion", &named)];
    assert_eq!(ask(&idp, None, &form).await.text("error"), "invalid_request");
    assert_eq!(idp.count("select count(*) from client_assertion").await, 3, "what is refused is not kept");
    idp.advance(Duration::from_mins(11));
    ssf_common::runtime::worker::Worker::tick(&*idp.transmitter.maintenance).await.unwrap();
    assert_eq!(idp.count("select count(*) from client_assertion").await, 0, "what has ended need not be remembered");
}

#[tokio::test]
async fn a_clients_published_keys_are_read_when_needed_and_may_be_rotated() {
    // RFC 7523 §3, RFC 7517 §5
    let idp = Idp::start().await;
    let (old, new) = (SigningKey::generate(Algorithm::EdDsa).unwrap(), SigningKey::generate(Algorithm::EdDsa).unwrap());
    let server = MockServer::start().await;
    let publish = async |keys: Value| {
        server.reset().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(keys)).mount(&server).await;
    };
    publish(public(&[&old])).await;
    client(&idp, "rp", Authentication::Keys(ClientKeys::At(server.uri().parse().unwrap()))).await;
    let by = async |key: &SigningKey, jti: &str| assert(&idp, &signed(key, &assertion(&idp, "rp", jti))).await.status;
    assert_eq!((by(&old, "1").await, by(&old, "2").await), (200, 200));
    assert_eq!(server.received_requests().await.unwrap().len(), 1, "read once");
    publish(public(&[&new])).await;
    assert_eq!((by(&new, "3").await, by(&new, "4").await), (401, 401), "not read anew within the cooldown");
    idp.advance(Duration::from_secs(30));
    assert_eq!((by(&new, "5").await, by(&old, "6").await), (200, 401));
    server.reset().await;
    idp.advance(Duration::from_mins(11));
    assert_eq!(by(&new, "7").await, 200, "keys that cannot be read anew are used for a while");
    idp.advance(Duration::from_hours(1));
    assert_eq!(by(&new, "8").await, 503, "without keys nobody can say");
}

#[tokio::test]
async fn a_secret_can_be_changed_with_an_overlap_or_at_once() {
    let idp = Idp::start().await;
    let rp = client(&idp, "rp", Authentication::SecretBasic).await;
    let with = async |secret: &str| ask(&idp, Some(("rp", secret)), &[]).await;
    let rotate = async |overlap: u64| {
        let overlap = Duration::from_hours(overlap);
        let (issuer, env) = (&idp.transmitter.issuer, env(&idp));
        let secret = admin::rotate_secret(&idp.pool, issuer, &"rp".into(), overlap, &Actor::Service, &env).await;
        secret.unwrap().expose_secret().to_owned()
    };
    let by_first = Party { token: with(&rp.secret).await.text("access_token").to_owned(), ..rp.clone() };
    let second = rotate(24).await;
    assert_eq!((with(&rp.secret).await.status, with(&second).await.status), (200, 200));
    idp.advance(Duration::from_hours(24));
    assert_eq!((with(&rp.secret).await.status, with(&second).await.status), (401, 200));
    let issued_by_second = Party { token: with(&second).await.text("access_token").to_owned(), ..by_first };
    assert_eq!(idp.get("/ssf/streams", &issued_by_second).await.status, 200);
    let third = rotate(0).await;
    assert_eq!((with(&second).await.status, with(&third).await.status), (401, 200));
    assert_eq!(idp.get("/ssf/streams", &issued_by_second).await.status, 401, "what a leaked secret got has ended too");
    let issuer = &idp.transmitter.issuer;
    let too_long = Duration::from_hours(24 * 31);
    let refused = admin::rotate_secret(&idp.pool, issuer, &"rp".into(), too_long, &Actor::Service, &env(&idp)).await;
    assert!(refused.is_err());
    let deeds = idp.count("select count(*) from audit where action = 'client.secret_rotated' and target = 'rp'").await;
    assert_eq!(deeds, 2);
}

#[tokio::test]
async fn a_client_can_move_to_another_method_and_keeps_its_streams() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let stream = idp.poll_stream(&rp, &["session-revoked"]).await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let set = async |authentication: &Authentication| {
        let (issuer, env) = (&idp.transmitter.issuer, env(&idp));
        admin::set_authentication(&idp.pool, issuer, &"rp".into(), authentication, &Actor::Service, &env).await.unwrap()
    };
    assert!(set(&here(&[&key])).await.is_none());
    assert_eq!(ask(&idp, Some(("rp", &rp.secret)), &[]).await.status, 401);
    let granted = assert(&idp, &signed(&key, &assertion(&idp, "rp", "1"))).await;
    let by_key = Party { token: granted.text("access_token").to_owned(), ..rp.clone() };
    assert_eq!(idp.get(&format!("/ssf/streams?stream_id={stream}"), &by_key).await.status, 200);
    let secret = set(&Authentication::SecretPost).await.unwrap();
    let form = [("client_id", "rp"), ("client_secret", secret.expose_secret())];
    assert_eq!(ask(&idp, None, &form).await.status, 200);
    assert_eq!(assert(&idp, &signed(&key, &assertion(&idp, "rp", "2"))).await.status, 401);
}

#[tokio::test]
async fn a_name_alone_gets_nothing_where_that_is_not_allowed() {
    let idp = Idp::start().await;
    client(&idp, "open", Authentication::Public).await;
    let refused = ask(&idp, None, &[("client_id", "open")]).await;
    assert_eq!((refused.status, refused.text("error")), (401, "invalid_client"));
}

#[tokio::test]
async fn a_resource_that_is_asked_for_must_be_this_issuer() {
    // RFC 8707 §2
    let idp = Idp::start().await;
    let rp = client(&idp, "rp", Authentication::SecretBasic).await;
    let basic = Some(("rp", rp.secret.as_str()));
    assert_eq!(ask(&idp, basic, &[("resource", idp.issuer.as_str())]).await.status, 200);
    let refused = ask(&idp, basic, &[("resource", idp.issuer.as_str()), ("resource", "https://other.example")]).await;
    assert_eq!((refused.status, refused.text("error")), (400, "invalid_target"));
}

#[tokio::test]
async fn the_servers_metadata_say_what_it_does_and_are_gone_with_it() {
    // RFC 8414 §2, RFC 9728 §2
    let idp = Idp::start().await;
    let read = async |idp: &Idp, name: &str| idp.send(Method::GET, &format!("/.well-known/{name}"), &[], "").await;
    let server = read(&idp, "oauth-authorization-server").await;
    let expected = json!({
        "issuer": idp.issuer,
        "token_endpoint": format!("{}/oauth2/token", idp.issuer),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
        "scopes_supported": ["ssf.read", "ssf.manage", "ssf.emit", "ssf.admin"],
        "response_types_supported": [],
    });
    assert_eq!(server.body, expected);
    let resource = read(&idp, "oauth-protected-resource").await;
    let expected = json!({
        "resource": idp.issuer,
        "authorization_servers": [idp.issuer],
        "scopes_supported": ["ssf.read", "ssf.manage", "ssf.emit", "ssf.admin"],
        "bearer_methods_supported": ["header"],
    });
    assert_eq!((resource.status, &resource.body), (200, &expected));

    let open = Idp::start_with(&[("tokens.allow_public_clients", "true")]).await;
    let methods = read(&open, "oauth-authorization-server").await.body["token_endpoint_auth_methods_supported"].clone();
    assert!(methods.as_array().unwrap().contains(&json!(AuthMethod::None.as_str())));

    let without = Idp::start_with(&[("tokens.enabled", "false")]).await;
    let rp = client(&without, "rp", Authentication::SecretBasic).await;
    let token = without.add_receiver("static").await.token;
    assert_eq!(without.call(Method::GET, "/ssf/streams", &token, None).await.status, 200);
    // a token issued before it was switched off
    without.execute("update access_token set kind = 'issued', expires_at = now() + interval '100 years'").await;
    assert_eq!(without.call(Method::GET, "/ssf/streams", &token, None).await.status, 401);
    assert_eq!(ask(&without, Some(("rp", &rp.secret)), &[]).await.status, 404);
    assert_eq!(read(&without, "oauth-authorization-server").await.status, 404);
    let resource = read(&without, "oauth-protected-resource").await;
    assert_eq!((resource.status, resource.body.get("authorization_servers")), (200, None));
}

#[tokio::test]
async fn a_client_has_several_static_tokens_and_loses_one_at_a_time() {
    let idp = Idp::start().await;
    let rp = idp.add_receiver("rp").await;
    let (issuer, pool, name) = (&idp.transmitter.issuer, &idp.pool, "rp".into());
    let add = async |label: &str, scope: Option<&str>| {
        idp.advance(Duration::from_secs(1));
        let scopes = scope.map(|scope| ssf_transmitter::client::Scopes::from_words([scope]));
        admin::add_token(pool, issuer, &name, Some(label), scopes.as_ref(), &Actor::Service, &env(&idp)).await
    };
    let party = |token: &secrecy::SecretString| Party { token: token.expose_secret().to_owned(), ..rp.clone() };
    let (first, token) = add("blue", Some("ssf.read")).await.unwrap();
    let blue = party(&token);
    let green = party(&add("green", None).await.unwrap().1);
    assert!(add("green", None).await.is_err(), "a label is unique");
    assert!(add("red", Some("ssf.admin")).await.is_err(), "and no token allows more than its client may");
    assert_eq!((idp.get("/ssf/streams", &blue).await.status, idp.get("/ssf/streams", &green).await.status), (200, 200));
    assert_eq!(idp.post("/ssf/streams", &blue, &json!({})).await.status, 403);
    let listed = admin::list_tokens(pool, issuer, &name).await.unwrap();
    let labels: Vec<Option<&str>> = listed.iter().map(|token| token.label.as_deref()).collect();
    assert_eq!(labels, [None, Some("blue"), Some("green")]);
    for named in ["green".to_owned(), first.to_string()] {
        admin::revoke_token(pool, issuer, &name, &named, &Actor::Service, &env(&idp)).await.unwrap();
        assert!(admin::revoke_token(pool, issuer, &name, &named, &Actor::Service, &env(&idp)).await.is_err());
    }
    let left = [&blue, &green, &rp].map(|party| idp.get("/ssf/streams", party));
    let [blue, green, rp] = left;
    assert_eq!((blue.await.status, green.await.status, rp.await.status), (401, 401, 200));
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
