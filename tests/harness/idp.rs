//! An identity provider's transmitter inside the test: on a database of its own, with a clock that the test moves,
//! answering over loopback HTTP. Its workers do nothing until the test ticks them, so nothing here waits.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "whatever goes wrong here fails the test")]

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::PgPool;
use ssf_common::clock::{ManualClock, Timestamp};
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::VerifyingKeys;
use ssf_common::random::SystemRandom;
use ssf_common::runtime::config::Layers;
use ssf_common::runtime::http::serve;
use ssf_common::runtime::outgoing::Outgoing;
use ssf_common::runtime::worker::Worker as _;
use ssf_common::runtime::{Env, Shutdown, postgres};
use ssf_common::set::{Policy, VerifiedSet, verify};
use ssf_transmitter::admin::{self, NewClient};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::config::{DEFAULTS, Settings};
use ssf_transmitter::issuer::{Issuer, OwnDefaults};
use ssf_transmitter::keys::SealingKey;
use ssf_transmitter::{MIGRATOR, Transmitter};
use tokio::sync::OnceCell;

use crate::document::fault;
use crate::{ScratchDatabase, TestCluster};

/// A transmitter, and everything a test does to it.
#[derive(Debug)]
pub struct Idp {
    /// Its workers, to be ticked.
    pub transmitter: Arc<Transmitter>,
    /// Its database.
    pub pool: PgPool,
    /// How others connect to that database.
    pub database: ScratchDatabase,
    /// Its time.
    pub clock: Arc<ManualClock>,
    /// Who it is.
    pub issuer: IssuerUrl,
    /// Where it listens; the issuer's own URL unless it is a [`twin`](Self::twin).
    pub base: String,
    /// Its row.
    pub row: Issuer,
    env: Env,
    overrides: Vec<(String, String)>,
    http: reqwest::Client,
}

/// A client of the transmitter with its credentials.
#[derive(Clone, Debug)]
pub struct Party {
    /// Its name at the token endpoint.
    pub client_id: String,
    /// `aud` of its SETs, if it is a receiver.
    pub audience: String,
    /// Its secret, if it has one.
    pub secret: String,
    /// Its static token, if it has one.
    pub token: String,
}

/// What came back over HTTP.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; null if it is none.
    pub body: Value,
}

impl Reply {
    /// A header's text, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A text member of the body.
    pub fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_else(|| panic!("no text {member} in {}", self.body))
    }
}

impl Idp {
    /// A transmitter that signs with ES256, whose keys are made at once, and whose times are those the stories count on.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with settings of the test's own.
    pub async fn start_with(overrides: &[(&str, &str)]) -> Self {
        Self::start_calling(overrides, as_configured).await
    }

