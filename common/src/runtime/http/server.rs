//! The accept loop: plain text or TLS, a bounded number of connections, and a stop in two steps.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::listen::{Listen, Peer};
use super::unix::UnixDoor;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tls::Tls;

/// How much one listener bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once. While they are all taken those without a request are closed after a second, so that others
    /// get their turn.
    pub connections: usize,
    /// How long a connection may take to send the head of its next request; it is also how long an idle one is kept.
    pub header_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// The longest request head, in bytes, and about the most that is buffered of an HTTP/1.1 connection.
    pub header_bytes: usize,
    /// The most header fields of a request over HTTP/1.1.
    pub headers: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            header_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            header_bytes: 32 * 1024,
            headers: 100,
        }
    }
}

/// Serves a router until the stop.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// The bounds.
    pub limits: ConnectionLimits,
    /// With which certificate; plain text without one.
    pub tls: Option<Tls>,
}

/// Serves in plain text with the usual bounds; see [`Server::serve`].
pub async fn serve(listener: TcpListener, router: Router, shutdown: &Shutdown) -> io::Result<()> {
    Server::default().serve(listener, router, shutdown).await
}

impl Server {
    /// Serves until the soft stop, then finishes the requests that are running; the hard stop ends the wait for them.
    /// Handlers find the peer's address in `ConnectInfo<SocketAddr>`.
    pub async fn serve(self, listener: TcpListener, router: Router, shutdown: &Shutdown) -> io::Result<()> {
        self.run(listener, router, shutdown).await
    }

    /// The same on a unix socket, always in plain text; handlers find no `ConnectInfo`.
    pub async fn serve_unix(self, door: UnixDoor, router: Router, shutdown: &Shutdown) -> io::Result<()> {
        Self { tls: None, ..self }.run(door, router, shutdown).await
    }

    async fn run(self, listener: impl Listen, router: Router, shutdown: &Shutdown) -> io::Result<()> {
        let connections = TaskTracker::new();
        let door = Door {
            slots: Arc::new(Semaphore::new(self.limits.connections.clamp(1, Semaphore::MAX_PERMITS))),
            crowded: Arc::new(Notify::new()),
            stop: shutdown.soft().clone(),
        };
        while let Some((stream, peer, slot)) = door.next(&listener).await {
            let connection = Connection {
                peer,
                limits: self.limits,
                crowded: Arc::clone(&door.crowded),
                soft: shutdown.soft().clone(),
                router: router.clone(),
            };
            let (tls, hard) = (self.tls.clone(), shutdown.hard().clone());
            connections.spawn(async move {
                let _slot = slot;
                tokio::select! {
                    biased;
                    () = hard.cancelled() => {}
                    () = connection.carry(stream, tls) => {}
                }
            });
        }
        drop(listener);
        connections.close();
        tokio::select! {
            biased;
            () = shutdown.hard().cancelled() => {}
            () = connections.wait() => {}
        }
        Ok(())
    }
}

/// Who may come in.
struct Door {
    slots: Arc<Semaphore>,
    crowded: Arc<Notify>,
    stop: CancellationToken,
}

impl Door {
    /// The next connection, once there is room for one; `None` after the soft stop.
    async fn next<L: Listen>(&self, listener: &L) -> Option<(L::Stream, Peer, OwnedSemaphorePermit)> {
        let slot = self.slot().await?;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => return Some((stream, peer, slot)),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // out of file descriptors, most likely; closing some takes a moment
                    tracing::error!(%error, "no connection can be accepted; trying again in a second");
                    self.crowded.notify_waiters();
                    tokio::select! {
                        () = self.stop.cancelled() => return None,
                        () = tokio::time::sleep(A_SECOND) => {}
                    }
                }
            }
        }
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(slot);
        }
        tracing::debug!("as many connections as there may be; those without a request are closed");
        loop {
            self.crowded.notify_waiters();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                slot = Arc::clone(&self.slots).acquire_owned() => return slot.ok(),
                () = tokio::time::sleep(A_SECOND) => {}
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

const A_SECOND: Duration = Duration::from_secs(1);
