//! The routes, and what their handlers need.

use axum::Router;
use axum::routing::{get, post, put};
use sqlx::PgPool;
use ssf_common::runtime::Env;

use super::{check, latency, sessions, windows};
use crate::proof::{Proof, Terms};
use crate::session::Keyring;
use crate::validity::Validity;

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
}

impl ApiState {
    /// From the database, the clock, the root secret's keyring and who answers questions, on the terms of the default
    /// settings.
    pub fn new(pool: PgPool, env: Env, keyring: Keyring, validity: Validity) -> Self {
        let proof = Proof::new(pool.clone(), Terms::default());
        Self { pool, env, keyring, validity, proof }
    }

    /// The same on these terms.
    #[must_use]
    pub fn on(self, terms: Terms) -> Self {
        let proof = Proof::new(self.pool.clone(), terms);
        Self { proof, ..self }
    }
}

/// The routes, all under `/v1`. Authentication and body limits are layers around them.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/v1/sessions/{sid}", put(sessions::register).get(sessions::show).delete(sessions::end))
        .route("/v1/sessions/{sid}/revalidated", post(sessions::revalidated))
        .route("/v1/check", post(check::one))
        .route("/v1/check/batch", post(check::batch))
        .route("/v1/latency", get(latency::latency))
        .route("/v1/windows", get(windows::report))
        .route("/v1/windows/cutoffs", get(windows::cutoffs))
        .with_state(state)
}
