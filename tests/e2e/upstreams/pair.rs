//! A real transmitter and a real receiver on one clock that the story moves, talking over loopback.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use sqlx::PgPool;
use ssf_common::random::SystemRandom;
use ssf_common::runtime::config::Layers;
use ssf_common::runtime::{Env, Worker as _};
use ssf_harness::TestCluster;
use ssf_harness::idp::{Idp, Party};
use ssf_receiver::app::{Link, Receiver};
use ssf_receiver::config::{DEFAULTS, Settings};

use crate::rp::prepared;

/// A receiver whose workers the story ticks.
pub(crate) struct Rp {
    pub(crate) receiver: Receiver,
    pub(crate) pool: PgPool,
    pub(crate) base: String,
    pub(crate) http: Client,
}

/// The two of them.
pub(crate) struct Pair {
    pub(crate) idp: Idp,
    pub(crate) party: Party,
    pub(crate) rp: Rp,
}

impl Pair {
    /// A transmitter, and a receiver that listens to it as `idp` with a secret.
    pub(crate) async fn start(delivery: &str) -> Self {
        let idp = Idp::start().await;
        let party = idp.add_receiver("rp").await;
        let of_idp = upstream("idp", &idp, delivery, &party);
        let all: Vec<(&str, &str)> = of_idp.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let rp = Rp::on(empty().await, &idp, &all).await;
        Self { idp, party, rp }
    }

    /// Lets both do all that is to be done now.
    pub(crate) async fn settle(&self) {
        for _ in 0..4 {
            self.rp.keep("idp").await;
            self.idp.drain().await;
            self.rp.poll("idp").await;
        }
    }

    /// The transmitter's operator sets the status of the stream.
    pub(crate) async fn set_status(&self, operator: &Party, status: &str) {
        let stream: String =
            sqlx::query_scalar("select stream_id from upstream").fetch_one(&self.rp.pool).await.unwrap();
        let path = format!("/admin/v1/streams/{stream}/status");
        let body = json!({"status": status, "reason": format!("to be {status}")});
        let reply = self.idp.call(Method::PUT, &path, &operator.token, Some(&body)).await;
        assert!(reply.status < 300, "{}", reply.body);
    }

    /// Moves the one clock.
    pub(crate) fn later(&self, seconds: u64) {
        self.idp.advance(Duration::from_secs(seconds));
    }
}

impl Rp {
    /// A receiver on this database with the clock of `idp`, open to whoever reaches it.
    pub(crate) async fn on(pool: PgPool, idp: &Idp, settings: &[(&str, &str)]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let fixed = [
            ("server.public_url", base.as_str()),
            ("database.url", "postgres://given.by/the-harness"),
            ("privacy.subject_key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ];
        let overrides = fixed.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let layers =
            Layers { environment: Vec::new(), overrides: overrides.collect(), ..Layers::new("receiver", DEFAULTS) };
        let settings = Arc::new(Settings::load(&layers).unwrap());
        let clock = Arc::clone(&idp.clock);
        let env = Env { clock, random: Arc::new(SystemRandom) };
        let receiver = Receiver::open(settings, env, pool.clone()).await.unwrap();
        let router = receiver.router().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { receiver, pool, base, http: Client::builder().no_proxy().build().unwrap() }
    }

    pub(crate) fn link(&self, name: &str) -> Link {
        self.receiver.upstream(name).unwrap()
    }

    /// Lets the keeper do all that is to be done now.
    pub(crate) async fn keep(&self, name: &str) {
        for _ in 0..20 {
            if self.link(name).keeper.tick().await.unwrap() == 0 {
                return;
            }
        }
        panic!("the keeper of {name} does not come to rest");
    }

    /// Fetches what waits, if it is fetched.
    pub(crate) async fn poll(&self, name: &str) {
        let link = self.link(name);
        let Some(poller) = &link.poller else { return };
        // Whoever waits at the transmitter waits by the real clock.
        let _ = tokio::time::timeout(Duration::from_millis(300), poller.tick()).await;
    }

    /// Notices who came, changed or went.
    pub(crate) async fn look(&self) -> usize {
        self.receiver.roster().tick().await.unwrap()
    }

    /// A call: status and body.
    pub(crate) async fn call(&self, verb: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = self.http.request(verb, format!("{}{path}", self.base));
        let request = if let Some(body) = body { request.json(body) } else { request };
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
    }

    /// What the operator sees of an upstream.
    pub(crate) async fn show(&self, name: &str) -> Value {
        let (status, body) = self.call(Method::GET, &format!("/admin/upstreams/{name}"), None).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// What became of it, in order.
    pub(crate) async fn history(&self, name: &str) -> Vec<String> {
        let (status, body) = self.call(Method::GET, &format!("/admin/upstreams/{name}/history"), None).await;
        assert_eq!(status, 200, "{body}");
        let lines = body["history"].as_array().unwrap();
        lines.iter().rev().map(|line| line["what"].as_str().unwrap().to_owned()).collect()
    }

    /// A number from the database.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Texts from the database.
    pub(crate) async fn texts(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.unwrap()
    }
}

/// A database with the receiver's schema and nothing in it.
pub(crate) async fn empty() -> PgPool {
    prepared(&TestCluster::shared().await.scratch_database("upstreams").await.unwrap()).await
}

/// The settings of an upstream at this transmitter.
pub(crate) fn upstream(name: &str, idp: &Idp, delivery: &str, party: &Party) -> Vec<(String, String)> {
    [
        ("issuer", idp.issuer.as_str()),
        ("delivery", delivery),
        ("client_id", &party.client_id),
        ("client_secret", &party.secret),
    ]
    .map(|(key, value)| (format!("upstreams.{name}.{key}"), value.to_owned()))
    .into()
}

/// That a session is over.
pub(crate) fn revoked(session: &str) -> Value {
    json!({"type": "session-revoked", "subject": {"format": "opaque", "id": session}})
}
