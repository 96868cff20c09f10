//! Serving over real sockets: what is answered to trouble, and what a stop does.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::runtime::{Shutdown, Wake};

async fn start(router: Router) -> (SocketAddr, Shutdown) {
    let shutdown = Shutdown::default();
    let listener = bind("127.0.0.1:0", "server.listen").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = shutdown.clone();
    shutdown.spawn("http", async move { serve(listener, router, &serving).await.unwrap() });
    (address, shutdown)
}

#[tokio::test]
async fn a_taken_port_names_the_setting_and_the_remedy() {
    let first = bind("127.0.0.1:0", "server.listen").await.unwrap();
    let taken = first.local_addr().unwrap();
    let error = bind(taken, "server.listen").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("server.listen = {taken} is taken by another process; choose another port or stop that process")
    );
}

#[tokio::test]
async fn trouble_is_answered_in_json_and_without_details() {
    async fn panics() {
        panic!("a secret of the house")
    }
    async fn words_it_itself() -> Response {
        error_reply(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "in the words of the route")
    }
    let echo = || post(|body: String| async { body });
    let routes = Router::new()
        .route("/panic", get(panics))
        .route("/echo", echo())
        .route("/narrow", echo().layer(DefaultBodyLimit::max(8)))
        .route("/door", post(words_it_itself));
    let (address, shutdown) = start(with_hygiene(routes, 16)).await;
    let client = reqwest::Client::new();
    let mut seen = Vec::new();
    for request in [
        client.get(format!("http://{address}/panic")),
        client.get(format!("http://{address}/nowhere")),
        client.get(format!("http://{address}/echo")),
        client.post(format!("http://{address}/echo")).body("x".repeat(17)),
        client.post(format!("http://{address}/echo")).body("x".repeat(16)),
        client.post(format!("http://{address}/narrow")).body("x".repeat(9)),
        client.post(format!("http://{address}/door")).body("x"),
    ] {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        seen.push((status, response.text().await.unwrap()));
    }
    let codes: Vec<u16> = seen.iter().map(|(status, _)| *status).collect();
    assert_eq!(codes, [500, 404, 405, 413, 200, 413, 413]);
    assert_eq!(seen[0].1, r#"{"error":"server_error","error_description":"the request could not be handled"}"#);
    let too_large = r#"{"error":"too_large","error_description":"the body is longer than this service reads"}"#;
    assert_eq!((seen[3].1.as_str(), seen[5].1.as_str()), (too_large, too_large));
    assert!(seen[6].1.contains("in the words of the route"), "{}", seen[6].1);
    shutdown.begin();
    shutdown.wait().await;
}

#[tokio::test]
async fn a_running_request_is_finished_after_the_soft_stop() {
    let (entered, release) = (Wake::new(), Wake::new());
    let (inside, gate) = (entered.clone(), release.clone());
    let routes = Router::new().route(
        "/slow",
        get(move || async move {
            let released = gate.register();
            inside.wake();
            released.await;
            "done"
        }),
    );
    let (address, shutdown) = start(routes).await;
    let running = entered.register();
    let request = tokio::spawn(reqwest::get(format!("http://{address}/slow")));
    running.await;
    shutdown.begin();
    tokio::task::yield_now().await;
    release.wake();
    assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "done");
    shutdown.wait().await;
}

/// A server with these bounds that says "here".
async fn bounded(limits: ConnectionLimits) -> (SocketAddr, Shutdown) {
    let shutdown = Shutdown::default();
    let listener = bind("127.0.0.1:0", "server.listen").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (serving, router) = (shutdown.clone(), Router::new().route("/", get(|| async { "here" })));
    let server = Server { limits, tls: None };
    shutdown.spawn("http", async move { server.serve(listener, router, &serving).await.unwrap() });
    (address, shutdown)
}

/// What comes back on a connection that sends this, a byte every few milliseconds, until it is closed.
async fn trickled(address: SocketAddr, request: &[u8]) -> String {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let request = request.to_vec();
    let sending = tokio::spawn(async move {
        for byte in request {
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // and then nothing more
        std::future::pending::<()>().await;
    });
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), read.read_to_end(&mut answer)).await.expect("it is cut");
    sending.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_or_too_slowly_is_cut() {
    let limits = ConnectionLimits { header_timeout: Duration::from_secs(1), ..ConnectionLimits::default() };
    let (address, shutdown) = bounded(limits).await;
    // not a byte; the beginning of either protocol; a head byte by byte
    let long_head = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 200]].concat();
    for request in [b"".as_slice(), b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &long_head] {
        let answer = trickled(address, request).await;
        assert!(!answer.contains("here"), "{answer}");
    }
    // one that asked is kept a while, then closed
    let answer = trickled(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.ends_with("here"), "{answer}");
    shutdown.begin();
    shutdown.wait().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let (address, shutdown) = bounded(ConnectionLimits { header_bytes: 8192, headers: 20, ..Default::default() }).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |fields: usize, length: usize| {
        let request = http.get(format!("http://{address}/"));
        let request = (0..fields).fold(request, |request, n| request.header(format!("x-{n}"), "x".repeat(length)));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!([ask(10, 100).await, ask(1, 9000).await, ask(30, 1).await], [200, 431, 431]);
    shutdown.begin();
    shutdown.wait().await;
}

#[tokio::test]
async fn when_there_are_too_many_connections_those_that_ask_for_nothing_give_way() {
    let (address, shutdown) = bounded(ConnectionLimits { connections: 3, ..ConnectionLimits::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    assert_eq!(http.get(format!("http://{address}/")).send().await.unwrap().text().await.unwrap(), "here");
    shutdown.begin();
    shutdown.wait().await;
    assert!(!shutdown.hard().is_cancelled(), "connections that only wait do not hold up a stop");
}

#[tokio::test]
async fn a_peer_that_does_not_close_holds_up_a_stop_for_seconds_only() {
    let (address, shutdown) = bounded(ConnectionLimits::default()).await;
    // HTTP/2 with prior knowledge: a peer that never answers the farewell
    let mut deaf = TcpStream::connect(address).await.unwrap();
    deaf.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    deaf.read_exact(&mut [0; 9]).await.unwrap();
    shutdown.begin();
    tokio::time::timeout(Duration::from_secs(6), shutdown.wait()).await.expect("it ends by itself");
    assert!(!shutdown.hard().is_cancelled());
}
