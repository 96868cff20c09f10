//! What the push endpoint answers to good SETs, bad SETs and strangers.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde_json::{Value, json};
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_harness::TestCluster;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::peer::{Peer, jws, ok};
use crate::rp::prepared;

/// A receiver whose stream is there, and what the transmitter must show.
async fn joined() -> (Peer, String) {
    let peer = Peer::start("push").await;
    peer.is_helpful().await;
    peer.keep().await;
    let authorization = peer.authorization().await;
    (peer, authorization)
}

#[tokio::test]
async fn the_same_set_pushed_three_times_at_once_has_one_effect_and_three_202s() {
    let (peer, authorization) = joined().await;
    let set = peer.signed(&peer.claims("set-1"));
    let push = || peer.push(&authorization, set.clone());
    let (a, b, c) = tokio::join!(push(), push(), push());
    assert_eq!([a.0, b.0, c.0], [202; 3]);
    assert_eq!(peer.number("select count(*) from received_set").await, 1);
    assert_eq!(peer.number("select seq from feed").await, 1);
    assert_eq!(push().await.0, 202);
    assert_eq!(peer.number("select seq from feed").await, 1);
}

#[tokio::test]
async fn every_bad_set_is_refused_with_its_code_and_leaves_nothing_but_the_refusal() {
    let (peer, authorization) = joined().await;
    let refused = bad_sets(&peer);
    for (what, status, code, body) in &refused {
        assert_eq!(peer.push(&authorization, body.clone()).await, (*status, (*code).to_owned()), "{what}");
    }
    assert_eq!(peer.number("select count(*) from refusal").await, i64::try_from(refused.len()).unwrap());
    assert_eq!(peer.number("select count(*) from received_set").await, 0);
    assert_eq!(peer.number("select count(*) from cutoff").await, 0);
    assert_eq!(peer.number("select seq from feed").await, 0);
    assert_eq!(peer.push(&authorization, peer.signed(&peer.claims("good"))).await.0, 202);
    assert_eq!(peer.number("select count(*) from cutoff").await, 1);
}

/// What is wrong, the answer, and the body.
fn bad_sets(peer: &Peer) -> Vec<(&'static str, u16, &'static str, Vec<u8>)> {
    let key_id = peer.key.key_id();
    let header = |alg: &str| json!({"typ": "secevent+jwt", "alg": alg, "kid": key_id});
    let with = |member: &str, value: Value| {
        let mut claims = peer.claims("bad");
        claims[member] = value;
        peer.signed(&claims).into_bytes()
    };
    let good = peer.signed(&peer.claims("bad"));
    let stranger = SigningKey::generate(Algorithm::Rs256).unwrap();
    let by_stranger = jws(&header("RS256"), &peer.claims("bad"), |message| stranger.sign(message).unwrap());
    let unknown = json!({"typ": "secevent+jwt", "alg": "RS256", "kid": "unknown"});
    let of_unknown_key = jws(&unknown, &peer.claims("bad"), |message| stranger.sign(message).unwrap());
    let plain_jwt = json!({"typ": "JWT", "alg": "RS256", "kid": key_id});
    let plain_jwt = jws(&plain_jwt, &peer.claims("bad"), |message| peer.key.sign(message).unwrap());
    let unsigned = jws(&header("none"), &peer.claims("bad"), |_| Vec::new());
    let modulus = BASE64_URL_SAFE_NO_PAD.decode(peer.key.public_jwk()["n"].as_str().unwrap()).unwrap();
    let by_public_key = jws(&header("HS256"), &peer.claims("bad"), |message| hmac(&modulus, message));
    let two_events = json!({
        "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {},
        "https://schemas.openid.net/secevent/risc/event-type/account-disabled": {},
    });
    let mut without_jti = peer.claims("bad");
    without_jti.as_object_mut().unwrap().remove("jti");
    vec![
        ("bad signature", 400, "invalid_key", by_stranger.into_bytes()),
        ("unknown kid", 400, "invalid_key", of_unknown_key.into_bytes()),
        ("alg none", 400, "invalid_key", unsigned.into_bytes()),
        ("HMAC with the public key", 400, "invalid_key", by_public_key.into_bytes()),
        ("wrong aud", 400, "invalid_audience", with("aud", json!("https://other.example"))),
        ("wrong iss", 400, "invalid_issuer", with("iss", json!("https://other.example"))),
        ("wrong typ", 400, "invalid_request", plain_jwt.into_bytes()),
        ("exp", 400, "invalid_request", with("exp", json!(1_900_000_000))),
        ("sub", 400, "invalid_request", with("sub", json!("alice"))),
        ("no jti", 400, "invalid_request", peer.signed(&without_jti).into_bytes()),
        ("two events", 400, "invalid_request", with("events", two_events)),
        ("issued in the future", 400, "invalid_request", with("iat", json!(crate::rp::START + 61))),
        ("truncated", 400, "invalid_request", good.as_bytes()[..good.rfind('.').unwrap()].to_vec()),
        ("cut inside the signature", 400, "invalid_key", good.as_bytes()[..good.len() - 2].to_vec()),
        ("not UTF-8", 400, "invalid_request", vec![0xff, 0xfe, b'.', 0x80, b'.', 0x80]),
        ("nothing", 400, "invalid_request", Vec::new()),
        ("oversized", 413, "invalid_request", vec![b'a'; 65_537]),
    ]
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = PKey::hmac(key).unwrap();
    Signer::new(MessageDigest::sha256(), &key).unwrap().sign_oneshot_to_vec(message).unwrap()
}

