//! `ssf-receiver tail`: a stream is followed by poll or by push, and each SET is shown or refused with the reason.

use std::time::Duration;

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_harness::idp::uris;
use ssf_harness::processes::free_port;
use tokio::process::Child;

use super::odd::{Odd, good};
use super::{Bench, Said};

// RFC 8936 §2: verified, shown, acknowledged.
#[tokio::test]
async fn tail_follows_a_poll_stream_of_its_own_and_takes_it_away() {
    let bench = Bench::new().await;
    let tail = bench.start(&["tail", "--create", "--events", "session-revoked", "--ack", "--count", "2"]);
    let stream = bench.stream().await;
    assert_eq!(stream["events_requested"], json!(uris(&["session-revoked"])));
    for session in ["s-1", "s-2"] {
        bench.idp.revoke(&bench.producer, session).await;
        bench.idp.fan_out().await;
    }
    let said = ended(tail).await;
    assert_eq!(said.code, 0, "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 2, "{said:?}");
    for (line, session) in lines.iter().zip(["s-1", "s-2"]) {
        let subject = json!({"format": "opaque", "id": session}).to_string();
        assert!(line.contains(" session-revoked jti=") && line.contains(&subject), "{line}");
    }
    assert_eq!(bench.streams().await.len(), 0, "{said:?}");
    assert_eq!(bench.idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await, 2);
}

// RFC 8936 §2.4: what is not acknowledged stays, and is shown once.
#[tokio::test]
async fn tail_without_ack_takes_nothing_and_ends_at_ctrl_c() {
    let bench = Bench::new().await;
    let stream = bench.idp.poll_stream(&bench.party, &["session-revoked"]).await;
    bench.idp.revoke(&bench.producer, "s-1").await;
    bench.idp.fan_out().await;
    let mut tail = bench.start(&["tail", "--json", "--set", "poll.interval=20ms"]);
    let mut out = tail.stdout.take().unwrap();
    let mut shown = Vec::new();
    while !shown.ends_with(b"\n}\n") {
        tokio::io::AsyncReadExt::read_buf(&mut out, &mut shown).await.unwrap();
    }
    let claims: Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": "s-1"}));
    interrupt(&tail);
    let said = ended(tail).await;
    assert_eq!(said.code, 0, "{said:?}");
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut out, &mut rest).await.unwrap();
    assert!(rest.is_empty(), "a SET that comes again is not shown again");
    let kept = bench.idp.poll(&bench.party, &stream, &json!({})).await;
    assert_eq!(kept.body["sets"].as_object().unwrap().len(), 1, "nothing was acknowledged");
}

// RFC 8935 §2.2, §2.3
#[tokio::test]
async fn tail_receives_pushes_and_says_why_some_are_refused() {
    let bench = Bench::new().await;
    let at = format!("127.0.0.1:{}", free_port().unwrap());
    let tail = bench.start(&["tail", "--create", "--events", "session-revoked", "--listen", &at, "--trace"]);
    let stream = bench.stream().await;
    assert_eq!(stream["delivery"]["endpoint_url"], format!("http://{at}/push"));
    bench.idp.revoke(&bench.producer, "s-1").await;
    for _ in 0..500 {
        bench.idp.drain().await;
        if bench.idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await == 1 {
            break;
        }
        // It may not know its stream yet, and says so.
        bench.idp.advance(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = |media: &'static str| http.post(format!("http://{at}/push")).header("content-type", media).body("a.b.c");
    assert_eq!(post("application/json").send().await.unwrap().status().as_u16(), 415);
    let refused = post("application/secevent+jwt").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["content-language"].to_str().unwrap()), (400, "en"));
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["err"], "authentication_failed");
    assert_eq!(http.get(format!("http://{at}/push")).send().await.unwrap().status().as_u16(), 405);
    interrupt(&tail);
    let said = ended(tail).await;
    assert_eq!(said.code, 3, "a SET was refused: {said:?}");
    assert!(said.out.contains(" session-revoked jti=") && said.out.lines().count() == 1, "{said:?}");
    assert!(
        said.err.contains("\nrefused without a jti authentication_failed: the `Authorization` header is not"),
        "{said:?}"
    );
    assert!(said.err.contains("< POST /push") && said.err.contains("> 202 Accepted"), "{said:?}");
    assert!(said.err.contains("< authorization: Bearer ***"), "{said:?}");
    assert_eq!(bench.streams().await.len(), 0, "{said:?}");
}

