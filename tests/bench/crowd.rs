//! Push receivers of every health, at one address each: good ones, and those a transmitter meets in the field.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How a receiver behaves while the crowd is sick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// 202 at once.
    Good,
    /// Never answers.
    Hangs,
    /// 503.
    Busy,
    /// Breaks the connection off in the middle of its answer.
    Resets,
    /// One byte of an endless answer a second.
    Trickles,
}

/// The crowd. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    base: String,
    sickly: String,
    resetting: String,
    trickling: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_sick: AtomicBool,
    taken: AtomicUsize,
}

impl Crowd {
    /// Everybody is well at first.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let base = server("127.0.0.1:0", &shared).await?;
        // on another host, as in the field: what may go to one host at once is shared by its streams
        let sickly = server("127.0.0.2:0", &shared).await?;
        let resetting = sick_server(Health::Resets, &shared).await?;
        let trickling = sick_server(Health::Trickles, &shared).await?;
        Ok(Self { base, sickly, resetting, trickling, shared })
    }

    /// Where the receiver of this number takes SETs.
    pub(crate) fn endpoint(&self, health: Health, number: usize) -> String {
        let base = match health {
            Health::Resets => &self.resetting,
            Health::Trickles => &self.trickling,
            Health::Hangs | Health::Busy => &self.sickly,
            Health::Good => &self.base,
        };
        format!("{base}/{}/{number}", format!("{health:?}").to_lowercase())
    }

    /// Makes those sick that can be, or well.
    pub(crate) fn set_sick(&self, is_sick: bool) {
        self.shared.is_sick.store(is_sick, Ordering::SeqCst);
    }

    /// How many SETs were accepted.
    pub(crate) fn taken(&self) -> usize {
        self.shared.taken.load(Ordering::SeqCst)
    }
}

async fn server(at: &str, shared: &Arc<Shared>) -> anyhow::Result<String> {
    let listener = TcpListener::bind(at).await?;
    let base = format!("http://{}", listener.local_addr()?);
    let routes = Router::new().route("/{health}/{number}", post(answer)).with_state(Arc::clone(shared));
    let listener = axum::serve::ListenerExt::tap_io(listener, |connection| {
        let _ = connection.set_nodelay(true);
    });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(base)
}

async fn sick_server(health: Health, shared: &Arc<Shared>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.2:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    tokio::spawn(misbehave(listener, health, Arc::clone(shared)));
    Ok(base)
}

async fn answer(State(shared): State<Arc<Shared>>, Path((health, _)): Path<(String, usize)>, _set: Bytes) -> Response {
    let is_sick = shared.is_sick.load(Ordering::SeqCst);
    match health.as_str() {
        "hangs" if is_sick => {
            tokio::time::sleep(Duration::from_mins(5)).await;
            StatusCode::ACCEPTED.into_response()
        }
        "busy" if is_sick => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => {
            shared.taken.fetch_add(1, Ordering::SeqCst);
            StatusCode::ACCEPTED.into_response()
        }
    }
}

/// A server that answers 202 without keep-alive while it is well. While it is sick it resets every connection, or
/// lets its answer trickle.
async fn misbehave(listener: TcpListener, health: Health, shared: Arc<Shared>) {
    while let Ok((connection, _)) = listener.accept().await {
        tokio::spawn(misbehave_once(connection, health, Arc::clone(&shared)));
    }
}

async fn misbehave_once(mut connection: TcpStream, health: Health, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut seen = vec![0; 64 * 1024];
    if connection.read(&mut seen).await? == 0 {
        return Ok(());
    }
    if !shared.is_sick.load(Ordering::SeqCst) {
        shared.taken.fetch_add(1, Ordering::SeqCst);
        return connection.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    }
    if health == Health::Resets {
        // half an answer and then nothing
        return connection.write_all(b"HTTP/1.1 ").await;
    }
    connection.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 10000\r\n\r\n").await?;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        connection.write_all(b" ").await?;
    }
}
