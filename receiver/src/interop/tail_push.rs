//! Following a stream that is pushed (RFC 8935): a small receiver that shows and answers.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::{HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use ssf_common::runtime::http::{self as runtime_http, error_reply, with_hygiene};
use ssf_common::runtime::telemetry::chain;
use ssf_common::set::Refusal;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;

use super::judge::Seen;
use super::tail::Watch;
use crate::doors::push::{is_set, refused_as};
use crate::upstream::Digest;

/// Where SETs are sent to.
#[derive(Debug)]
pub struct PushDoor {
    /// Where we listen.
    pub listener: TcpListener,
    /// The path, with a slash in front.
    pub path: String,
    /// What `Authorization` every push must have; `None`: any, or none.
    pub authorization: Option<SecretString>,
}

#[derive(Clone, Debug)]
struct Door {
    watch: Arc<Watch>,
    authorization: Option<Digest>,
}

/// Answers pushes until the stop.
pub(super) async fn serve(door: PushDoor, watch: Arc<Watch>) {
    let PushDoor { listener, path, authorization } = door;
    let authorization = authorization.map(|header| Digest::of(header.expose_secret().as_bytes()));
    let router =
        Router::new().route(&path, post(receive)).with_state(Door { watch: Arc::clone(&watch), authorization });
    if let Err(error) = runtime_http::serve(listener, with_hygiene(router, NO_LIMIT), &watch.shutdown).await {
        watch.screen.note(&format!("the push endpoint has ended: {error}"));
        watch.shutdown.begin();
    }
}

/// Shows the exchange, if that is wanted.
async fn receive(State(door): State<Door>, request: Request) -> Response {
    let trace = Arc::clone(&door.watch.peer.trace);
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, door.watch.peer.max_set_bytes.saturating_add(STILL_READ)).await.ok();
    let shown = body.as_deref().unwrap_or_default();
    trace.incoming(&format!("{} {}", parts.method, parts.uri), &parts.headers, shown);
    let (parts, answer) = door.answer(&parts.headers, body.as_deref()).await.into_parts();
    let answer = to_bytes(answer, usize::MAX).await.unwrap_or_default();
    trace.outgoing(&parts.status.to_string(), &parts.headers, &answer);
    Response::from_parts(parts, Body::from(answer))
}

impl Door {
    /// `body` is `None` if it is longer than is read.
    async fn answer(&self, headers: &header::HeaderMap, body: Option<&[u8]>) -> Response {
        if !is_set(headers) {
            self.watch.screen.note("a push is answered with 415: its content type is not application/secevent+jwt");
            let text = "the content type must be application/secevent+jwt";
            return error_reply(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", text);
        }
        if !self.is_authorized(headers) {
            let refusal = Refusal::WrongAuthorization;
            let answer = refused_as(&refusal, StatusCode::BAD_REQUEST);
            // it may be a stranger's, so it is none of the SETs that were asked for
            self.watch.show_uncounted(&Seen::Refused { jti: None, refusal });
            return answer;
        }
        let longest = self.watch.peer.max_set_bytes;
        let Some(body) = body.filter(|body| body.len() <= longest) else {
            return self.refuse(Refusal::TooLarge(longest));
        };
        let Some(judge) = self.watch.judge.get() else { return self.not_now("the stream is not known yet") };
        match judge.judged(body, None).await {
            Ok(seen) => {
                let answer = match &seen {
                    Seen::Verified { .. } => StatusCode::ACCEPTED.into_response(),
                    Seen::Refused { refusal, .. } => refused_as(refusal, StatusCode::BAD_REQUEST),
                };
                // Whoever comes after the last that was asked for comes again, to somebody else.
                if self.watch.show(&seen) { answer } else { self.not_now("enough were shown") }
            }
            Err(error) => self.not_now(&chain(&error)),
        }
    }

    fn is_authorized(&self, headers: &header::HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        self.authorization.is_none_or(|known| known.as_bytes().ct_eq(Digest::of(shown).as_bytes()).into())
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        let status = match refusal {
            Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        let answer = refused_as(&refusal, status);
        self.watch.show(&Seen::Refused { jti: None, refusal });
        answer
    }

    fn not_now(&self, why: &str) -> Response {
        self.watch.screen.note(&format!("a push is answered with 503: {why}"));
        let text = "the SET cannot be taken now; send it again";
        let mut reply = error_reply(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", text);
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        reply
    }
}

/// A push is read by its own limit.
const NO_LIMIT: usize = usize::MAX;
/// What is read beyond the longest SET and thrown away: an answer before the end of a request is easily lost with the
/// connection.
const STILL_READ: usize = 256 * 1024;