// SSF 1.0 §6.1: a stream is followed in the way it is delivered.
#[tokio::test]
async fn tail_needs_to_know_which_stream_and_how_it_comes() {
    let bench = Bench::new().await;
    let none = bench.run(&["tail"]).await;
    assert_eq!(none.code, 2);
    assert!(none.err.contains("there is no stream; make one, or use --create"), "{none:?}");
    let stream = bench.idp.push_stream(&bench.party, "http://127.0.0.1:9/push", &["session-revoked"]).await;
    let pushed = bench.run(&["tail", "--stream-id", &stream]).await;
    assert_eq!(pushed.code, 1);
    assert!(pushed.err.contains("the stream is not delivered by poll"), "{pushed:?}");
    let reply =
        bench.idp.call(Method::GET, &format!("/ssf/streams?stream_id={stream}"), &bench.party.token, None).await;
    assert_eq!(reply.status, 200, "a stream that was there is left alone");
}

// RFC 8417 §2, SSF 1.0 §4.1: what a receiver refuses, and in which words.
#[tokio::test]
async fn tail_says_of_each_set_why_it_is_refused() {
    let odd = Odd::start().await;
    let (key, other) =
        (SigningKey::generate(Algorithm::Es256).unwrap(), SigningKey::generate(Algorithm::Es256).unwrap());
    odd.answers("GET", "/jwks", good(200).set_body_json(json!({"keys": [key.public_jwk()]}))).await;
    odd.answers("GET", "/streams", good(200).set_body_json(json!([odd.stream()]))).await;
    let claims = |jti: &str| {
        json!({
            "iss": odd.server.uri(), "aud": "rp", "jti": jti, "iat": 1_795_000_000, "sub_id": {"format": "opaque", "id": "s"},
            "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {"event_timestamp": 1_795_000_000}},
        })
    };
    let with = |jti: &str, member: &str, value: Value| {
        let mut claims = claims(jti);
        claims[member] = value;
        claims
    };
    let sets = json!({"sets": {
        "a": signed(&key, &claims("a")),
        "b": signed(&other, &claims("b")),
        "c": signed(&key, &with("c", "iss", json!("https://other.example"))),
        "d": signed(&key, &with("d", "aud", json!("somebody-else"))),
        "e": signed(&key, &with("e", "exp", json!(1_795_000_100))),
        "f": "not a SET",
    }});
    odd.answers("POST", "/poll", good(200).set_body_json(sets)).await;
    let said = odd.run(&["tail", "--ack", "--count", "6"]).await;
    assert_eq!(said.code, 3, "{said:?}");
    assert_eq!(said.out.lines().count(), 1, "{said:?}");
    assert!(said.out.contains(" session-revoked jti=a "), "{said:?}");
    for line in [
        "refused b invalid_key: the header's `kid` is not in the issuer's key set",
        "refused c invalid_issuer: the claim `iss` is not the issuer of this stream",
        "refused d invalid_audience: the claim `aud` does not name this receiver",
        "refused e invalid_request: the claim `exp` must not stand in a SET",
        "refused f invalid_request: the body is not one JWS in compact form",
    ] {
        assert!(said.err.lines().any(|said| said == line), "{line}: {said:?}");
    }
    let requests = odd.server.received_requests().await.unwrap();
    let keys = requests.iter().filter(|request| request.url.path() == "/jwks").count();
    assert_eq!(keys, 2, "once at the start, once for the unknown key");
    let last = requests.iter().rfind(|request| request.url.path() == "/poll").unwrap();
    let last: Value = serde_json::from_slice(&last.body).unwrap();
    assert_eq!((&last["ack"], &last["maxEvents"]), (&json!(["a"]), &json!(0)));
    assert_eq!(last["setErrs"]["b"]["err"], "invalid_key");
    assert_eq!(last["setErrs"].as_object().unwrap().len(), 5);
}

async fn ended(child: Child) -> Said {
    let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await;
    Said::of(output.expect("it ends in time").unwrap())
}

fn interrupt(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::INT).unwrap();
}

fn signed(key: &SigningKey, claims: &Value) -> String {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let header = json!({"typ": "secevent+jwt", "alg": key.algorithm(), "kid": key.key_id()}).to_string();
    let signed =
        format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}
