//! Serving over real sockets: what is answered to trouble, and what a stop does.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;

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
