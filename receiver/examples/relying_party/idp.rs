//! A tiny identity provider: a login page with ID tokens, and just enough of a transmitter (SSF 1.0) to push one stream.
//! It keeps everything in memory, and anybody may decide; `ssf-transmitter` is the real thing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Form, Query, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use ssf_common::clock::Timestamp;
use ssf_common::event::{Event, EventType, Vocabulary};
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::moment::Moment;
use ssf_common::runtime::Env;
use ssf_common::set::{self, Audience, Claims};
use ssf_common::subject::Subject;

/// What the receiver shows at the management endpoints.
pub(crate) const TOKEN: &str = "of-the-shops-receiver";

struct Idp {
    issuer: String,
    key: SigningKey,
    http: reqwest::Client,
    env: Env,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// Who is logged in here, and since when: by the value of the cookie.
    sessions: HashMap<String, (String, Timestamp)>,
    /// ID tokens that wait to be fetched, by their code.
    codes: HashMap<String, String>,
    /// The stream as it was configured.
    stream: Option<Value>,
}

/// Its pages and endpoints.
pub(crate) fn router(issuer: &str, env: Env) -> anyhow::Result<Router> {
    let idp = Idp {
        issuer: issuer.to_owned(),
        key: SigningKey::generate(Algorithm::Es256)?,
        http: reqwest::Client::builder().no_proxy().build()?,
        env,
        memory: Mutex::default(),
    };
    Ok(Router::new()
        .route("/authorize", get(authorize).post(login))
        .route("/token", post(token))
        .route("/decide", post(decide))
        .route("/jwks.json", get(jwks))
        .route("/.well-known/ssf-configuration", get(metadata))
        .route("/ssf/streams", get(stream).post(configure).patch(configure))
        .route("/ssf/status", get(status))
        .route("/ssf/verify", post(verify))
        .with_state(Arc::new(idp)))
}

type Shared = State<Arc<Idp>>;

/// The request of OpenID Connect Core §3.1.2.1, as far as it matters here.
#[derive(Deserialize)]
struct Request {
    redirect_uri: String,
    state: String,
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    user: String,
}

/// Who is logged in here goes straight back, unless the shop asks for another login.
async fn authorize(State(idp): Shared, headers: HeaderMap, Query(asked): Query<Request>) -> Response {
    let known = cookie(&headers, "idp").and_then(|secret| idp.memory().sessions.get(&secret).cloned());
    match known.filter(|_| asked.prompt != "login") {
        Some((user, since)) => back(&idp, &asked, &user, since),
        None => Html(FORM).into_response(),
    }
}

/// No password: this is an example.
async fn login(
    State(idp): Shared,
    Query(mut asked): Query<Request>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    asked.user = form.get("user").cloned().unwrap_or_default();
    if asked.user.is_empty() {
        return (StatusCode::BAD_REQUEST, Html(FORM)).into_response();
    }
    let (secret, now) = (idp.env.random.secret(), idp.env.now());
    idp.memory().sessions.insert(secret.clone(), (asked.user.clone(), now));
    let cookie = format!("idp={secret}; Path=/; HttpOnly; SameSite=Lax");
    ([(header::SET_COOKIE, cookie)], back(&idp, &asked, &asked.user, now)).into_response()
}

