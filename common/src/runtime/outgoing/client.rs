//! The HTTP client for calls to strangers: guarded, without redirects and proxies, TLS 1.2 at least, and with a bound on
//! everything it waits for or reads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, RequestBuilder, Response, Url, tls};

use super::guard::{Guard, NotAllowed};
use super::resolver::{GuardedResolver, Lookup, Refused, SystemLookup};

/// What every client of this process has in common; each stage builds its own from it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    guard: Guard,
    lookup: Arc<dyn Lookup>,
    authorities: Vec<Certificate>,
    user_agent: String,
}

/// How long a client waits, and how much it keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One request, from the first byte of the connection to the last of the answer.
    pub timeout: Duration,
    /// Idle connections to one host.
    pub idle_per_host: usize,
}

/// The client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// The bundle of authorities cannot be read.
    #[error("outgoing.ca_file = {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It holds none.
    #[error("outgoing.ca_file = {} holds no certificate in PEM", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The HTTP client refuses.
    #[error("the HTTP client for outgoing calls could not be built")]
    Client(#[from] reqwest::Error),
}

impl Outgoing {
    /// Calls what `guard` lets through, as `user_agent`.
    pub fn new(guard: Guard, user_agent: &str) -> Self {
        let (lookup, authorities) = (Arc::new(SystemLookup), Vec::new());
        Self { guard, lookup, authorities, user_agent: user_agent.to_owned() }
    }

    /// Asks this resolver instead of the machine's.
    #[must_use]
    pub fn with_lookup(mut self, lookup: Arc<dyn Lookup>) -> Self {
        self.lookup = lookup;
        self
    }

    /// Trusts the authorities of a PEM file, too.
    pub fn with_authorities(mut self, path: &Path) -> Result<Self, OutgoingError> {
        let pem = std::fs::read(path).map_err(|source| OutgoingError::Unreadable { path: path.to_owned(), source })?;
        self.authorities = Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if self.authorities.is_empty() {
            return Err(OutgoingError::NoCertificate { path: path.to_owned() });
        }
        Ok(self)
    }

    /// The guard all clients share.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// A client.
    pub fn client(&self, limits: &Limits) -> Result<Client, OutgoingError> {
        Ok(Client {
            guard: self.guard.clone(),
            guarded: self.build(limits, Some(self.guard.clone()))?,
            unguarded: self.build(limits, None)?,
        })
    }

    fn build(&self, limits: &Limits, guard: Option<Guard>) -> Result<reqwest::Client, OutgoingError> {
        let resolver = GuardedResolver { lookup: Arc::clone(&self.lookup), guard };
        let client = reqwest::Client::builder()
            .timeout(limits.timeout)
            .connect_timeout(limits.timeout.min(CONNECT_TIMEOUT))
            // the address that was registered is the address that is called: a redirect could lead anywhere, a proxy
            // would resolve names by itself
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(resolver)
            .tls_version_min(tls::Version::TLS_1_2)
            .tls_certs_merge(self.authorities.iter().cloned())
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .tcp_nodelay(true)
            // less than servers keep an idle connection, ours too, or a request could meet its end
            .pool_idle_timeout(Some(Duration::from_secs(20)))
            .pool_max_idle_per_host(limits.idle_per_host)
            .referer(false)
            .user_agent(&self.user_agent);
        Ok(client.build()?)
    }
}

/// A guarded client. Keeps connections open. Clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    guard: Guard,
    guarded: reqwest::Client,
    /// For what an operator opened by name: whatever it resolves to.
    unguarded: reqwest::Client,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It is not called.
    #[error("the endpoint {0}")]
    NotAllowed(#[from] NotAllowed),
    /// It resolves to an address that is not called.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It is no URL.
    #[error("the endpoint is not a URL")]
    NotAUrl,
    /// It did not answer in time.
    #[error("the endpoint did not answer in time")]
    TimedOut,
    /// It could not be reached, or the connection broke.
    #[error("the endpoint could not be reached")]
    Unreachable(#[source] reqwest::Error),
}

impl Client {
    /// A request to `url`, if it may be called. A literal address passes no resolver, so it is looked at here, every time.
    pub fn request(&self, method: Method, url: &str) -> Result<RequestBuilder, CallError> {
        let url: Url = url.parse().map_err(|_| CallError::NotAUrl)?;
        self.guard.check(&url)?;
        let client = if self.guard.opens(&url) { &self.unguarded } else { &self.guarded };
        Ok(client.request(method, url))
    }

    /// Sends it and waits for the head of the answer.
    pub async fn send(request: RequestBuilder) -> Result<Response, CallError> {
        request.send().await.map_err(|error| {
            if Refused::is_cause_of(&error) {
                CallError::Refused(Refused)
            } else if error.is_timeout() {
                CallError::TimedOut
            } else {
                // its own text would name the address
                CallError::Unreachable(error.without_url())
            }
        })
    }

    /// At most `limit` bytes of an answer's body; `None` if it is longer or broken off.
    pub async fn body(mut response: Response, limit: usize) -> Option<Vec<u8>> {
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return None;
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            if body.len() + chunk.len() > limit {
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        Some(body)
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
