//! The identity in force, and the worker that replaces it when its files change. A broken new file changes nothing but
//! the log.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use openssl::ssl::{Ssl, SslAcceptor};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::files::{Identity, TlsError, TlsFiles};
use crate::clock::Clock;
use crate::runtime::telemetry::chain;
use crate::runtime::worker::Worker;

/// The identity that handshakes are made with. Clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    clock: Arc<dyn Clock>,
    acceptor: RwLock<SslAcceptor>,
    tried: Mutex<Fingerprint>,
}

impl Tls {
    /// Reads the files for the first time; what cannot serve is an error here and never later.
    pub fn open(files: TlsFiles, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        // taken before the files are read: a change in between is then seen at the next look
        let tried = Fingerprint::of(&files);
        let identity = files.load(clock.now())?;
        report(&identity);
        Ok(Self(Arc::new(Shared { files, clock, acceptor: RwLock::new(identity.acceptor), tried: Mutex::new(tried) })))
    }

    /// Reads the files again, whether or not they seem to have changed.
    pub fn reload(&self) -> Result<(), TlsError> {
        *self.0.tried.lock().unwrap_or_else(PoisonError::into_inner) = Fingerprint::of(&self.0.files);
        let identity = self.0.files.load(self.0.clock.now())?;
        report(&identity);
        *self.0.acceptor.write().unwrap_or_else(PoisonError::into_inner) = identity.acceptor;
        Ok(())
    }

    /// Makes one handshake.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<SslStream<TcpStream>> {
        let ssl = {
            let acceptor = self.0.acceptor.read().unwrap_or_else(PoisonError::into_inner);
            Ssl::new(acceptor.context())?
        };
        let mut stream = SslStream::new(ssl, stream)?;
        Pin::new(&mut stream).accept().await.map_err(io::Error::other)?;
        Ok(stream)
    }

    /// Whether the files are others than those that were tried last.
    fn has_changed(&self) -> bool {
        *self.0.tried.lock().unwrap_or_else(PoisonError::into_inner) != Fingerprint::of(&self.0.files)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.0.files).finish_non_exhaustive()
    }
}

/// Looks at the files with every tick. Ringing [`asked`](Self::asked) has them read whatever they look like.
#[derive(Debug)]
pub struct Reload {
    tls: Tls,
    asked: std::sync::atomic::AtomicBool,
}

impl Reload {
    /// A worker for this identity.
    pub fn new(tls: Tls) -> Self {
        Self { tls, asked: std::sync::atomic::AtomicBool::new(false) }
    }

    /// The next tick reads the files, changed or not: an operator asks for it.
    pub fn ask(&self) {
        self.asked.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Worker for Reload {
    const NAME: &'static str = "certificates";
    type Error = std::convert::Infallible;

    async fn tick(&self) -> Result<usize, Self::Error> {
        let asked = self.asked.swap(false, std::sync::atomic::Ordering::SeqCst);
        if !asked && !self.tls.has_changed() {
            return Ok(0);
        }
        match self.tls.reload() {
            Ok(()) => tracing::info!("the certificate was read again; new connections get it"),
            Err(error) => tracing::error!(
                error = %chain(&error),
                "the new certificate files cannot be used: the old certificate stays in force; mend the files"
            ),
        }
        Ok(0)
    }
}

fn report(identity: &Identity) {
    let until = &identity.until;
    if identity.is_out_of_date {
        tracing::error!(certificate.until = until, "the certificate is out of date: clients will not talk to us");
    } else if identity.ends_soon {
        tracing::warn!(certificate.until = until, "the certificate ends within two weeks: put a new one in its place");
    } else {
        tracing::info!(certificate.until = until, "TLS is served with this certificate");
    }
}

/// What a change of a file changes.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint(Vec<Option<Look>>);

#[derive(Debug, PartialEq, Eq)]
struct Look {
    file: (u64, u64),
    changed: (i64, i64),
    size: u64,
}

impl Fingerprint {
    fn of(files: &TlsFiles) -> Self {
        let looks = files.all().map(|path| {
            let file = std::fs::metadata(path).ok()?;
            let changed = (file.mtime(), file.mtime_nsec());
            Some(Look { file: (file.dev(), file.ino()), changed, size: file.size() })
        });
        Self(looks.collect())
    }
}