/// Back to the shop with a code for an ID token.
fn back(idp: &Idp, asked: &Request, user: &str, since: Timestamp) -> Response {
    let (code, now) = (idp.env.random.secret(), idp.env.now());
    let claims = json!({
        "iss": idp.issuer, "aud": "shop", "sub": user, "sid": format!("at-idp-{user}"), "nonce": asked.state,
        "iat": Moment::millisecond(now), "exp": now.unix_seconds() + 60, "auth_time": Moment::millisecond(since),
    });
    let header = json!({"typ": "JWT", "alg": idp.key.algorithm(), "kid": idp.key.key_id()});
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let Ok(signature) = idp.key.sign(signed.as_bytes()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let id_token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    idp.memory().codes.insert(code.clone(), id_token);
    Redirect::to(&format!("{}?code={code}&state={}", asked.redirect_uri, asked.state)).into_response()
}

/// The ID token of a code, once.
async fn token(State(idp): Shared, Form(form): Form<HashMap<String, String>>) -> Response {
    let code = form.get("code").cloned().unwrap_or_default();
    match idp.memory().codes.remove(&code) {
        Some(id_token) => Json(json!({"id_token": id_token})).into_response(),
        None => (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response(),
    }
}

/// The decision of somebody in charge: `event` (`session-revoked`, `revalidate`) about `user`. The identity provider stops
/// first, so nobody is renewed silently, and then tells everybody.
async fn decide(State(idp): Shared, Form(form): Form<HashMap<String, String>>) -> Result<&'static str, StatusCode> {
    let (Some(event), Some(user)) = (form.get("event"), form.get("user")) else { return Err(StatusCode::BAD_REQUEST) };
    idp.memory().sessions.retain(|_, (known, _)| known != user);
    let subject = json!({"format": "iss_sub", "iss": idp.issuer, "sub": user});
    // to the millisecond: of a decision and a login in one whole second the decision would win
    let payload = json!({"event_timestamp": Moment::millisecond(idp.env.now()), "initiating_entity": "admin"});
    push(&idp, event, &subject, &payload).await?;
    Ok("told\n")
}

/// Signs a SET and pushes it (RFC 8935).
async fn push(idp: &Idp, event: &str, subject: &Value, payload: &Value) -> Result<(), StatusCode> {
    let stream = idp.memory().stream.clone().ok_or(StatusCode::CONFLICT)?;
    let text = |member: &str| stream["delivery"][member].as_str().unwrap_or_default().to_owned();
    let (vocabulary, now) = (Vocabulary::default(), idp.env.now());
    let event_type = EventType::from_name(event, &vocabulary).ok_or(StatusCode::BAD_REQUEST)?;
    let claims = Claims {
        iss: idp.issuer.as_str().into(),
        aud: Audience(vec!["shop".to_owned()]),
        jti: idp.env.random.secret().as_str().into(),
        iat: Timestamp::from_unix_seconds(now.unix_seconds()),
        txn: None,
        toe: None,
        sub_id: Subject::parse(subject).map_err(|_| StatusCode::BAD_REQUEST)?,
        event: Event::parse(event_type, payload).map_err(|_| StatusCode::BAD_REQUEST)?,
        timeline: None,
    };
    let set = set::sign(&claims, &vocabulary, &idp.key, None).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let request = idp.http.post(text("endpoint_url")).header("authorization", text("authorization_header"));
    let request = request.header("content-type", "application/secevent+jwt").body(set);
    let answer = request.send().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    if answer.status() == StatusCode::ACCEPTED { Ok(()) } else { Err(StatusCode::BAD_GATEWAY) }
}

async fn jwks(State(idp): Shared) -> Json<Value> {
    Json(json!({"keys": [idp.key.public_jwk()]}))
}

async fn metadata(State(idp): Shared) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", idp.issuer);
    Json(json!({
        "issuer": idp.issuer, "jwks_uri": at("/jwks.json"), "configuration_endpoint": at("/ssf/streams"),
        "status_endpoint": at("/ssf/status"), "verification_endpoint": at("/ssf/verify"),
        "delivery_methods_supported": ["urn:ietf:rfc:8935"],
    }))
}

/// The one stream: what the receiver sent, and what is ours to say (SSF 1.0 §8.1.1).
async fn configure(
    State(idp): Shared,
    headers: HeaderMap,
    Json(mut wanted): Json<Value>,
) -> Result<Response, StatusCode> {
    admitted(&headers)?;
    wanted["stream_id"] = json!(STREAM);
    wanted["iss"] = json!(idp.issuer);
    wanted["aud"] = json!(["shop"]);
    wanted["events_delivered"] = wanted["events_requested"].clone();
    let status =
        if idp.memory().stream.replace(wanted.clone()).is_none() { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(wanted)).into_response())
}

async fn stream(State(idp): Shared, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    admitted(&headers)?;
    idp.memory().stream.clone().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn status(headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    admitted(&headers)?;
    Ok(Json(json!({"stream_id": STREAM, "status": "enabled"})))
}

/// Answered at once, by a verification event with the same state (SSF 1.0 §8.1.4).
async fn verify(State(idp): Shared, headers: HeaderMap, Json(asked): Json<Value>) -> Result<StatusCode, StatusCode> {
    admitted(&headers)?;
    let payload = json!({"state": asked["state"]});
    tokio::spawn(async move { push(&idp, "verification", &json!({"format": "opaque", "id": STREAM}), &payload).await });
    Ok(StatusCode::NO_CONTENT)
}

fn admitted(headers: &HeaderMap) -> Result<(), StatusCode> {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if shown == Some(&format!("Bearer {TOKEN}")) { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) }
}

/// The value of a cookie.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let pairs = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    pairs.flat_map(|line| line.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then(|| value.to_owned())
    })
}

impl Idp {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const STREAM: &str = "the-shops-stream";
const FORM: &str = "<!doctype html><title>Log in</title><form method=post>Who are you? <input name=user autofocus> <button>Log in</button></form>";