#[tokio::test]
async fn a_refusal_is_answered_as_rfc_8935_says() {
    let (peer, authorization) = joined().await;
    let mut claims = peer.claims("set-1");
    claims["aud"] = json!("https://other.example");
    let response = peer
        .http
        .post(format!("{}/ssf/push/idp", peer.base))
        .header("content-type", "application/secevent+jwt; charset=utf-8")
        .header("authorization", &authorization)
        .body(peer.signed(&claims))
        .send()
        .await
        .unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["content-language"].to_str().unwrap()), (400, "en"));
    insta::assert_json_snapshot!(response.json::<Value>().await.unwrap(), @r#"
    {
      "err": "invalid_audience",
      "description": "the claim `aud` does not name this receiver"
    }
    "#);
}

#[tokio::test]
async fn a_set_that_is_too_long_is_refused_in_the_words_of_rfc_8935_however_long_it_is() {
    let (peer, authorization) = joined().await;
    for length in [65_537, 300_000] {
        let answer = peer.push(&authorization, vec![b'a'; length]).await;
        assert_eq!(answer, (413, "invalid_request".to_owned()), "{length}");
    }
    // Longer than anything that is read here: it is answered as soon as it says so.
    let mut connection = TcpStream::connect(peer.base.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /ssf/push/idp HTTP/1.1\r\nhost: rp\r\nconnection: close\r\ncontent-type: application/secevent+jwt\r\n\
         authorization: {authorization}\r\ncontent-length: 50000000\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("content-language: en"), "{answer}");
    let body: Value = serde_json::from_str(answer.rsplit("\r\n\r\n").next().unwrap()).unwrap();
    assert_eq!(body, json!({"err": "invalid_request", "description": "the SET is longer than 65536 bytes"}));
    assert_eq!(peer.number("select count(*) from refusal where code = 'invalid_request'").await, 3);

    let huge = peer.http.post(format!("{}/v1/check", peer.base)).header("content-type", "application/json");
    let answer = huge.body(vec![b' '; 1_048_577]).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 413, "the application's interface keeps its own limit");
    assert_eq!(answer.json::<Value>().await.unwrap()["error"], "invalid_request");
}

#[tokio::test]
async fn strangers_are_turned_away_at_the_door() {
    let (peer, authorization) = joined().await;
    let set = peer.signed(&peer.claims("set-1"));
    for wrong in ["Bearer x", "", authorization.trim_start_matches("Bearer ")] {
        assert_eq!(peer.push(wrong, set.clone()).await, (400, "authentication_failed".to_owned()));
    }
    assert_eq!(peer.number("select count(*) from refusal").await, 1, "knocking does not fill the database");
    let post = |path: &str, content_type: &str| {
        let request = peer.http.post(format!("{}/ssf/push/{path}", peer.base)).body(set.clone());
        request.header("content-type", content_type).header("authorization", &authorization).send()
    };
    assert_eq!(post("idp", "application/json").await.unwrap().status().as_u16(), 415);
    assert_eq!(post("nobody", "application/secevent+jwt").await.unwrap().status().as_u16(), 404);
    let get = peer.http.get(format!("{}/ssf/push/idp", peer.base)).send().await.unwrap();
    assert_eq!(get.status().as_u16(), 405);
    assert_eq!(peer.number("select count(*) from received_set").await, 0);
}

