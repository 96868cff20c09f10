//! Stories about whom the transmitter calls: a receiver chooses the address, so it must not reach what lies behind us,
//! neither by the URL it writes nor by what its name resolves to later.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::{Method, StatusCode, Version};
use serde_json::{Value, json};
use ssf_common::clock::{Clock as _, SystemClock};
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Shutdown;
use ssf_common::runtime::http::Server;
use ssf_common::runtime::outgoing::Lookup;
use ssf_common::runtime::tls::{ClientCertificates, Tls, TlsFiles, development};
use ssf_harness::idp::{Idp, Party};
use ssf_harness::sink::{Answer, Sink};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::folder::Folder;

/// In production: whoever speaks for https is not asked about loopback.
const PRODUCTION: (&str, &str) = ("issuer.url", "https://idp.example");

async fn ask_for(idp: &Idp, receiver: &Party, endpoint: &str) -> (u16, Value) {
    let delivery = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": endpoint});
    let reply = idp.post("/ssf/streams", receiver, &json!({"delivery": delivery})).await;
    (reply.status, reply.body)
}

// RFC 8935 §2, transmitter.md "Push": the target address is checked at registration
#[tokio::test]
async fn an_endpoint_that_is_not_on_the_public_internet_is_refused_when_it_is_registered() {
    let idp = Idp::start_with(&[PRODUCTION, ("push.allow", "[\"10.1.2.0/24\", \"*.allowed.example:8443\"]")]).await;
    let receiver = idp.add_receiver("rp").await;
    for endpoint in [
        "https://127.0.0.1/push",
        "https://0x7f.1/push",
        "https://2130706433/push",
        "https://localhost/push",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.1.3.4/push",
        "https://100.64.0.1/push",
        "https://[::1]/push",
        "https://[::ffff:192.168.0.1]/push",
        "https://[64:ff9b::a00:1]/push",
        "https://[fe80::1]/push",
        "https://metadata.google.internal/computeMetadata/v1/",
        "https://rp.example:22/push",
        "http://rp.example/push",
        "https://user:password@rp.example/push",
    ] {
        let (status, body) = ask_for(&idp, &receiver, endpoint).await;
        assert_eq!((status, body["error"].as_str().unwrap()), (400, "invalid_request"), "{endpoint}");
        let said = body["error_description"].as_str().unwrap();
        assert!(said.starts_with("delivery.endpoint_url must") && !said.contains("127."), "{endpoint}: {said}");
    }
    let (status, body) = ask_for(&idp, &receiver, "https://rp.example/push").await;
    assert_eq!(status, 201, "{body}");
    // the same check stands before every change
    let change = json!({"stream_id": body["stream_id"], "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": "https://127.0.0.1/"}});
    for verb in [http::Method::PATCH, http::Method::PUT] {
        assert_eq!(idp.call(verb, "/ssf/streams", &receiver.token, Some(&change)).await.status, 400);
    }
    for (name, endpoint) in
        [("inside", "https://10.1.2.3:9443/push"), ("below", "https://rp.allowed.example:8443/push")]
    {
        let other = idp.add_receiver(name).await;
        assert_eq!(ask_for(&idp, &other, endpoint).await.0, 201, "{endpoint}");
    }
}

/// Answers as told, one answer each; the last one stays.
#[derive(Clone, Debug, Default)]
struct Names(Arc<Mutex<VecDeque<Vec<IpAddr>>>>);

impl Names {
    fn resolve_to(&self, answers: &[&[[u8; 4]]]) {
        let answers = answers.iter().map(|one| one.iter().map(|octets| IpAddr::V4(Ipv4Addr::from(*octets))).collect());
        *self.0.lock().unwrap() = answers.collect();
    }
}

