//! A receiver and the transmitter it listens to, which answers as a story says: for what strict and careless peers do to
//! us over HTTP. The receiver is the whole one, on a database of its own and a clock that the story moves.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::PgPool;
use ssf_common::clock::{ManualClock, Timestamp};
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::random::SystemRandom;
use ssf_common::runtime::config::Layers;
use ssf_common::runtime::{Env, Worker as _};
use ssf_harness::TestCluster;
use ssf_receiver::app::{Link, Receiver};
use ssf_receiver::config::{DEFAULTS, Settings};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::rp::{START, prepared};

/// A transmitter of wiremock's, and a receiver that listens to it as `idp`.
pub(crate) struct Peer {
    pub(crate) server: MockServer,
    pub(crate) receiver: Receiver,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) key: SigningKey,
    pub(crate) pool: PgPool,
    pub(crate) base: String,
    pub(crate) http: Client,
}

impl Peer {
    /// A transmitter that publishes its metadata and its key, and nothing else yet.
    pub(crate) async fn start(delivery: &str) -> Self {
        let database = TestCluster::shared().await.scratch_database("peer").await.unwrap();
        Self::on(prepared(&database).await, delivery).await
    }

    /// The same with further settings of the receiver.
    pub(crate) async fn start_with(delivery: &str, further: &[(&str, &str)]) -> Self {
        let database = TestCluster::shared().await.scratch_database("peer").await.unwrap();
        let (server, key) = (MockServer::start().await, SigningKey::generate(Algorithm::Rs256).unwrap());
        publish(&server, &key).await;
        Self::with(server, key, prepared(&database).await, delivery, further).await
    }

    /// The same on this database.
    pub(crate) async fn on(pool: PgPool, delivery: &str) -> Self {
        let (server, key) = (MockServer::start().await, SigningKey::generate(Algorithm::Rs256).unwrap());
        publish(&server, &key).await;
        Self::with(server, key, pool, delivery, &[]).await
    }

    /// The receiver is started again on its database; the transmitter stays as it is.
    pub(crate) async fn restarted(self, delivery: &str) -> Self {
        self.receiver.close().await;
        Self::with(self.server, self.key, self.pool, delivery, &[]).await
    }

