//! The routes, and what their handlers need.

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post, put};
use sqlx::PgPool;
use ssf_common::runtime::{Env, Wake};
use tokio_util::sync::CancellationToken;

use super::{check, facts, latency, session_state, sessions, watch, windows};
use crate::effects::{WatchLimits, Watching};
use crate::proof::{Proof, Terms};
use crate::session::Keyring;
use crate::validity::{Validity, Waits};

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// The receiver's database.
    pub pool: PgPool,
    /// Time and chance.
    pub env: Env,
    /// Turns subjects into keys.
    pub keyring: Keyring,
    /// Answers questions.
    pub validity: Validity,
    /// Reports on the windows, and knows the enforcement points.
    pub proof: Proof,
    /// Who waits for a session's state to change …
    pub waits: Waits,
    /// … and how long at most.
    pub longest_wait: Duration,
    /// Who watches what happens to sessions.
    pub watching: Watching,
}

impl ApiState {
    /// From the database, the clock, the root secret's keyring and who answers questions, on the terms of the default
    /// settings.
    pub fn new(pool: PgPool, env: Env, keyring: Keyring, validity: Validity) -> Self {
        let proof = Proof::new(pool.clone(), Terms::default());
        let (bell, stop) = (Wake::new(), CancellationToken::new());
        let waits =
            Waits::new(Validity::new(validity.replica().clone(), env.clone()), MAX_WAITING, bell.clone(), stop.clone());
        let watching = Watching::new(pool.clone(), env.clone(), bell, WATCH, stop);
        Self { pool, env, keyring, validity, proof, waits, longest_wait: LONGEST_WAIT, watching }
    }

    /// The same on these terms.
    #[must_use]
    pub fn on(self, terms: Terms) -> Self {
        let proof = Proof::new(self.pool.clone(), terms);
        Self { proof, ..self }
    }

    /// With those who wait and watch as the service lets them.
    #[must_use]
    pub fn with_news(self, waits: Waits, longest_wait: Duration, watching: Watching) -> Self {
        Self { waits, longest_wait, watching, ..self }
    }
}

/// The routes, all under `/v1`. Authentication and body limits are layers around them.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/v1/sessions/{sid}", put(sessions::register).get(session_state::show).delete(sessions::end))
        .route("/v1/sessions/{sid}/revalidated", post(sessions::revalidated))
        .route("/v1/check", post(check::one))
        .route("/v1/check/batch", post(check::batch))
        .route("/v1/facts", get(facts::of_session).post(facts::of_subject))
        .route("/v1/watch", get(watch::watch))
        .route("/v1/latency", get(latency::latency))
        .route("/v1/windows", get(windows::report))
        .route("/v1/windows/cutoffs", get(windows::cutoffs))
        .with_state(state)
}

/// For a router that stands alone.
const MAX_WAITING: usize = 100;
const LONGEST_WAIT: Duration = Duration::from_mins(1);
const WATCH: WatchLimits =
    WatchLimits { watchers: 16, heartbeat: Duration::from_secs(15), patience: Duration::from_secs(30) };
