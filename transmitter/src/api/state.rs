//! What handlers share.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::event::Vocabulary;
use ssf_common::runtime::Env;
use ssf_common::runtime::outgoing::Guard;
use ssf_common::runtime::worker::Wake;
use tokio_util::sync::CancellationToken;

use super::Traffic;
use crate::delivery::{Polling, Waiting};
use crate::keys::SealingKey;
use crate::outbox::Recorder;
use crate::stream::Offer;
use crate::tenant::{Tenant, Tenants};

/// Everything a handler may use. Clones share it.
#[derive(Clone)]
pub struct ApiState {
    /// The database.
    pub pool: PgPool,
    /// Clock and chance.
    pub env: Env,
    /// The issuers served, with their keys.
    pub tenants: Tenants,
    /// How event types are named.
    pub vocabulary: Arc<Vocabulary>,
    /// The type URIs that can be sent.
    pub events: Arc<[String]>,
    /// Which push endpoints are taken.
    pub endpoints: Guard,
    /// Seals push credentials.
    pub sealing: SealingKey,
    /// How long issued tokens live.
    pub token_lifetime: Duration,
    /// Records decisions.
    pub recorder: Arc<Recorder>,
    /// Rings the fan-out.
    pub fan_out: Wake,
    /// Answers polls.
    pub polling: Polling,
    /// The polls that wait.
    pub waiting: Waiting,
    /// Who comes from where and how often.
    pub traffic: Traffic,
    /// The most events in one request.
    pub max_batch: usize,
    /// Begins when the service stops; ends long polls.
    pub stopping: CancellationToken,
}

impl ApiState {
    /// What this issuer offers to its receivers.
    pub(crate) fn offer(&self, tenant: &Tenant) -> Offer {
        Offer {
            events: Arc::clone(&self.events),
            algorithm: tenant.defaults.algorithm,
            min_verification_interval_s: tenant.defaults.min_verification_interval_s,
            inactivity_timeout_s: tenant.defaults.inactivity_timeout_s,
            endpoints: self.endpoints.clone(),
        }
    }
}
