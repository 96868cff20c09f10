//! Where connections come from: an address, or a unix socket. The accept loop of [`Server`](super::Server) knows no more.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_openssl::SslStream;

use crate::runtime::tls::Tls;

/// Whom a connection is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Somebody at this address.
    Tcp(SocketAddr),
    /// A process on this machine that the file's permissions let in.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.ip().fmt(f),
            Self::Unix => f.write_str("a unix socket"),
        }
    }
}

/// Something that accepts connections.
pub(super) trait Listen: Send + Sync {
    /// A connection.
    type Stream: Encrypt;

    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// A connection over which TLS may be spoken.
pub(super) trait Encrypt: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The same, encrypted.
    type Encrypted: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes the handshake.
    fn encrypt(self, tls: &Tls) -> impl Future<Output = io::Result<Self::Encrypted>> + Send;
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, peer) = Self::accept(self).await?;
        // Without TCP_NODELAY a small response waits for the peer's delayed acknowledgement, up to 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        Ok((stream, Peer::Tcp(peer)))
    }
}

impl Encrypt for TcpStream {
    type Encrypted = SslStream<Self>;

    async fn encrypt(self, tls: &Tls) -> io::Result<SslStream<Self>> {
        tls.accept(self).await
    }
}

impl Encrypt for UnixStream {
    type Encrypted = Self;

    /// Nobody listens in on a unix socket.
    async fn encrypt(self, _tls: &Tls) -> io::Result<Self> {
        Ok(self)
    }
}