impl Lookup for Names {
    fn lookup<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        assert_eq!(name, "rp.example");
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// A receiver over TLS on all addresses of loopback; counts what it takes.
async fn secure_sink(folder: &Folder) -> (u16, Arc<Mutex<usize>>) {
    let made = development(&folder.0, "rp.example", SystemClock.now(), &SystemRandom).unwrap();
    let files = TlsFiles {
        certificate: made.certificate,
        key: made.key,
        client_ca: None,
        client_certificates: ClientCertificates::Off,
    };
    let tls = Tls::open(files, Arc::new(SystemClock)).unwrap();
    let listener = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(Mutex::new(0));
    let take = async |State(taken): State<Arc<Mutex<usize>>>, version: Version| {
        assert_eq!(version, Version::HTTP_2, "offered, and so taken");
        *taken.lock().unwrap() += 1;
        StatusCode::ACCEPTED
    };
    let router = Router::new().route("/push", post(take)).with_state(Arc::clone(&taken));
    let server = Server { tls: Some(tls), ..Server::default() };
    tokio::spawn(async move { server.serve(listener, router, &Shutdown::default()).await.unwrap() });
    (port, taken)
}

// transmitter.md "Push": … and at connect time (SSRF; DNS rebinding); TLS certificate and host name checked; extra CA bundle
#[tokio::test]
async fn a_name_that_turns_inward_later_is_not_followed_and_its_sets_are_kept() {
    let folder = Folder::new();
    // where it may go is one address of loopback, so that nothing leaves the machine; where it may not go, another
    let ((port, taken), (other_port, taken_later)) = (secure_sink(&folder).await, secure_sink(&folder).await);
    let (allowed, inward): ([u8; 4], [u8; 4]) = ([127, 0, 0, 2], [127, 0, 0, 1]);
    let (names, ca_file) = (Names::default(), folder.0.join("ca.pem"));
    names.resolve_to(&[&[allowed]]);
    let lookup = Arc::new(names.clone());
    let settings = [PRODUCTION, ("push.allow", "[127.0.0.2]"), ("outgoing.ca_file", ca_file.to_str().unwrap())];
    let idp = Idp::start_calling(&settings, |settings| {
        settings.outgoing(settings.endpoint_guard().unwrap()).unwrap().with_lookup(lookup)
    })
    .await;
    let (receiver, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    idp.push_stream(&receiver, &format!("https://rp.example:{port}/push"), &["session-revoked"]).await;
    idp.revoke(&producer, "one").await;
    idp.drain().await;
    assert_eq!(*taken.lock().unwrap(), 1);

    // the first connection is kept open, and so says nothing of the second look-up: another port needs a new one
    names.resolve_to(&[&[inward]]);
    let moved = format!("https://rp.example:{other_port}/push");
    sqlx::query("update stream set endpoint_url = $1").bind(moved).execute(&idp.pool).await.unwrap();
    idp.revoke(&producer, "two").await;
    idp.drain().await;
    assert_eq!((*taken.lock().unwrap(), *taken_later.lock().unwrap()), (1, 0), "nothing went to the other address");
    let trouble: String =
        sqlx::query_scalar("select trouble from stream_health where failures > 0").fetch_one(&idp.pool).await.unwrap();
    assert_eq!(trouble, "the endpoint resolves to an address that is not allowed");
    assert_eq!(
        idp.count(
            "select count(*) from delivery where last_error = 'the endpoint resolves to an address that is not allowed'"
        )
        .await,
        1
    );

    // one good address among bad ones is enough, and only that one is called
    names.resolve_to(&[&[inward, allowed]]);
    idp.advance(Duration::from_secs(11));
    idp.drain().await;
    assert_eq!(*taken_later.lock().unwrap(), 1);
    assert_eq!(idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await, 2);
    assert_eq!(idp.count("select count(*) from dead_letter").await, 0);
}

#[tokio::test]
async fn an_address_that_may_no_longer_be_called_is_looked_at_before_every_push() {
    let idp = Idp::start_with(&[PRODUCTION]).await;
    let (receiver, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    let sink = Sink::start().await;
    idp.push_stream(&receiver, "https://rp.example/push", &["session-revoked"]).await;
    for (statement, reason) in [
        // registered when it was allowed, or in development
        (
            "update stream set endpoint_url = 'https://127.0.0.1:8702/push'",
            "the endpoint must be on the public internet",
        ),
        ("update stream set endpoint_url = 'http://rp.example/push'", "the endpoint must be an https URL"),
    ] {
        idp.execute(statement).await;
        idp.revoke(&producer, reason).await;
        idp.advance(Duration::from_secs(11));
        idp.drain().await;
        let trouble: String =
            sqlx::query_scalar("select trouble from stream_health").fetch_one(&idp.pool).await.unwrap();
        assert!(trouble.starts_with(reason) && !trouble.contains("127"), "{trouble}");
    }
    assert!(sink.requests().is_empty());
    assert_eq!(idp.count("select count(*) from delivery").await, 2, "kept");
}

/// A receiver that reads the request and then answers byte by byte, for as long as anybody listens.
async fn trickling(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/push", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = connection.read(&mut [0; 4096]).await;
                let _ = connection.write_all(head.as_bytes()).await;
                while connection.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_receiver_that_answers_byte_by_byte_is_cut() {
    let idp = Idp::start_with(&[("push.timeout", "1s")]).await;
    let producer = idp.add_producer().await;
    for (name, head, is_taken) in [
        ("slow-head", "HTTP/1.1 202 Accepted\r\nX-Long: ", false),
        ("slow-error", "HTTP/1.1 400 Bad Request\r\ncontent-length: 100000\r\n\r\n{", false),
        // it has said that it has it; what follows is not waited for
        ("slow-body", "HTTP/1.1 202 Accepted\r\ncontent-length: 100000\r\n\r\n", true),
    ] {
        let receiver = idp.add_receiver(name).await;
        let stream = idp.push_stream(&receiver, &trickling(head).await, &["session-revoked"]).await;
        idp.revoke(&producer, name).await;
        tokio::time::timeout(Duration::from_secs(8), idp.drain()).await.expect("it is cut");
        let waiting =
            sqlx::query_scalar::<_, i64>("select count(*) from delivery where stream_id = $1::uuid").bind(&stream);
        let waiting = waiting.fetch_one(&idp.pool).await.unwrap();
        assert_eq!(waiting, i64::from(!is_taken), "{name}");
        idp.call(http::Method::DELETE, &format!("/ssf/streams?stream_id={stream}"), &receiver.token, None).await;
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let idp = Idp::start().await;
    let (receiver, producer, sink) = (idp.add_receiver("rp").await, idp.add_producer().await, Sink::start().await);
    idp.push_stream(&receiver, &sink.url, &["session-revoked"]).await;
    let many = "x".repeat(8 * 1024);
    let long_head = (0..70).fold(Answer::status(202), |answer, _| answer.with("x-more", "x"));
    sink.next([Answer::status(202).with("x-long", &many), long_head]);
    idp.revoke(&producer, "one").await;
    idp.drain().await;
    assert_eq!(idp.count("select count(*) from delivery_history").await, 1);
    idp.revoke(&producer, "two").await;
    idp.drain().await;
    assert_eq!(idp.count("select count(*) from delivery").await, 1, "a head of too many fields is no answer");
}

/// A receiver that answers at once, in chunks, with a body of 64 MiB that is an error as RFC 8935 has it once it is whole.
/// Says how much of it went out before nobody listened any more.
async fn verbose(status: &'static str) -> (String, tokio::sync::oneshot::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/push", listener.local_addr().unwrap());
    let (told, written) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 4096]).await;
        let said = r#"{"err": "invalid_request", "description": ""#;
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{said}\r\n",
            said.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("{:x}\r\n{}\r\n", MIB, "x".repeat(MIB));
        let mut written = 0;
        while written < VERBOSE && connection.write_all(chunk.as_bytes()).await.is_ok() {
            written += MIB;
        }
        let _ = connection.write_all(b"2\r\n\"}\r\n0\r\n\r\n").await;
        let _ = told.send(written);
        // whoever reads on would have the whole answer
        let _ = connection.read(&mut [0; 1]).await;
    });
    (url, written)
}

const MIB: usize = 1024 * 1024;
const VERBOSE: usize = 64 * MIB;

#[tokio::test]
async fn of_an_answer_that_comes_fast_and_is_too_long_no_more_is_read_than_an_error_can_be() {
    let idp = Idp::start().await;
    let producer = idp.add_producer().await;
    for (name, status, outcome) in [
        ("verbose-error", "400 Bad Request", ("waiting", "the receiver answered HTTP 400")),
        ("verbose-word", "413 Content Too Large", ("refused", "too_large")),
        ("verbose-thanks", "202 Accepted", ("acknowledged", "")),
    ] {
        let (url, written) = verbose(status).await;
        let receiver = idp.add_receiver(name).await;
        let stream = idp.push_stream(&receiver, &url, &["session-revoked"]).await;
        idp.revoke(&producer, name).await;
        tokio::time::timeout(Duration::from_secs(8), idp.drain()).await.expect("it is cut");
        let written = tokio::time::timeout(Duration::from_secs(8), written).await.expect("it is cut").unwrap();
        // what the system keeps for both ends is some MiB
        assert!(written < VERBOSE / 2, "{name}: {} MiB were taken", written / MIB);
        let became: (String, String) = sqlx::query_as(
            "select 'waiting', coalesce(last_error, '') from delivery where stream_id = $1::uuid
             union all
             select outcome, coalesce(error_code, '') from delivery_history where stream_id = $1::uuid",
        )
        .bind(&stream)
        .fetch_one(&idp.pool)
        .await
        .unwrap();
        assert_eq!((became.0.as_str(), became.1.as_str()), outcome, "{name}: by its status alone");
        idp.call(Method::DELETE, &format!("/ssf/streams?stream_id={stream}"), &receiver.token, None).await;
    }
}

// transmitter.md "Push": per-host limits
#[tokio::test]
async fn streams_of_one_host_share_what_may_be_sent_there_at_once() {
    let idp = Idp::start_with(&[("push.max_per_host", "3")]).await;
    let (producer, sink) = (idp.add_producer().await, Sink::start().await);
    for name in ["one", "other"] {
        let receiver = idp.add_receiver(name).await;
        idp.push_stream(&receiver, &sink.url, &["session-revoked"]).await;
    }
    let elsewhere = Sink::start().await;
    let third = idp.add_receiver("third").await;
    idp.push_stream(&third, &elsewhere.url, &["session-revoked"]).await;
    sink.hold();
    for session in 0..5 {
        idp.revoke(&producer, &format!("session-{session}")).await;
    }
    idp.fan_out().await;
    let tick = async || ssf_common::runtime::Worker::tick(&*idp.transmitter.push).await.unwrap();
    assert_eq!(tick().await, 6, "three to each host");
    sink.arrivals(3).await;
    elsewhere.arrivals(3).await;
    while elsewhere.requests().len() < 5 {
        tick().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(sink.requests().len(), 3, "the slow one has what it may have, and the other goes on");
    sink.release();
    idp.drain().await;
    assert_eq!(sink.requests().len(), 10);
    assert_eq!(idp.count("select count(*) from delivery").await, 0);
}

#[tokio::test]
async fn announcements_are_sent_within_the_same_limits() {
    for (limit, value, at_once) in [("push.max_per_host", "2", 2), ("push.max_in_flight", "3", 3)] {
        let idp = Idp::start_with(&[("push.window", "1"), ("push.max_window", "1"), (limit, value)]).await;
        let (operator, producer, sink) = (idp.add_operator().await, idp.add_producer().await, Sink::start().await);
        for name in ["one", "two", "three", "four"] {
            let receiver = idp.add_receiver(name).await;
            let stream = idp.push_stream(&receiver, &sink.url, &["session-revoked"]).await;
            if name != "four" {
                let path = format!("/admin/v1/streams/{stream}/status");
                let paused = idp.call(Method::PUT, &path, &operator.token, Some(&json!({"status": "paused"}))).await;
                assert_eq!(paused.status, 200, "{}", paused.body);
            }
        }
        idp.revoke(&producer, "session").await;
        idp.fan_out().await;
        sink.hold();
        let tick = async || ssf_common::runtime::Worker::tick(&*idp.transmitter.push).await.unwrap();
        assert_eq!((tick().await, tick().await), (at_once, 0), "{limit}");
        sink.release();
        idp.drain().await;
        assert_eq!(sink.requests().len(), 4, "three announcements and what was decided");
    }
}
