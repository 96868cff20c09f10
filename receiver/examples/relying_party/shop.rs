//! The relying party: sessions of its own, pages behind the guard, and the way to the identity provider and back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Form, Query, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::get;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use ssf_common::jwks::{Algorithm, VerifyingKeys};
use ssf_common::jwt::{Expected, Token, Unverified};
use ssf_common::runtime::Env;
use ssf_receiver::guard::{Checked, GuardLayer, Presented, Refusal, Remote};
use ssf_receiver::session::{Description, Sid};

use super::idp::cookie;

struct Shop {
    own: String,
    idp: String,
    receiver: String,
    http: reqwest::Client,
    env: Env,
    sessions: Mutex<HashMap<Sid, Session>>,
}

/// What belongs to a session. It is kept while the session must be proved again, and dropped when it is over.
#[derive(Default)]
struct Session {
    user: String,
    cart: Vec<String>,
}

/// Its pages. The session's name at the receiver is the digest of the cookie, so the cookie itself is kept nowhere.
pub(crate) fn router(own: &str, idp: &str, receiver: &str, env: Env) -> anyhow::Result<Router> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let (own, idp, at) = (own.to_owned(), idp.to_owned(), receiver.to_owned());
    let shop = Arc::new(Shop { own, idp, receiver: at, http, env, sessions: Mutex::default() });
    let remote = Remote::http(receiver, None, Duration::from_secs(1))?;
    let turned_away = Arc::clone(&shop);
    let guard = GuardLayer::new(remote, who).for_browsers(move |parts, refusal| turned_away.turn_away(parts, refusal));
    let guarded = Router::new().route("/cart", get(cart).post(add)).layer(guard);
    let open = Router::new()
        .route("/", get(|| async { Html("<h1>The shop</h1><a href=/cart>Your cart</a>") }))
        .route("/login", get(login))
        .route("/callback", get(callback));
    Ok(open.merge(guarded).with_state(shop))
}

type Shared = State<Arc<Shop>>;

/// Who a request comes from, for the guard.
fn who(parts: &mut Parts) -> Result<Presented, Refusal> {
    cookie(&parts.headers, "session").map(|secret| Presented::session(Sid::of_secret(&secret))).ok_or(Refusal::Nobody)
}

impl Shop {
    /// What a browser is answered that does not get through.
    fn turn_away(&self, parts: &Parts, refusal: &Refusal) -> Option<Response> {
        match refusal {
            // its data stays; the identity provider is to ask again
            Refusal::Revalidate(_) => Some(Redirect::to("/login?again=1").into_response()),
            Refusal::Invalid(_) => {
                let secret = cookie(&parts.headers, "session")?;
                self.sessions().remove(&Sid::of_secret(&secret));
                Some(Redirect::to("/login").into_response())
            }
            Refusal::Nobody => Some(Redirect::to("/login").into_response()),
            _ => None,
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Sid, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches the ID token of a code and verifies it (OpenID Connect Core §3.1.3.7).
    async fn id_token(&self, code: &str, nonce: &str) -> anyhow::Result<Token> {
        let form = [("grant_type", "authorization_code"), ("code", code)];
        let answer = self.http.post(format!("{}/token", self.idp)).form(&form).send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        let keys = self.http.get(format!("{}/jwks.json", self.idp)).send().await?.bytes().await?;
        let expected = Expected {
            types: &["JWT"],
            untyped: true,
            algorithms: &[Algorithm::Es256],
            issuer: &self.idp,
            audiences: &["shop"],
            shared: false,
            longest: None,
        };
        let raw = answer["id_token"].as_str().unwrap_or_default();
        let token = Unverified::parse(raw, 8_192)?.verify(&expected, &VerifyingKeys::parse(&keys)?, self.env.now())?;
        anyhow::ensure!(token.text("nonce") == Some(nonce), "the ID token answers another request");
        Ok(token)
    }

    /// Tells the receiver of a new session.
    async fn register(&self, sid: &Sid, description: &Description) -> anyhow::Result<()> {
        let url = format!("{}/v1/sessions/{sid}", self.receiver);
        self.http.put(url).json(description).send().await?.error_for_status()?;
        Ok(())
    }

    /// Tells the receiver that a session was proved again.
    async fn revalidated(&self, sid: &Sid, description: &Description) -> anyhow::Result<()> {
        let url = format!("{}/v1/sessions/{sid}/revalidated", self.receiver);
        let body = json!({"validated": description.validated});
        self.http.post(url).json(&body).send().await?.error_for_status()?;
        Ok(())
    }
}

async fn cart(State(shop): Shared, Extension(checked): Extension<Checked>) -> Response {
    let sessions = shop.sessions();
    let Some(session) = checked.sid.and_then(|sid| sessions.get(&sid)) else {
        return Redirect::to("/login").into_response();
    };
    let (user, items) = (&session.user, session.cart.join(", "));
    Html(format!("<h1>The cart of {}</h1><p>{}</p>", escaped(user), escaped(&items))).into_response()
}

async fn add(
    State(shop): Shared,
    Extension(checked): Extension<Checked>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    if let (Some(item), Some(sid)) = (form.get("item"), checked.sid)
        && let Some(session) = shop.sessions().get_mut(&sid)
    {
        session.cart.push(item.clone());
    }
    Redirect::to("/cart").into_response()
}

/// To the identity provider; `again` asks for a new login, whoever is logged in there.
async fn login(State(shop): Shared, Query(asked): Query<HashMap<String, String>>) -> Response {
    let state = shop.env.random.secret();
    let again = if asked.contains_key("again") { "&prompt=login" } else { "" };
    let to = format!("{}/authorize?client_id=shop&redirect_uri={}/callback&state={state}{again}", shop.idp, shop.own);
    let cookie = format!("login={state}; Path=/callback; HttpOnly; SameSite=Lax");
    ([(header::SET_COOKIE, cookie)], Redirect::to(&to)).into_response()
}

#[derive(Deserialize)]
struct Back {
    code: String,
    state: String,
}

/// Back from the identity provider: the session there was is proved again, or a new one begins.
async fn callback(State(shop): Shared, headers: HeaderMap, Query(back): Query<Back>) -> Result<Response, StatusCode> {
    if cookie(&headers, "login").as_deref() != Some(&back.state) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let token = shop.id_token(&back.code, &back.state).await.map_err(|_| StatusCode::UNAUTHORIZED)?;
    let description = Description::from_id_token(token.claims()).map_err(|_| StatusCode::UNAUTHORIZED)?;
    let user = token.text("sub").unwrap_or_default();
    let known = cookie(&headers, "session").map(|secret| Sid::of_secret(&secret));
    let known = known.filter(|sid| shop.sessions().get(sid).is_some_and(|session| session.user == user));
    if let Some(sid) = known {
        shop.revalidated(&sid, &description).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        return Ok(Redirect::to("/cart").into_response());
    }
    let secret = shop.env.random.secret();
    let sid = Sid::of_secret(&secret);
    shop.register(&sid, &description).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    shop.sessions().insert(sid, Session { user: user.to_owned(), cart: Vec::new() });
    let cookie = format!("session={secret}; Path=/; HttpOnly; SameSite=Lax");
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/cart")).into_response())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