    /// The same with HTTP clients built from what the test makes of the settings.
    pub async fn start_calling(overrides: &[(&str, &str)], outgoing: impl FnOnce(&Settings) -> Outgoing) -> Self {
        let database = migrated_database().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let settings = [("issuer.url", issuer.as_str())].into_iter().chain(STEADY).chain(overrides.iter().copied());
        let all = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_millis(START)));
        Self::open(database, listener, all, clock, outgoing).await
    }

    /// Another process of the same transmitter: the same database, issuer and clock, a pool and a port of its own.
    pub async fn twin(&self) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::open(self.database.clone(), listener, self.overrides.clone(), Arc::clone(&self.clock), as_configured)
            .await
    }

    async fn open(
        database: ScratchDatabase,
        listener: tokio::net::TcpListener,
        overrides: Vec<(String, String)>,
        clock: Arc<ManualClock>,
        outgoing: impl FnOnce(&Settings) -> Outgoing,
    ) -> Self {
        let layers =
            Layers { environment: Vec::new(), overrides: overrides.clone(), ..Layers::new("transmitter", DEFAULTS) };
        let settings = Settings::load(&layers).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let pool = postgres::connect(database.options.clone(), &settings.database.schema, 8, "idp").await.unwrap();
        postgres::migrate(&pool, &settings.database.schema, &MIGRATOR).await.unwrap();
        let env = Env { clock: Arc::<ManualClock>::clone(&clock), random: Arc::new(SystemRandom) };
        let sealing = SealingKey::parse(&SEALING_KEY.into()).unwrap();
        let transmitter =
            Transmitter::open_calling(&settings, sealing, env.clone(), pool.clone(), &outgoing(&settings))
                .await
                .unwrap();
        let router = transmitter.router();
        tokio::spawn(async move { serve(listener, router, &Shutdown::default()).await.unwrap() });
        let (issuer, row) = (settings.issuer.url, transmitter.issuer.clone());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { transmitter: Arc::new(transmitter), pool, database, clock, issuer, base, row, env, overrides, http }
    }

    /// Another issuer of the same service, below this one's path: the same workers, database and clock.
    pub async fn tenant(&self, path: &str, own: &OwnDefaults) -> Self {
        let issuer = IssuerUrl(format!("{}{path}", self.issuer));
        let sealing = SealingKey::parse(&SEALING_KEY.into()).unwrap();
        let algorithm = ssf_common::jwks::Algorithm::Es256;
        let actor = Actor::CommandLine("test".to_owned());
        let row = admin::add_issuer(&self.pool, &issuer, own, algorithm, &sealing, &actor, &self.env).await.unwrap();
        self.transmitter.tenants.refresh().await.unwrap();
        Self {
            transmitter: Arc::clone(&self.transmitter),
            pool: self.pool.clone(),
            database: self.database.clone(),
            clock: Arc::clone(&self.clock),
            issuer,
            base: format!("{}{path}", self.base),
            row,
            env: self.env.clone(),
            overrides: self.overrides.clone(),
            http: self.http.clone(),
        }
    }

    /// A receiver with one stream to create, a secret and a static token.
    pub async fn add_receiver(&self, name: &str) -> Party {
        self.add_client(NewClient { with_token: true, ..NewClient::receiver(name, &format!("https://{name}.example")) })
            .await
    }

    /// A producer with a static token.
    pub async fn add_producer(&self) -> Party {
        self.add_client(NewClient::producer("producer")).await
    }

    /// An operator of the whole service with a static token.
    pub async fn add_operator(&self) -> Party {
        self.add_client(NewClient::operator("operator")).await
    }

    /// Any client.
    pub async fn add_client(&self, new: NewClient) -> Party {
        let added = admin::add_client(&self.pool, &self.row, &new, &Actor::Service, &self.env).await.unwrap();
        let credentials = added.expect("the name is free");
        let text =
            |secret: Option<secrecy::SecretString>| secret.map_or(String::new(), |s| s.expose_secret().to_owned());
        Party {
            client_id: new.client_id.to_string(),
            audience: new.audience.first().cloned().unwrap_or_default(),
            secret: text(credentials.secret),
            token: text(credentials.token),
        }
    }

    /// Calls the API. `body` is sent as JSON.
    pub async fn call(&self, verb: Method, path: &str, token: &str, body: Option<&Value>) -> Reply {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(verb, path, &[("authorization", &format!("Bearer {token}"))], body).await
    }

    /// Calls the API with exactly these headers and this body.
    pub async fn send(
        &self,
        verb: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let path = path.strip_prefix(self.issuer.as_str()).unwrap_or(path);
        let mut request = self.http.request(verb.clone(), format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let reply = Reply { status, headers, body };
        if let Some(fault) = fault(&verb, path, status, reply.header("content-type"), &reply.body) {
            panic!("not as the OpenAPI document says: {fault}\n{}", reply.body);
        }
        reply
    }

    /// Reads as this party.
    pub async fn get(&self, path: &str, party: &Party) -> Reply {
        self.call(Method::GET, path, &party.token, None).await
    }

    /// Posts JSON as this party.
    pub async fn post(&self, path: &str, party: &Party, body: &Value) -> Reply {
        self.call(Method::POST, path, &party.token, Some(body)).await
    }

    /// A push stream to `endpoint` for these types (short names of CAEP or RISC, or URIs); its `stream_id`.
    pub async fn push_stream(&self, receiver: &Party, endpoint: &str, events: &[&str]) -> String {
        let delivery = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": endpoint});
        self.stream(receiver, &json!({"delivery": delivery, "events_requested": uris(events)})).await
    }

    /// A poll stream for these types; its `stream_id`.
    pub async fn poll_stream(&self, receiver: &Party, events: &[&str]) -> String {
        self.stream(receiver, &json!({"events_requested": uris(events)})).await
    }

    async fn stream(&self, receiver: &Party, body: &Value) -> String {
        let reply = self.post("/ssf/streams", receiver, body).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.text("stream_id").to_owned()
    }

    /// Polls at once; the SETs by `jti`, and whether more are said to wait.
    pub async fn poll(&self, receiver: &Party, stream: &str, body: &Value) -> Reply {
        let mut body = body.clone();
        body.as_object_mut().unwrap().entry("returnImmediately").or_insert(json!(true));
        self.post(&format!("/ssf/poll/{stream}"), receiver, &body).await
    }

    /// Hands in a decision; its event id.
    pub async fn emit(&self, producer: &Party, event: &Value) -> String {
        let reply = self.post("/events", producer, event).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        reply.text("event_id").to_owned()
    }

    /// Hands in that this session is over; the event id.
    pub async fn revoke(&self, producer: &Party, session: &str) -> String {
        self.emit(producer, &json!({"type": "session-revoked", "subject": opaque(session)})).await
    }

    /// How an event stands.
    pub async fn progress(&self, producer: &Party, event_id: &str) -> Value {
        let reply = self.get(&format!("/events/{event_id}"), producer).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    /// Makes the deliveries of everything recorded.
    pub async fn fan_out(&self) {
        while self.transmitter.fan_out.tick().await.unwrap() > 0 {}
    }

    /// Takes what is due once, sends it, and waits for the outcomes; how many were sent.
    pub async fn push_once(&self) -> usize {
        let sent = self.transmitter.push.tick().await.unwrap();
        self.transmitter.push.idle().await;
        sent
    }

    /// Ticks until nothing is left that is due now.
    pub async fn drain(&self) {
        self.fan_out().await;
        self.transmitter.push.idle().await;
        while self.push_once().await > 0 {}
    }

    /// Moves the clock.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The SET as its receiver reads it: verified with the keys that are served.
    pub async fn verify(&self, set: &str, party: &Party) -> VerifiedSet {
        let served = self.send(Method::GET, "/jwks.json", &[], "").await;
        let keys = VerifyingKeys::parse(served.body.to_string().as_bytes()).unwrap();
        let policy = Policy::new(self.issuer.clone(), vec![party.audience.clone()]);
        verify(set.as_bytes(), &policy, &keys, self.env.now()).unwrap()
    }

    /// One number from the database.
    pub async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }

    /// How many statements on its database wait for a lock that another holds.
    pub async fn blocked(&self) -> i64 {
        self.count("select count(*) from pg_stat_activity where datname = current_catalog and wait_event_type = 'Lock'")
            .await
    }

    /// Returns once so many do.
    pub async fn until_blocked(&self, statements: i64) {
        while self.blocked().await < statements {
            tokio::task::yield_now().await;
        }
    }

    /// Does something to the database behind the transmitter's back.
    pub async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
    }
}

