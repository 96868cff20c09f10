//! An operator beside a transmitter: the admin functions for keys, and time that goes by.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use ssf_common::clock::ManualClock;
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Env;
use ssf_common::runtime::config::Layers;
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::idp::{Idp, Party, SEALING_KEY};
use ssf_transmitter::admin::{IssuerKeys, KeyRules};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::config::{DEFAULTS, Settings};
use ssf_transmitter::issuer::Issuer;
use ssf_transmitter::keys::SealingKey;
use ssf_transmitter::stream::StreamKey;

/// An operator beside a transmitter, with the defaults for how keys follow each other.
pub(crate) struct Operator {
    pub(crate) idp: Idp,
    pub(crate) rules: KeyRules,
    pub(crate) sealing: SealingKey,
    pub(crate) actor: Actor,
    pub(crate) env: Env,
}

impl Operator {
    pub(crate) async fn start() -> Self {
        let idp = Idp::start().await;
        let layers = Layers { environment: Vec::new(), ..Layers::new("transmitter", DEFAULTS) };
        let settings = Settings::load(&layers).unwrap();
        let rules = KeyRules { algorithm: Algorithm::Es256, ..KeyRules::of(&settings) };
        let env = Env { clock: Arc::<ManualClock>::clone(&idp.clock), random: Arc::new(SystemRandom) };
        let sealing = SealingKey::parse(&SEALING_KEY.into()).unwrap();
        Self { idp, rules, sealing, actor: Actor::CommandLine("ops".to_owned()), env }
    }

    pub(crate) fn keys(&self) -> IssuerKeys<'_> {
        self.of(&self.idp.transmitter.issuer)
    }

    pub(crate) fn of<'a>(&'a self, issuer: &'a Issuer) -> IssuerKeys<'a> {
        let (pool, rules, sealing) = (&self.idp.pool, self.rules, &self.sealing);
        IssuerKeys { pool, issuer, rules, sealing, actor: &self.actor, env: &self.env }
    }

    /// Hours go by; the rotation worker has a look at each.
    pub(crate) async fn hours(&self, hours: u64) {
        for _ in 0..hours {
            self.idp.advance(Duration::from_hours(1));
            self.rotate().await;
        }
    }

    /// The same, once a day.
    pub(crate) async fn days(&self, days: u64) {
        for _ in 0..days {
            self.idp.advance(Duration::from_hours(24));
            self.rotate().await;
        }
    }

    pub(crate) async fn rotate(&self) {
        while self.idp.transmitter.rotator.tick().await.unwrap() > 0 {}
        self.idp.transmitter.tenants.refresh().await.unwrap();
    }

    /// The states of this issuer's keys, oldest first.
    pub(crate) async fn states(&self) -> Vec<(String, &'static str)> {
        let listed = self.keys().list(false).await.unwrap();
        listed.into_iter().map(|key| (key.kid.to_string(), key.state)).collect()
    }

    pub(crate) async fn published(&self) -> Vec<String> {
        let served = self.idp.send(Method::GET, "/jwks.json", &[], "").await;
        let keys = served.body["keys"].as_array().unwrap();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    /// The SET that a new decision becomes on a poll stream.
    pub(crate) async fn next_set(&self, scene: &Stream, session: &str) -> String {
        self.idp.revoke(&scene.producer, session).await;
        self.idp.fan_out().await;
        let reply = self.idp.poll(&scene.rp, &scene.id, &json!({})).await;
        let (jti, set) = reply.body["sets"].as_object().unwrap().iter().next().expect("a SET");
        self.idp.poll(&scene.rp, &scene.id, &json!({"ack": [jti], "maxEvents": 0})).await;
        set.as_str().unwrap().to_owned()
    }

    pub(crate) async fn stream(&self, name: &str) -> Stream {
        let (rp, producer) = (self.idp.add_receiver(name).await, self.idp.add_producer().await);
        let id = self.idp.poll_stream(&rp, &["session-revoked"]).await;
        Stream { rp, producer, id }
    }
}

/// A poll stream and who feeds it.
pub(crate) struct Stream {
    pub(crate) rp: Party,
    pub(crate) producer: Party,
    pub(crate) id: String,
}

impl Stream {
    pub(crate) fn key(&self) -> StreamKey {
        StreamKey::of(&self.id.as_str().into()).unwrap()
    }
}

pub(crate) fn jwk(algorithm: Algorithm, kid: &str) -> Value {
    let key = SigningKey::generate(algorithm).unwrap();
    let mut jwk: Value = serde_json::from_str(key.to_private_jwk().expose_secret()).unwrap();
    jwk["kid"] = json!(kid);
    jwk
}
