//! `POST /ssf/push/{upstream}`: a transmitter delivers one SET (RFC 8935 §2).
//!
//! | answer | when |
//! |---|---|
//! | 202, empty | the SET is applied and committed, now or before |
//! | 400 `{"err", "description"}` | it is refused (§2.3), or the `Authorization` is not the one we registered |
//! | 404 | there is no such upstream, or it does not push |
//! | 413 `{"err", "description"}` | it is longer than `inbox.max_set_bytes`: `invalid_request`, the SET's own fault |
//! | 415 | it is not `application/secevent+jwt` |
//! | 503 with `Retry-After` | it could not be judged or stored now; it must come again |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use ssf_common::clock::Timestamp;
use ssf_common::protocol::SetError;
use ssf_common::runtime::Env;
use ssf_common::runtime::http::error_reply;
use ssf_common::runtime::telemetry::chain;
use ssf_common::set::{ErrorCode, MEDIA_TYPE, Refusal};

use super::{Admission, NotAdmitted};
use crate::inbox::Context;
use crate::upstream::Method;

/// The push endpoints, one per upstream that pushes, and these come and go. Clones share them.
#[derive(Clone, Debug)]
pub struct PushDoors(Arc<Doors>);

#[derive(Debug)]
struct Doors {
    by_name: RwLock<BTreeMap<String, Arc<Door>>>,
    max_set_bytes: usize,
    env: Env,
}

#[derive(Debug)]
struct Door {
    admission: Admission,
    /// When a wrong authorization last made us go to the database: strangers shall not keep it busy by knocking.
    asked_at: Mutex<Option<Timestamp>>,
}

impl PushDoors {
    /// No door yet. SETs are read up to `max_set_bytes`.
    pub fn new(max_set_bytes: usize, env: Env) -> Self {
        Self(Arc::new(Doors { by_name: RwLock::default(), max_set_bytes, env }))
    }

    /// Opens the door of this upstream, in place of the one of its name. Without `admission` it is closed.
    pub fn set(&self, name: &str, admission: Option<Admission>) {
        let mut doors = self.0.by_name.write().unwrap_or_else(PoisonError::into_inner);
        match admission.filter(|admission| admission.upstream.method() == Method::Push) {
            Some(admission) => doors.insert(name.to_owned(), Arc::new(Door { admission, asked_at: Mutex::default() })),
            None => doors.remove(name),
        };
    }

    /// The route, with a limit of its own: a layer in front would refuse a long SET in other words than RFC 8935's.
    pub fn router(self) -> Router {
        let limit = DefaultBodyLimit::max(self.0.max_set_bytes.saturating_add(STILL_READ));
        Router::new().route("/ssf/push/{upstream}", post(receive)).layer(limit).with_state(self)
    }

    fn door(&self, name: &str) -> Option<Arc<Door>> {
        self.0.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone)
    }
}

async fn receive(State(doors): State<PushDoors>, Path(name): Path<String>, request: Request) -> Response {
    let env = &doors.0.env;
    let Some(door) = doors.door(&name) else {
        return error_reply(StatusCode::NOT_FOUND, "not_found", "no upstream of this name pushes here");
    };
    if !is_set(request.headers()) {
        let text = "the content type must be application/secevent+jwt";
        return error_reply(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", text);
    }
    let (upstream_id, level) = (door.admission.upstream.id, door.admission.upstream.settings.level);
    let context = |received_at| Context { upstream_id, received_at, method: Method::Push, level };
    // Before the body is read: a stranger shall not make us hold it.
    if !door.is_authorized(request.headers()) && !door.is_authorized_by_now(request.headers(), env.now()).await {
        return refused_as(&Refusal::WrongAuthorization, StatusCode::BAD_REQUEST);
    }
    door.admission.upstream.note_authorized();
    let body = door.read(request).await;
    let context = context(env.now());
    match body {
        Ok(Some(body)) => door.admitted(&body, context).await,
        Ok(None) => door.too_large(context).await,
        Err(_) => refused(StatusCode::BAD_REQUEST, &ErrorCode::InvalidRequest, "the body could not be read".to_owned()),
    }
}

impl Door {
    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        self.admission.upstream.held().authorizes(shown)
    }

    /// The SET; `None` if it is longer than we read.
    async fn read(&self, request: Request) -> Result<Option<Bytes>, BytesRejection> {
        let longest = self.admission.upstream.policy().max_bytes;
        let announced = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
        if announced > longest.saturating_add(STILL_READ) {
            return Ok(None);
        }
        match Bytes::from_request(request, &()).await {
            Ok(read) => Ok(Some(read).filter(|read| read.len() <= longest)),
            Err(unread) if unread.status() == StatusCode::PAYLOAD_TOO_LARGE => Ok(None),
            Err(unread) => Err(unread),
        }
    }

    async fn admitted(&self, body: &[u8], context: Context) -> Response {
        match self.admission.admit(body, context).await {
            Ok(_) => StatusCode::ACCEPTED.into_response(),
            Err(error) => match error.answer() {
                Some((code, description)) => refused(StatusCode::BAD_REQUEST, &code, description),
                None => self.not_now(&error),
            },
        }
    }

    /// Another process may have registered a new authorization: looks, once a second at most, and notes the refusal if
    /// it has not.
    async fn is_authorized_by_now(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        if !self.may_ask(now) {
            return false;
        }
        let upstream = &self.admission.upstream;
        if upstream.read_held().await.is_ok() && self.is_authorized(headers) {
            return true;
        }
        let (upstream_id, level) = (upstream.id, upstream.settings.level);
        let context = Context { upstream_id, received_at: now, method: Method::Push, level };
        self.admission.refused(Refusal::WrongAuthorization, &[], context).await;
        // It may be our transmitter, which has lost what we gave it.
        upstream.note_refused();
        false
    }

    async fn too_large(&self, context: Context) -> Response {
        let refusal = Refusal::TooLarge(self.admission.upstream.policy().max_bytes);
        let answer = refused_as(&refusal, StatusCode::PAYLOAD_TOO_LARGE);
        self.admission.refused(refusal, &[], context).await;
        answer
    }

    fn not_now(&self, error: &NotAdmitted) -> Response {
        tracing::warn!(upstream.name = self.admission.upstream.name, error = %chain(error), "a push is answered with 503");
        let text = "the SET cannot be taken now; send it again";
        let mut reply = error_reply(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", text);
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        reply
    }

    fn may_ask(&self, now: Timestamp) -> bool {
        let mut asked_at = self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = asked_at.is_none_or(|at| now >= at.plus(BETWEEN_LOOKS));
        if is_time {
            *asked_at = Some(now);
        }
        is_time
    }
}

/// RFC 8935 §2.1; parameters are ignored.
pub(crate) fn is_set(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(MEDIA_TYPE)
}

pub(crate) fn refused_as(refusal: &Refusal, status: StatusCode) -> Response {
    refused(status, &refusal.code(), refusal.description())
}

/// RFC 8935 §2.3.
pub(crate) fn refused(status: StatusCode, code: &ErrorCode, description: String) -> Response {
    let body = SetError { err: code.clone(), description: Some(description) };
    (status, [(header::CONTENT_LANGUAGE, "en")], Json(body)).into_response()
}

/// What is read beyond the longest SET and thrown away: an answer before the end of a request is easily lost with the
/// connection.
const STILL_READ: usize = 256 * 1024;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