fn as_configured(settings: &Settings) -> Outgoing {
    settings.outgoing(settings.endpoint_guard().unwrap()).unwrap()
}

/// A database of the test's own with the transmitter's schema: a copy of one that was migrated once.
async fn migrated_database() -> ScratchDatabase {
    let cluster = TestCluster::shared().await;
    let template = TEMPLATE.get_or_init(|| async {
        let template = cluster.scratch_database("tx_template").await.unwrap();
        let pool = postgres::connect(template.options.clone(), SCHEMA, 1, "template").await.unwrap();
        postgres::migrate(&pool, SCHEMA, &MIGRATOR).await.unwrap();
        let start = Timestamp::from_unix_millis(START);
        let partitions = sqlx::query("select ensure_partitions($1::date, $1::date + 7)").bind(start);
        partitions.execute(&pool).await.unwrap();
        pool.close().await;
        template
    });
    cluster.copy_of(template.await, "tx").await.unwrap()
}

/// An opaque subject.
pub fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// Type URIs from their short names.
pub fn uris(names: &[&str]) -> Vec<String> {
    let vocabulary = ssf_common::event::Vocabulary::default();
    let uri = |name: &&str| {
        ssf_common::event::EventType::from_name(name, &vocabulary)
            .map(|known| known.uri(&vocabulary).to_owned())
            .unwrap()
    };
    names.iter().map(uri).collect()
}

/// The claims of a compact SET as they were written, unverified.
pub fn claims(set: &str) -> Value {
    use base64::Engine as _;
    let payload = set.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

static TEMPLATE: OnceCell<ScratchDatabase> = OnceCell::const_new();
/// Defaults may be tuned; the stories say by these when something happens.
const STEADY: [(&str, &str); 11] = [
    ("push.window", "16"),
    ("push.max_window", "16"),
    ("issuer.algorithm", "ES256"),
    ("push.timeout", "10s"),
    ("push.lease", "30s"),
    ("push.retry_first", "500ms"),
    ("push.retry_ceiling", "10s"),
    ("streams.min_verification_interval", "10s"),
    ("tokens.lifetime", "30m"),
    // the clock stands still, so no bucket would ever fill up again
    ("limits.management_per_10s", "0"),
    ("limits.polls_per_10s", "0"),
];
const SCHEMA: &str = "ssf_transmitter";
/// When every story begins, in milliseconds: not on a whole second, where rounding would hide.
const START: i64 = 1_795_000_000_250;
/// What seals the keys of every test.
pub const SEALING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
