//! A push receiver that takes everything and keeps account of it: how much came, what came twice, what came too early.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;

/// The account. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    base: String,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    taken: usize,
    twice: usize,
    too_early: usize,
    jtis: HashSet<String>,
    /// The last `txn` by stream and subject; the decisions of a scenario are numbered by it.
    last: HashMap<(usize, String), i64>,
}

/// What an account says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Balance {
    /// SETs that came, each counted once.
    pub(crate) taken: usize,
    /// SETs that came again.
    pub(crate) twice: usize,
    /// SETs that came behind a later one about the same subject on the same stream.
    pub(crate) too_early: usize,
}

impl Ledger {
    /// Listens on loopback.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let book = Arc::<Mutex<Book>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let routes = Router::new().route("/{number}", post(enter)).with_state(Arc::clone(&book));
        let listener = axum::serve::ListenerExt::tap_io(listener, |connection| {
            let _ = connection.set_nodelay(true);
        });
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { base, book })
    }

    /// Where the stream of this number is taken.
    pub(crate) fn endpoint(&self, number: usize) -> String {
        format!("{}/{number}", self.base)
    }

    pub(crate) fn balance(&self) -> Balance {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        Balance { taken: book.taken, twice: book.twice, too_early: book.too_early }
    }
}

async fn enter(State(book): State<Arc<Mutex<Book>>>, Path(stream): Path<usize>, set: Bytes) -> StatusCode {
    let Some((jti, subject, number)) = read(&set) else { return StatusCode::BAD_REQUEST };
    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
    if !book.jtis.insert(jti) {
        book.twice += 1;
        return StatusCode::ACCEPTED;
    }
    book.taken += 1;
    let last = book.last.insert((stream, subject), number);
    if last.is_some_and(|last| last > number) {
        book.too_early += 1;
    }
    StatusCode::ACCEPTED
}

/// `jti`, the subject as text, and the number in `txn`. Signatures are not looked at: that is another scenario's.
fn read(set: &[u8]) -> Option<(String, String, i64)> {
    let payload = std::str::from_utf8(set).ok()?.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some((claims["jti"].as_str()?.to_owned(), claims["sub_id"].to_string(), claims["txn"].as_str()?.parse().ok()?))
}
