//! A listener that says what is wrong when it cannot listen.

use std::fmt;
use std::io;

use tokio::net::{TcpListener, ToSocketAddrs};

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