#[tokio::test]
async fn an_authorization_that_another_process_registered_is_good_at_once() {
    let (peer, _) = joined().await;
    let (settings, env) = (peer.receiver.settings().clone(), ssf_common::runtime::Env::system());
    let other = ssf_receiver::app::Receiver::open(settings, env, peer.pool.clone()).await.unwrap();
    other.upstream("idp").unwrap().keeper.create().await.unwrap();
    let theirs = peer.authorization().await;
    assert_eq!(peer.push(&theirs, peer.signed(&peer.claims("set-1"))).await.0, 202);
}

#[tokio::test]
async fn a_key_that_was_rotated_in_is_fetched_and_a_made_up_one_costs_one_request_per_cooldown() {
    let (mut peer, authorization) = joined().await;
    peer.key = SigningKey::generate(Algorithm::Es256).unwrap();
    peer.forgets().await;
    let es256 = |peer: &Peer, kid: &str, jti: &str| {
        let header = json!({"typ": "secevent+jwt", "alg": "ES256", "kid": kid});
        jws(&header, &peer.claims(jti), |message| peer.key.sign(message).unwrap())
    };
    let kid = peer.key.key_id().to_string();
    let (one, other) = (es256(&peer, &kid, "set-1"), es256(&peer, &kid, "set-2"));
    let (one, other) = tokio::join!(peer.push(&authorization, one), peer.push(&authorization, other));
    assert_eq!((one.0, other.0), (202, 202));
    for jti in ["set-3", "set-4"] {
        let made_up = es256(&peer, "made-up", jti);
        assert_eq!(peer.push(&authorization, made_up).await, (400, "invalid_key".to_owned()));
    }
    assert_eq!(peer.requests("GET", "/jwks.json").await.len(), 1);
    peer.later(30);
    peer.push(&authorization, es256(&peer, "made-up", "set-5")).await;
    assert_eq!(peer.requests("GET", "/jwks.json").await.len(), 2);
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_are_no_reason_to_refuse() {
    let (peer, authorization) = joined().await;
    let peer = peer.restarted("push").await;
    peer.server.reset().await;
    let set = peer.signed(&peer.claims("set-1"));
    assert_eq!(peer.push(&authorization, set.clone()).await, (503, String::new()));
    assert_eq!(peer.number("select count(*) from refusal").await, 0);
    peer.forgets().await;
    peer.later(30);
    assert_eq!(peer.push(&authorization, set).await.0, 202);
}

#[tokio::test]
async fn a_database_that_is_away_is_a_503_and_needs_no_restart() {
    let mut cluster = TestCluster::dedicated().await.unwrap();
    let database = cluster.scratch_database("away").await.unwrap();
    let peer = Peer::on(prepared(&database).await, "push").await;
    peer.answers("POST", "/ssf/streams", ok(&peer.stream("stream-1"))).await;
    peer.answers("POST", "/ssf/verify", ok(&json!({}))).await;
    peer.keep().await;
    let authorization = peer.authorization().await;
    let set = peer.signed(&peer.claims("set-1"));
    cluster.stop().await;
    let response = peer
        .http
        .post(format!("{}/ssf/push/idp", peer.base))
        .header("content-type", "application/secevent+jwt")
        .header("authorization", &authorization)
        .body(set.clone())
        .send()
        .await
        .unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    let ready = || peer.http.get(format!("{}/health/ready", peer.base)).send();
    assert_eq!(ready().await.unwrap().status().as_u16(), 503);
    cluster.start().await.unwrap();
    let mut answers = Vec::new();
    while answers.last() != Some(&202) && answers.len() < 50 {
        answers.push(peer.push(&authorization, set.clone()).await.0);
    }
    assert_eq!(answers.last(), Some(&202), "{answers:?}");
    assert!(answers.iter().all(|status| [202, 503].contains(status)), "{answers:?}");
    assert_eq!(peer.number("select count(*) from received_set").await, 1);
    peer.pool.close().await;
}
