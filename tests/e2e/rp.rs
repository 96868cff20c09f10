//! One relying party for the stories about the receiver: its inbox and its API on a database of its own, an issuer's
//! key, and a clock that the story moves.

#![expect(clippy::unwrap_used, reason = "a story may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::{Client, Method as Verb};
use serde_json::{Value, json};
use sqlx::PgPool;
use ssf_common::clock::{ManualClock, Timestamp};
use ssf_common::event::{Event, EventType, Vocabulary};
use ssf_common::id::IssuerUrl;
use ssf_common::jwks::{Algorithm, SigningKey, VerifyingKeys};
use ssf_common::random::SystemRandom;
use ssf_common::runtime::{Env, postgres};
use ssf_common::set::{self, Audience, Claims, DEFAULT_TIMELINE_CLAIM, Policy, Timeline, VerifiedSet};
use ssf_common::subject::Subject;
use ssf_harness::{ScratchDatabase, TestCluster};
use ssf_receiver::api::{self, ApiState};
use ssf_receiver::config::Level;
use ssf_receiver::inbox::{Context, Inbox, InboxError, Receipt};
use ssf_receiver::proof::Terms;
use ssf_receiver::replica::{Plan, Replica};
use ssf_receiver::session::Keyring;
use ssf_receiver::upstream::store::{self, NewUpstream};
use ssf_receiver::upstream::{IssuerId, Method, UpstreamId};
use ssf_receiver::validity::{DenialLog, Validity};
use ssf_receiver::{MIGRATIONS, SCHEMA};

/// The issuer of every SET.
pub(crate) const ISSUER: &str = "https://idp.example";
/// Every process has a name of its own.
static BORN: AtomicU32 = AtomicU32::new(0);
/// The root secret of every receiver, so that several may be on one database.
pub(crate) const ROOT: &[u8; 32] = b"the root secret of all our tests";
/// When every story begins, in seconds.
pub(crate) const START: i64 = 1_795_000_000;

/// A receiver, and the issuer it listens to.
pub(crate) struct Rp {
    pub(crate) pool: PgPool,
    pub(crate) inbox: Inbox,
    pub(crate) replica: Replica,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) upstream: UpstreamId,
    pub(crate) validity: Validity,
    pub(crate) env: Env,
    key: SigningKey,
    published: VerifyingKeys,
    born: AtomicU32,
    pub(crate) base: String,
    pub(crate) http: Client,
}

impl Rp {
    /// A receiver on push, with nothing in its database.
    pub(crate) async fn start() -> Self {
        let database = TestCluster::shared().await.scratch_database("rp").await.unwrap();
        Self::on(prepared(&database).await).await
    }

    /// A receiver on this database, which may have another on it already.
    pub(crate) async fn on(pool: PgPool) -> Self {
        Self::on_terms(pool, Terms::default()).await
    }

    /// The same with other windows or enforcement points than the default settings have.
    pub(crate) async fn on_terms(pool: PgPool, terms: Terms) -> Self {
        Self::called(&format!("e2e-{}", BORN.fetch_add(1, Ordering::Relaxed)), pool, terms).await
    }

    /// The same process after a restart; its clock begins anew.
    pub(crate) async fn again(before: &Self) -> Self {
        Self::called(before.replica.name(), before.pool.clone(), Terms::default()).await
    }