    async fn with(server: MockServer, key: SigningKey, pool: PgPool, delivery: &str, further: &[(&str, &str)]) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(START)));
        let env = Env { clock: Arc::<ManualClock>::clone(&clock), random: Arc::new(SystemRandom) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let settings = Arc::new(settings(&server.uri(), delivery, further));
        let receiver = Receiver::open(settings, env, pool.clone()).await.unwrap();
        let router = receiver.router().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { server, receiver, clock, key, pool, base, http: Client::builder().no_proxy().build().unwrap() }
    }

    /// Lets the transmitter answer.
    pub(crate) async fn answers(&self, verb: &str, at: &str, response: ResponseTemplate) {
        Mock::given(method(verb)).and(path(at)).respond_with(response).mount(&self.server).await;
    }

    /// Lets it answer so once; answers mounted earlier go first.
    pub(crate) async fn answers_once(&self, verb: &str, at: &str, response: ResponseTemplate) {
        let mock = Mock::given(method(verb)).and(path(at)).respond_with(response);
        mock.up_to_n_times(1).mount(&self.server).await;
    }

    /// Lets it create streams, verify them and say they are enabled.
    pub(crate) async fn is_helpful(&self) {
        self.answers("POST", "/ssf/streams", ok(&self.stream("stream-1"))).await;
        self.answers("GET", "/ssf/streams", ok(&self.stream("stream-1"))).await;
        self.answers("PATCH", "/ssf/streams", ok(&self.stream("stream-1"))).await;
        self.answers("GET", "/ssf/status", ok(&json!({"stream_id": "stream-1", "status": "enabled"}))).await;
        self.answers("POST", "/ssf/verify", ResponseTemplate::new(204)).await;
    }

    /// Forgets all answers but metadata and key.
    pub(crate) async fn forgets(&self) {
        self.server.reset().await;
        publish(&self.server, &self.key).await;
    }

    /// A stream as the receiver wants it.
    pub(crate) fn stream(&self, id: &str) -> Value {
        let upstream = self.link().upstream;
        let wanted = upstream.wanted(None);
        let mut delivery = json!(wanted.delivery);
        if !upstream.settings.is_push() {
            delivery["endpoint_url"] = json!(format!("{}/ssf/poll/{id}", self.server.uri()));
        }
        json!({
            "stream_id": id, "iss": self.server.uri(), "aud": AUDIENCE, "delivery": delivery,
            "events_requested": wanted.events_requested, "events_delivered": wanted.events_requested,
            "description": wanted.description, "min_verification_interval": 60,
        })
    }

    /// The upstream and its workers.
    pub(crate) fn link(&self) -> Link {
        self.receiver.upstream("idp").unwrap()
    }

    /// Lets the keeper do all that is to be done now.
    pub(crate) async fn keep(&self) {
        for _ in 0..20 {
            if self.link().keeper.tick().await.unwrap() == 0 {
                return;
            }
        }
        panic!("the keeper does not come to rest");
    }

    /// Why the keeper cannot go on.
    pub(crate) async fn trouble(&self) -> String {
        for _ in 0..20 {
            if let Err(error) = self.link().keeper.tick().await {
                return ssf_common::runtime::telemetry::chain(&error).replace(&self.server.uri(), "<issuer>");
            }
        }
        panic!("the keeper has no trouble");
    }

    /// The bodies of the requests of this kind, in order.
    pub(crate) async fn requests(&self, verb: &str, at: &str) -> Vec<Value> {
        let requests = self.server.received_requests().await.unwrap();
        let of_kind = requests.iter().filter(|request| request.method.as_str() == verb && request.url.path() == at);
        of_kind.map(|request| serde_json::from_slice(&request.body).unwrap_or(Value::Null)).collect()
    }

    /// The `Authorization` value the transmitter was last told to push with.
    pub(crate) async fn authorization(&self) -> String {
        let mut bodies = self.requests("POST", "/ssf/streams").await;
        bodies.extend(self.requests("PATCH", "/ssf/streams").await);
        let given = bodies.iter().rev().find_map(|body| body["delivery"]["authorization_header"].as_str());
        given.unwrap().to_owned()
    }

    /// The claims of a good SET: a session is revoked.
    pub(crate) fn claims(&self, jti: &str) -> Value {
        json!({
            "iss": self.server.uri(), "aud": AUDIENCE, "jti": jti, "iat": START,
            "sub_id": {"format": "opaque", "id": "session-1"},
            "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {"event_timestamp": START}},
        })
    }

    /// The claims of a verification event.
    pub(crate) fn verification(&self, jti: &str, state: &str) -> Value {
        let mut claims = self.claims(jti);
        claims["sub_id"] = json!({"format": "opaque", "id": "stream-1"});
        claims["events"] = json!({"https://schemas.openid.net/secevent/ssf/event-type/verification": {"state": state}});
        claims
    }

    /// These claims, signed with the published key.
    pub(crate) fn signed(&self, claims: &Value) -> String {
        let header = json!({"typ": "secevent+jwt", "alg": "RS256", "kid": self.key.key_id()});
        jws(&header, claims, |message| self.key.sign(message).unwrap())
    }

    /// Pushes as the transmitter does: status and error code.
    pub(crate) async fn push(&self, authorization: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let request = self.http.post(format!("{}/ssf/push/idp", self.base)).body(body);
        let request = request.header("content-type", "application/secevent+jwt").header("authorization", authorization);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap_or_default();
        (status, body["err"].as_str().unwrap_or_default().to_owned())
    }

    /// A number from the database.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// A text from the database.
    pub(crate) async fn text(&self, sql: &'static str) -> Option<String> {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Moves the clock.
    pub(crate) fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// A compact JWS of these parts.
pub(crate) fn jws(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

/// 200 with a JSON body.
pub(crate) fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

/// Metadata and key.
pub(crate) async fn publish(server: &MockServer, key: &SigningKey) {
    let at = |path: &str| format!("{}{path}", server.uri());
    let metadata = json!({
        "issuer": server.uri(), "jwks_uri": at("/jwks.json"), "configuration_endpoint": at("/ssf/streams"),
        "status_endpoint": at("/ssf/status"), "verification_endpoint": at("/ssf/verify"),
    });
    for (place, body) in
        [("/.well-known/ssf-configuration", metadata), ("/jwks.json", json!({"keys": [key.public_jwk()]}))]
    {
        Mock::given(method("GET")).and(path(place)).respond_with(ok(&body)).mount(server).await;
    }
}

fn settings(issuer: &str, delivery: &str, further: &[(&str, &str)]) -> Settings {
    let overrides = [
        ("server.public_url", "https://rp.example"),
        ("database.url", "postgres://given.by/the-harness"),
        ("privacy.subject_key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("authz.token_headers", "X-Token-"),
        ("authz.acr_values", "[\"urn:gold\"]"),
        ("authz.max_age", "5m"),
        ("upstreams.idp.issuer", issuer),
        ("upstreams.idp.delivery", delivery),
        ("upstreams.idp.token", "of-the-receiver"),
    ];
    let overrides =
        overrides.iter().chain(further).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let layers = Layers { environment: Vec::new(), overrides, ..Layers::new("receiver", DEFAULTS) };
    Settings::load(&layers).unwrap()
}

/// Whom the SETs are for.
pub(crate) const AUDIENCE: &str = "https://rp.example/aud";
