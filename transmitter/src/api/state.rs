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
use super::health::Readiness;
use super::openapi::Document;
use crate::admin::KeyRules;
use crate::authorization::{Assertions, Outside};
use crate::backlog::{Promise, Watch};
use crate::delivery::{Polling, Waiting};
use crate::keys::SealingKey;
use crate::outbox::Recorder;
use crate::stream::Offer;
use crate::stream::subjects::Subjects;
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
    /// The private claim that carries the timeline, if there is one.
    pub timeline_claim: Option<String>,
    /// The type URIs that can be sent.
    pub events: Arc<[String]>,
    /// Members of complex subjects that a receiver must understand.
    pub critical_subject_members: Arc<[String]>,
    /// The lists of subjects.
    pub subjects: Subjects,
    /// Which push endpoints are taken.
    pub endpoints: Guard,
    /// Development: what others name may be called over plain http on loopback.
    pub is_development: bool,
    /// How keys follow each other.
    pub key_rules: KeyRules,
    /// Seals push credentials.
    pub sealing: SealingKey,
    /// Whether there is a token endpoint of our own.
    pub token_endpoint: bool,
    /// Whether clients with the method `none` get tokens there.
    pub public_clients: bool,
    /// Judges what clients sign there.
    pub assertions: Assertions,
    /// Judges tokens that are not ours.
    pub outside: Outside,
    /// How long issued tokens live.
    pub token_lifetime: Duration,
    /// Records decisions.
    pub recorder: Arc<Recorder>,
    /// Rings the fan-out.
    pub fan_out: Wake,
    /// Rings the push worker.
    pub push: Wake,
    /// Answers polls.
    pub polling: Polling,
    /// The HTTP surface in OpenAPI, filled in by the router.
    pub document: Document,
    /// The polls that wait.
    pub waiting: Waiting,
    /// Whether the database answers.
    pub readiness: Readiness,
    /// Who comes from where and how often.
    pub traffic: Traffic,
    /// The most events in one request.
    pub max_batch: usize,
    /// The windows that what waits is held against.
    pub promise: Promise,
    /// Watches it.
    pub watch: Arc<Watch>,
    /// The most streams that metrics name.
    pub named_streams: usize,
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
