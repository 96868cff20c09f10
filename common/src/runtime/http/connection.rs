//! One connection, from its handshake to its end: HTTP/1.1 or HTTP/2, and never longer without a request than it may.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::listen::{Encrypt, Peer};
use super::server::ConnectionLimits;
use crate::runtime::tls::Tls;

/// What a connection needs besides its socket.
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) limits: ConnectionLimits,
    pub(super) crowded: Arc<Notify>,
    pub(super) soft: CancellationToken,
    pub(super) router: Router,
}

impl Connection {
    /// Serves it to its end.
    pub(super) async fn carry<S: Encrypt>(self, stream: S, tls: Option<Tls>) {
        let Some(tls) = tls else { return self.serve(stream).await };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(self.limits.handshake_timeout, stream.encrypt(&tls)) => shaken,
            () = self.soft.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!(client.address = %self.peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(client.address = %self.peer, "a TLS handshake took too long"),
        }
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let activity = Activity::default();
        let (router, peer, counted) = (TowerToHyperService::new(self.router.clone()), self.peer, activity.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let entered = counted.enter();
            let mut request = request.map(Body::new);
            if let Peer::Tcp(address) = peer {
                request.extensions_mut().insert(ConnectInfo(address));
            }
            let answering = router.call(request);
            async move {
                let answered: Result<Response, Infallible> = answering.await;
                drop(entered);
                answered
            }
        });
        let builder = self.builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut stop = pin!(self.soft.cancelled());
        let (mut is_stopping, mut is_closing) = (false, false);
        let mut seen = activity.marks();
        loop {
            let crowded = self.crowded.notified();
            // a stop waits for answers, but not for a peer that does not close
            let patience = if is_stopping { WHEN_OTHERS_WAIT } else { self.limits.header_timeout };
            let dawdled = tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(client.address = %self.peer, %error, "a connection ended in disorder");
                    }
                    return;
                }
                () = &mut stop, if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                    false
                }
                () = tokio::time::sleep(patience) => seen.rests(&activity),
                () = crowded => {
                    seen = activity.marks();
                    tokio::select! {
                        _ = connection.as_mut() => return,
                        () = tokio::time::sleep(WHEN_OTHERS_WAIT) => {}
                    }
                    if seen.rests(&activity) {
                        return;
                    }
                    false
                }
            };
            if dawdled && is_closing {
                // it was asked to close, and still holds on
                return;
            }
            if dawdled {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
            seen = activity.marks();
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let limits = &self.limits;
        let mut builder = Builder::new(TokioExecutor::new());
        let mut http1 = builder.http1();
        http1.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
        http1.max_buf_size(limits.header_bytes.max(MIN_BUFFER)).max_headers(limits.headers);
        let mut http2 = builder.http2();
        http2.timer(TokioTimer::new());
        http2.max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
        http2.max_concurrent_streams(MAX_STREAMS);
        http2.initial_stream_window_size(HTTP2_WINDOW).initial_connection_window_size(HTTP2_WINDOW);
        http2.keep_alive_interval(limits.header_timeout).keep_alive_timeout(limits.handshake_timeout);
        builder
    }
}

/// The requests of one connection: how many began, and how many a handler is at work on.
#[derive(Clone, Debug, Default)]
struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    running: AtomicUsize,
}

/// How it stood at some moment.
#[derive(Debug, PartialEq, Eq)]
struct Marks(usize);

impl Activity {
    fn enter(&self) -> Entered {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.running.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }

    fn marks(&self) -> Marks {
        Marks(self.0.begun.load(Ordering::Relaxed))
    }
}

impl Marks {
    /// Whether nothing has begun since, and no handler is at work: the peer dawdles, with its next request or with
    /// reading its last answer.
    fn rests(&self, activity: &Activity) -> bool {
        *self == activity.marks() && activity.0.running.load(Ordering::Relaxed) == 0
    }
}

/// A request that a handler is at work on.
struct Entered(Activity);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a connection without a request stays when others wait for its place, or for the end.
const WHEN_OTHERS_WAIT: Duration = Duration::from_secs(1);
/// The least hyper accepts.
const MIN_BUFFER: usize = 8192;
const MAX_STREAMS: u32 = 100;
/// About the most that is buffered of an HTTP/2 connection nobody reads from.
const HTTP2_WINDOW: u32 = 64 * 1024;