    async fn called(name: &str, pool: PgPool, terms: Terms) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(START)));
        let env = Env { clock: Arc::<ManualClock>::clone(&clock), random: Arc::new(SystemRandom) };
        let keyring = keyring();
        let upstream = configure(&pool, &env).await;
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let published = VerifyingKeys::parse(json!({"keys": [key.public_jwk()]}).to_string().as_bytes()).unwrap();
        let plan = Plan { name: name.to_owned(), sessions: 10_000, keep_seen: Duration::from_hours(1) };
        let replica = Replica::open(pool.clone(), env.clone(), plan).await.unwrap();
        let validity = Validity::new(replica.clone(), env.clone());
        let state = ApiState::new(pool.clone(), env.clone(), keyring.clone(), validity.clone()).on(terms);
        let router = api::router(state.clone()).merge(api::admin::router(state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let inbox = Inbox::new(pool.clone(), env.clone(), keyring, replica.clone());
        let (born, http) = (AtomicU32::new(0), Client::new());
        Self { pool, inbox, replica, clock, upstream, validity, env, key, published, born, base, http }
    }

    /// Writes down when what was allowed and then denied.
    pub(crate) fn denial_log(&self, keep: Duration) -> DenialLog {
        DenialLog::new(self.pool.clone(), self.env.clone(), Arc::clone(self.validity.witness()), keep)
    }

    /// A SET with a `jti` of its own.
    pub(crate) fn set(&self, event: &str, subject: &Value, payload: &Value) -> VerifiedSet {
        let number = self.born.fetch_add(1, Ordering::Relaxed);
        self.set_called(&format!("set-{}-{number}", self.replica.name()), event, subject, payload)
    }

    /// A SET that was signed and verified, issued now, decided 250 ms ago as far as the timeline knows.
    pub(crate) fn set_called(&self, jti: &str, event: &str, subject: &Value, payload: &Value) -> VerifiedSet {
        self.set_decided(250, jti, event, subject, payload)
    }

    /// The same, decided so many milliseconds ago, recorded 10 ms later, fanned out and taken up 20 and 30 ms later.
    pub(crate) fn set_decided(
        &self,
        ms_ago: u64,
        jti: &str,
        event: &str,
        subject: &Value,
        payload: &Value,
    ) -> VerifiedSet {
        let vocabulary = Vocabulary::default();
        let now = self.env.now();
        let ago = |ms: u64| now.minus(Duration::from_millis(ms_ago)).plus(Duration::from_millis(ms));
        let claims = Claims {
            iss: ISSUER.into(),
            aud: Audience(vec!["https://rp.example".to_owned()]),
            jti: jti.into(),
            iat: Timestamp::from_unix_seconds(now.unix_seconds()),
            txn: Some("txn-1".into()),
            toe: None,
            sub_id: Subject::parse(subject).unwrap(),
            event: Event::parse(EventType::from_name(event, &vocabulary).unwrap(), payload).unwrap(),
            timeline: Some(Timeline { occurred: ago(0), recorded: ago(10), fanned_out: ago(20), taken: ago(30) }),
        };
        let raw = set::sign(&claims, &vocabulary, &self.key, Some(DEFAULT_TIMELINE_CLAIM)).unwrap();
        let policy = Policy::new(ISSUER.into(), vec!["https://rp.example".to_owned()]);
        set::verify(raw.as_bytes(), &policy, &self.published, now).unwrap()
    }

    /// Takes in what other processes wrote, as the workers do all the time.
    pub(crate) async fn look(&self) {
        while self.replica.follow_feed().await.unwrap() > 0 {}
        self.replica.follow_changes().await.unwrap();
    }

    /// Its time and chance.
    pub(crate) fn env(&self) -> Env {
        self.env.clone()
    }

    /// Hands a SET in, as the push door does.
    pub(crate) async fn receive(&self, set: VerifiedSet) -> Result<Receipt, InboxError> {
        self.inbox.receive(set, self.context()).await
    }

    /// Hands in a new event, which is applied.
    pub(crate) async fn tell(&self, event: &str, subject: &Value, payload: &Value) {
        let receipt = self.receive(self.set(event, subject, payload)).await.unwrap();
        assert!(matches!(receipt, Receipt::Applied { .. }), "{event} {subject}");
    }

    /// The story's present second.
    pub(crate) fn clock_seconds(&self) -> i64 {
        self.env.now().unix_seconds()
    }

    /// Where SETs come from, and when: now.
    pub(crate) fn context(&self) -> Context {
        let (upstream_id, level) = (self.upstream, Level::Sl2);
        Context { upstream_id, received_at: self.env.now(), method: Method::Push, level }
    }

    /// Registers a session with origin `START - 1000` unless the body says otherwise.
    pub(crate) async fn register(&self, sid: &str, mut body: Value) -> (u16, Value) {
        for (member, value) in [("issuer", json!(ISSUER)), ("origin", json!(START - 1_000))] {
            body.as_object_mut().unwrap().entry(member).or_insert(value);
        }
        self.call(Verb::PUT, &format!("/v1/sessions/{sid}"), Some(&body)).await
    }

    /// The state of a session as the API tells it.
    pub(crate) async fn state(&self, sid: &str) -> String {
        let (status, body) = self.call(Verb::GET, &format!("/v1/sessions/{sid}"), None).await;
        assert_eq!(status, 200);
        body["state"].as_str().unwrap().to_owned()
    }

    /// The state of a session as the API tells it to an enforcement point that names itself in a header.
    pub(crate) async fn show_as(&self, point: &str, sid: &str) -> (u16, String) {
        let request = self.http.get(format!("{}/v1/sessions/{sid}", self.base)).header("Enforcement-Point", point);
        let response = request.send().await.unwrap();
        let (status, body) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        (status, body["state"].as_str().unwrap_or_default().to_owned())
    }

    /// A call of the API: status and body.
    pub(crate) async fn call(&self, verb: Verb, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = self.http.request(verb, format!("{}{path}", self.base));
        let request = if let Some(body) = body { request.json(body) } else { request };
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
    }
}

/// The same at every receiver.
pub(crate) fn keyring() -> Keyring {
    Keyring::new(&ROOT.to_vec().into())
}

async fn configure(pool: &PgPool, env: &Env) -> UpstreamId {
    let mut db = pool.acquire().await.unwrap();
    let (now, random) = (env.now(), &*env.random);
    let issuer = IssuerUrl::from(ISSUER);
    let issuer_id = store::ensure_issuer(&mut db, &issuer, IssuerId::new(now, random), now).await.unwrap();
    let new = NewUpstream {
        id: UpstreamId::new(now, random),
        name: "idp",
        issuer_id,
        method: Method::Push,
        level: Level::Sl2,
        push_authorization_hash: Some(&[7; 32]),
    };
    store::ensure(&mut db, &new, now).await.unwrap()
}

/// The receiver's schema in a database that is empty so far.
pub(crate) async fn prepared(database: &ScratchDatabase) -> PgPool {
    let pool = postgres::connect(database.options.clone(), SCHEMA, 8, "e2e").await.unwrap();
    postgres::migrate(&pool, SCHEMA, &MIGRATIONS).await.unwrap();
    pool
}
