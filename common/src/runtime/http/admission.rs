//! What is answered "not now" instead of being read: so many requests at once, so many bytes of bodies at once, and no
//! body that is sent for ever. A service that refuses early stays small under a flood and goes on answering.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error_reply;
use super::metered::{Account, Budget, Metered, Overdrawn};

/// How much is taken in at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Requests being handled.
    pub requests: usize,
    /// Bytes of their bodies, all together. A quarter of it is kept for short bodies.
    pub body_bytes: usize,
    /// The longest body a route reads. One announced as longer is not for want of room refused, but by its route.
    pub longest_body: usize,
    /// How long one body may take to arrive.
    pub body_timeout: Duration,
}

/// The state behind [`with_admission`]. Clones count together.
#[derive(Clone, Debug)]
pub struct Admission {
    requests: Arc<Semaphore>,
    budget: Budget,
    longest_body: usize,
    body_timeout: Duration,
    is_exempt: fn(&str) -> bool,
}

impl Admission {
    /// `is_exempt` names the paths that are answered however many requests there are: health checks.
    pub fn new(limits: AdmissionLimits, is_exempt: fn(&str) -> bool) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(limits.requests.clamp(1, Semaphore::MAX_PERMITS))),
            budget: Budget::new(limits.body_bytes),
            longest_body: limits.longest_body,
            body_timeout: limits.body_timeout,
            is_exempt,
        }
    }
}

/// A request's place among those being handled, in its extensions. Whoever will only wait from now on, as a long poll
/// does, may give it back.
#[derive(Clone, Debug, Default)]
pub struct Slot(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Slot {
    /// Gives the place back.
    pub fn leave(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Puts the bounds around the router. A request above them is a 503 with `Retry-After`, and nothing of it is kept; a body
/// that takes too long is a 408 and ends the connection.
pub fn with_admission(router: Router, admission: Admission) -> Router {
    router.layer(from_fn_with_state(admission, admit))
}

async fn admit(State(admission): State<Admission>, mut request: Request, next: Next) -> Response {
    let slot = Slot::default();
    let permit = Arc::clone(&admission.requests).try_acquire_owned().ok();
    let announced: Option<usize> =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_bearable = |length| length > admission.longest_body || admission.budget.has_room_for(length);
    let has_room = announced.is_none_or(is_bearable);
    // whoever waits to be invited has sent nothing that stands in the answer's way
    let is_sending = !request.headers().contains_key(EXPECT);
    let account = Account::new(admission.budget);
    if !has_room || (permit.is_none() && !(admission.is_exempt)(request.uri().path())) {
        // the place is not kept for what is only thrown away
        drop(permit);
        Metered::new(request.into_body(), account, admission.body_timeout).discard().await;
        return busy();
    }
    *slot.0.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    request.extensions_mut().insert(slot.clone());
    let counted = account.clone();
    let request = request.map(|body| Body::new(Metered::new(body, counted, admission.body_timeout)));
    let response = next.run(request).await;
    slot.leave();
    // a refusal does not wait for the rest of the body, but whoever is still sending would not see it on a closed connection
    if let Some(unread) = account.unread(admission.body_timeout).filter(|_| is_sending) {
        tokio::spawn(unread.discard());
    }
    match account.overdrawn() {
        None => response,
        Some(Overdrawn::Full) => busy(),
        Some(Overdrawn::Late) => {
            let mut response =
                error_reply(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body took too long to arrive");
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

fn busy() -> Response {
    let mut response = error_reply(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        "the service has as much to do as it can bear; come again in a second",
    );
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
