//! An issuer for receivers that are measured: metadata, keys and one push stream, and a key to sign SETs with. It sends
//! nothing by itself, so what a receiver is given, and when, is the scenario's.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use ssf_common::clock::{Clock as _, SystemClock, Timestamp};
use ssf_common::event::{Event, EventType, Vocabulary};
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::set::{Audience, Claims, DEFAULT_TIMELINE_CLAIM, Timeline, sign};
use ssf_common::subject::Subject;

/// The issuer, listening on loopback.
pub(crate) struct Issuer {
    /// Its name, which is where it listens.
    pub(crate) url: String,
    key: SigningKey,
    stream: Arc<Mutex<Option<Registered>>>,
}

/// What a receiver registered.
#[derive(Clone)]
pub(crate) struct Registered {
    /// Where it is pushed to.
    pub(crate) endpoint: String,
    /// What it wants to be shown.
    pub(crate) authorization: String,
}

#[derive(Clone)]
struct Served {
    url: String,
    keys: Value,
    stream: Arc<Mutex<Option<Registered>>>,
}

impl Issuer {
    pub(crate) async fn open(algorithm: Algorithm) -> anyhow::Result<Self> {
        let key = SigningKey::generate(algorithm)?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let stream = Arc::new(Mutex::new(None));
        let served =
            Served { url: url.clone(), keys: json!({"keys": [key.public_jwk()]}), stream: Arc::clone(&stream) };
        let router = Router::new()
            .route("/.well-known/ssf-configuration", get(metadata))
            .route("/jwks.json", get(async |State(served): State<Served>| Json(served.keys)))
            .route("/streams", post(register).patch(register).get(read))
            .with_state(served);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, key, stream })
    }

    /// Forgets its stream: another receiver comes.
    pub(crate) fn forget(&self) {
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The stream, once the receiver has registered it.
    pub(crate) async fn registered(&self) -> anyhow::Result<Registered> {
        let patience = Instant::now();
        loop {
            if let Some(registered) = self.stream.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                return Ok(registered);
            }
            if patience.elapsed() > Duration::from_secs(30) {
                bail!("the receiver registered no stream");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// A SET about each of the users with these numbers, signed now.
    pub(crate) fn sets(&self, users: Range<usize>) -> anyhow::Result<Vec<String>> {
        let at = SystemClock.now();
        users.map(|number| self.set(number, at)).collect()
    }

    fn set(&self, number: usize, at: Timestamp) -> anyhow::Result<String> {
        let payload = json!({"event_timestamp": at.unix_seconds(), "reason_admin": {"en": "decided by the bench"}});
        let claims = Claims {
            iss: self.url.as_str().into(),
            aud: Audience::from(AUDIENCE),
            jti: format!("{}-{number}", at.unix_micros()).as_str().into(),
            iat: Timestamp::from_unix_seconds(at.unix_seconds()),
            txn: Some(format!("txn-{number}").as_str().into()),
            toe: None,
            sub_id: Subject::parse(&json!({"format": "iss_sub", "iss": self.url, "sub": format!("user-{number}")}))?,
            event: Event::parse(EventType::SessionRevoked, &payload)?,
            timeline: Some(Timeline { occurred: at, recorded: at, fanned_out: at, taken: at }),
        };
        Ok(sign(&claims, &Vocabulary::default(), &self.key, Some(DEFAULT_TIMELINE_CLAIM))?)
    }
}

async fn metadata(State(Served { url, .. }): State<Served>) -> Json<Value> {
    Json(json!({
        "spec_version": "1_0",
        "issuer": url,
        "jwks_uri": format!("{url}/jwks.json"),
        "delivery_methods_supported": ["urn:ietf:rfc:8935"],
        "configuration_endpoint": format!("{url}/streams"),
    }))
}

async fn register(State(served): State<Served>, Json(wanted): Json<Value>) -> Json<Value> {
    let text = |member: &str| wanted["delivery"][member].as_str().unwrap_or_default().to_owned();
    let registered = Registered { endpoint: text("endpoint_url"), authorization: text("authorization_header") };
    let answer = configuration(&served.url, &registered.endpoint);
    *served.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(registered);
    answer
}

async fn read(State(served): State<Served>) -> Json<Value> {
    let registered = served.stream.lock().unwrap_or_else(PoisonError::into_inner).clone();
    configuration(&served.url, registered.as_ref().map_or("", |registered| &registered.endpoint))
}

fn configuration(url: &str, endpoint: &str) -> Json<Value> {
    Json(json!({
        "stream_id": "bench",
        "iss": url,
        "aud": [AUDIENCE],
        "events_delivered": [EventType::SessionRevoked.uri(&Vocabulary::default())],
        "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": endpoint},
    }))
}

/// Whom its SETs are for.
pub(crate) const AUDIENCE: &str = "https://rp.example";
