//! Stories about what the application is told: by callbacks, in order, once per change, whatever fails.

mod application;
mod callbacks;
mod crash;
mod dead_letters;
mod spread;

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Method as Verb;
use serde_json::{Value, json};
use ssf_common::runtime::Worker as _;
use ssf_common::runtime::config::Layers;
use ssf_receiver::config::{DEFAULTS, Settings};
use ssf_receiver::effects::{Callbacks, Effects};
use tokio_util::sync::CancellationToken;

use self::application::{Application, SECRET};
use crate::rp::{ISSUER, Rp, START};

/// A receiver and the applications it calls back.
struct House {
    rp: Rp,
    effects: Effects,
    /// By the names of their targets.
    applications: BTreeMap<&'static str, Application>,
}

impl House {
    /// With one application.
    async fn start() -> Self {
        Self::with(&["app"], &[]).await
    }

    /// With these applications, and these settings beside them.
    async fn with(names: &[&'static str], settings: &[(&str, &str)]) -> Self {
        let rp = Rp::start().await;
        let mut applications = BTreeMap::new();
        for name in names {
            applications.insert(*name, Application::start().await);
        }
        let effects = Self::open(&rp, &applications, settings).await;
        Self { rp, effects, applications }
    }

    /// The stage, once more if there is one on that database already.
    async fn open(rp: &Rp, applications: &BTreeMap<&str, Application>, settings: &[(&str, &str)]) -> Effects {
        let mut overrides: Vec<(String, String)> =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        for (name, application) in applications {
            overrides.push((format!("effects.{name}.url"), application.url.clone()));
            let key = format!("effects.{name}.secret");
            if !overrides.iter().any(|(given, _)| *given == key) {
                overrides.push((key, SECRET.to_owned()));
            }
        }
        let layers = Layers { environment: Vec::new(), overrides, ..Layers::new("receiver", DEFAULTS) };
        let settings = Settings::load(&layers).unwrap();
        Effects::open(&settings, rp.env.clone(), rp.pool.clone(), CancellationToken::new()).await.unwrap()
    }

    fn app(&self) -> &Application {
        &self.applications["app"]
    }

    fn target(&self, name: &str) -> &Arc<Callbacks> {
        let place = self.applications.keys().position(|known| *known == name).unwrap();
        &self.effects.targets()[place]
    }

    /// Makes effects until there is nothing left to look at.
    async fn spread(&self) {
        while self.effects.spread().tick().await.unwrap() > 0 {}
    }

    /// Calls one target back until nothing is due; returns how many callbacks were sent.
    async fn call(&self, name: &str) -> usize {
        let mut sent = 0;
        loop {
            let now = self.target(name).tick().await.unwrap();
            self.target(name).idle().await;
            if now == 0 {
                return sent;
            }
            sent += now;
        }
    }

    /// Registers a session of this user.
    async fn session(&self, sid: &str, user: &Value) {
        assert_eq!(self.rp.register(sid, json!({"subject": user, "tenant": "t-1"})).await.0, 201, "{sid}");
    }

    /// How the one target stands, as the admin API says.
    async fn standing(&self, name: &str) -> Value {
        let (status, body) = self.rp.call(Verb::GET, "/admin/effects/targets", None).await;
        assert_eq!(status, 200, "{body}");
        body["targets"].as_array().unwrap().iter().find(|target| target["name"] == name).unwrap().clone()
    }
}

fn user(name: &str) -> Value {
    json!({"format": "iss_sub", "iss": ISSUER, "sub": name})
}

/// A decision of the story's beginning and so many seconds.
fn decided(seconds: i64) -> Value {
    json!({"event_timestamp": START + seconds})
}
