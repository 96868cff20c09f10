//! [`GuardLayer`]: the question before every request, as a tower layer around an application's routes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Request, header};
use tower_layer::Layer;
use tower_service::Service;

use super::ask::{Ask, judge};
use super::challenge::Challenge;
use super::presented::Presented;
use super::refusal::Refusal;

/// Lets through who presents a session or token that is active; the route finds the [`Checked`](super::Checked) in the
/// request's extensions. All others get the answer of the [`Challenge`], or of the hook for browsers.
///
/// ```no_run
/// # use ssf_receiver::guard::{GuardLayer, Presented, Refusal, Remote};
/// # fn cookie(_: &http::HeaderMap) -> Option<String> { None }
/// # fn routes() -> axum::Router { axum::Router::new() }
/// # fn example() -> Result<axum::Router, Box<dyn std::error::Error>> {
/// let receiver = Remote::unix("/run/ssf-receiver/api.sock".as_ref(), std::time::Duration::from_millis(200))?;
/// let guard = GuardLayer::new(receiver, |parts| {
///     cookie(&parts.headers).map(|name| Presented::session(name.into())).ok_or(Refusal::Nobody)
/// });
/// Ok(routes().layer(guard))
/// # }
/// ```
pub struct GuardLayer<A> {
    ask: Arc<A>,
    identify: Arc<Identify>,
    challenge: Arc<Challenge>,
    for_browsers: Option<Arc<ForBrowsers>>,
}

/// Who a request comes from; an application's function. It may leave something in the request's extensions.
type Identify = dyn Fn(&mut Parts) -> Result<Presented, Refusal> + Send + Sync;
/// What a browser is answered; `None` for the challenge.
type ForBrowsers = dyn Fn(&Parts, &Refusal) -> Option<Response> + Send + Sync;

impl<A: Ask> GuardLayer<A> {
    /// Asks `ask` about whom `identify` finds in a request: [`Presented::session`] with the name in a cookie, for
    /// instance, or [`Presented::described`] with the claims of a verified token. `identify` must believe nothing it has
    /// not verified.
    pub fn new(ask: A, identify: impl Fn(&mut Parts) -> Result<Presented, Refusal> + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(ask), identify: Arc::new(identify), challenge: Arc::default(), for_browsers: None }
    }

    /// With this in its challenges.
    #[must_use]
    pub fn with_challenge(self, challenge: Challenge) -> Self {
        Self { challenge: Arc::new(challenge), ..self }
    }

    /// What people are answered whose browser asks for a page (`Accept: text/html`): a redirect to the IdP with
    /// `prompt` or `max_age` for [`Refusal::Revalidate`], to the login for the others. `None` leaves it at the challenge.
    /// It is called before anything of the application's session is touched.
    #[must_use]
    pub fn for_browsers(self, answer: impl Fn(&Parts, &Refusal) -> Option<Response> + Send + Sync + 'static) -> Self {
        Self { for_browsers: Some(Arc::new(answer)), ..self }
    }

    /// Through, with the answer in the extensions, or not.
    async fn judge(&self, parts: &mut Parts) -> Result<(), Response> {
        let judged = match (self.identify)(parts) {
            Ok(presented) => judge(&*self.ask, &presented).await,
            Err(refusal) => Err(refusal),
        };
        match judged {
            Ok(checked) => {
                parts.extensions.insert(checked);
                Ok(())
            }
            Err(refusal) => {
                let hook = self.for_browsers.as_ref().filter(|_| wants_a_page(&parts.headers));
                Err(hook.and_then(|hook| hook(parts, &refusal)).unwrap_or_else(|| self.challenge.reply(&refusal)))
            }
        }
    }
}

/// A service behind the layer.
pub struct Guard<S, A> {
    inner: S,
    guard: GuardLayer<A>,
}

impl<S, A> Layer<S> for GuardLayer<A> {
    type Service = Guard<S, A>;

    fn layer(&self, inner: S) -> Guard<S, A> {
        Guard { inner, guard: self.clone() }
    }
}

impl<S, A, B> Service<Request<B>> for Guard<S, A>
where
    S: Service<Request<B>, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
    A: Ask,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // the one that was polled is ready, its clone is not
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let guard = self.guard.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match guard.judge(&mut parts).await {
                Ok(()) => inner.call(Request::from_parts(parts, body)).await,
                Err(answer) => Ok(answer),
            }
        })
    }
}

fn wants_a_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|range| range.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("text/html")))
}

impl<A> Clone for GuardLayer<A> {
    fn clone(&self) -> Self {
        Self {
            ask: Arc::clone(&self.ask),
            identify: Arc::clone(&self.identify),
            challenge: Arc::clone(&self.challenge),
            for_browsers: self.for_browsers.clone(),
        }
    }
}

impl<S: Clone, A> Clone for Guard<S, A> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), guard: self.guard.clone() }
    }
}

impl<A> fmt::Debug for GuardLayer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLayer").finish_non_exhaustive()
    }
}

impl<S, A> fmt::Debug for Guard<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}
