//! The least an HTTP/1.1 client can do, over TCP and a unix socket alike: so that what is compared is the servers. It
//! runs on the same cores as they do.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// Where a server listens.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "HTTP",
            Self::Unix(_) => "a unix socket",
        })
    }
}

/// One connection that is kept open.
pub(super) struct Line {
    stream: Box<dyn Stream>,
    answer: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Line {
    pub(super) async fn open(place: &Place) -> anyhow::Result<Self> {
        let stream: Box<dyn Stream> = match place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
        };
        Ok(Self { stream, answer: Vec::with_capacity(4_096) })
    }

    /// Sends a whole request and reads the whole answer; the body of a 200.
    pub(super) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let (head, length) = loop {
            self.read().await?;
            if let Some(head) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break (head + 4, body_length(&self.answer[..head])?);
            }
        };
        while self.answer.len() < head + length {
            self.read().await?;
        }
        Ok(&self.answer[head..])
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the server closed the connection");
        Ok(())
    }
}

fn body_length(head: &[u8]) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(head)?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "answered {}", head.lines().next().unwrap_or_default());
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    length.context("an answer without a length")
}

/// The request that posts this body.
pub(super) fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What one round came to.
pub(super) struct Round {
    pub(super) per_second: f64,
    /// Milliseconds, one per request.
    pub(super) samples: Vec<f64>,
}

/// Asks over [`CONNECTIONS`] connections, each one request after the other, for so long.
pub(super) async fn round(place: &Place, requests: &Arc<Vec<Vec<u8>>>, time: Duration) -> anyhow::Result<Round> {
    let mut lines = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut line = Line::open(place).await?;
        line.ask(requests.first().context("nothing to ask")?).await?;
        lines.push(line);
    }
    let began = Instant::now();
    let workers: Vec<_> = lines
        .into_iter()
        .enumerate()
        .map(|(number, mut line)| {
            let requests = Arc::clone(requests);
            tokio::spawn(async move {
                let mut samples = Vec::new();
                let from = number * requests.len() / CONNECTIONS;
                for request in requests.iter().cycle().skip(from) {
                    let asked = Instant::now();
                    if asked.duration_since(began) >= time {
                        break;
                    }
                    line.ask(request).await?;
                    samples.push(asked.elapsed().as_secs_f64() * 1_000.0);
                }
                anyhow::Ok(samples)
            })
        })
        .collect();
    let mut samples = Vec::new();
    for worker in workers {
        samples.extend(worker.await??);
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let per_second = samples.len() as f64 / began.elapsed().as_secs_f64();
    Ok(Round { per_second, samples })
}

const CONNECTIONS: usize = 32;
