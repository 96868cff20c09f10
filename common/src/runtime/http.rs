//! Serving HTTP: a listener that says what is wrong when it cannot listen, the layers every service wants around its
//! routes, and a stop in two steps.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use axum::Json;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tokio::net::{TcpListener, ToSocketAddrs};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;

use super::shutdown::Shutdown;

/// The service cannot listen where its settings say.
#[derive(Debug, thiserror::Error)]
#[error("{key} = {address} {remedy}")]
pub struct BindError {
    key: &'static str,
    address: String,
    remedy: &'static str,
    #[source]
    source: io::Error,
}

/// Listens at `address`; `key` is the setting it came from, which the error names together with a remedy.
pub async fn bind(address: impl ToSocketAddrs + fmt::Display, key: &'static str) -> Result<TcpListener, BindError> {
    let text = address.to_string();
    TcpListener::bind(address).await.map_err(|source| {
        let remedy = match source.kind() {
            io::ErrorKind::AddrInUse => "is taken by another process; choose another port or stop that process",
            io::ErrorKind::PermissionDenied => "needs a privilege this process does not have; choose a port above 1023",
            io::ErrorKind::AddrNotAvailable => "is not an address of this machine; use 127.0.0.1 or 0.0.0.0",
            io::ErrorKind::InvalidInput => "is not an address; write host:port, for example 127.0.0.1:8701",
            _ => "cannot be listened at",
        };
        BindError { key, address: text, remedy, source }
    })
}

/// Serves until the soft stop, then finishes the requests that are running; the hard stop ends the wait for them.
/// Handlers find the peer's address in `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, router: Router, shutdown: &Shutdown) -> io::Result<()> {
    // Without TCP_NODELAY a small response waits for the peer's delayed acknowledgement, up to 40 ms.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(shutdown.soft().clone().cancelled_owned());
    tokio::select! {
        biased;
        () = shutdown.hard().cancelled() => Ok(()),
        served = serving => served,
    }
}

/// Puts the layers around the routes that keep a handler's trouble small: a body above `body_limit` bytes is a 413, a
/// panic is a 500 without details, an unknown path is a 404 and a wrong method a 405, all as JSON; a 413 that a route
/// words itself, as JSON, is left alone. To be called last, on a router that has no fallback of its own.
pub fn with_hygiene(router: Router, body_limit: usize) -> Router {
    router
        .fallback(|| async { error_reply(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            error_reply(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
        })
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(body_limit))
        .layer(map_response(in_json_if_too_large))
        .layer(CatchPanicLayer::custom(after_a_panic))
}

/// A JSON error body: `{"error": code, "error_description": text}` (the members of RFC 6749 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// A stable code for machines.
    pub error: String,
    /// A sentence for people. Never contains what the client sent.
    pub error_description: String,
}

/// An answer with an [`ErrorBody`].
pub fn error_reply(status: StatusCode, code: &str, description: &str) -> Response {
    (status, Json(ErrorBody { error: code.to_owned(), error_description: description.to_owned() })).into_response()
}

/// The limit's layer and axum's extractors answer in plain text; a route that refuses a long body itself does so in JSON.
async fn in_json_if_too_large(response: Response) -> Response {
    let is_json = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.starts_with("application/json"));
    let is_worded = response.headers().get(CONTENT_TYPE).is_some_and(is_json);
    if response.status() != StatusCode::PAYLOAD_TOO_LARGE || is_worded {
        return response;
    }
    error_reply(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is longer than this service reads")
}

/// The panic's own message went to the log through the panic hook; the client learns nothing of it.
#[expect(clippy::needless_pass_by_value, reason = "the shape CatchPanicLayer asks for")]
fn after_a_panic(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(panic = message, "a request handler panicked");
    error_reply(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the request could not be handled")
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};

    use super::*;

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
        let (entered, release) = (super::super::Wake::new(), super::super::Wake::new());
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
}
