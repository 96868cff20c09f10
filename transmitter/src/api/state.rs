//! What handlers share.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::event::Vocabulary;
use ssf_common::id::{IssuerUrl, StreamId};
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::Wake;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::delivery::{Polling, Signatory};
use crate::keys::SealingKey;
use crate::outbox::Recorder;
use crate::stream::Offer;

/// Everything a handler may use. Clones share it.
#[derive(Clone)]
pub struct ApiState {
    /// The database.
    pub pool: PgPool,
    /// Clock and chance.
    pub env: Env,
    /// The issuer served, with its keys.
    pub signatory: Arc<Signatory>,
    /// How event types are named.
    pub vocabulary: Arc<Vocabulary>,
    /// What receivers are offered.
    pub offer: Arc<Offer>,
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
    /// Where the endpoints are.
    pub endpoints: Arc<Endpoints>,
    /// Begins when the service stops; ends long polls.
    pub stopping: CancellationToken,
}

/// The URLs of one issuer's endpoints, all below the issuer's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The issuer's path, without a slash at the end; empty at the root.
    pub path: String,
    base: String,
}

impl Endpoints {
    /// The endpoints of `issuer`.
    pub fn of(issuer: &IssuerUrl) -> Self {
        let base = issuer.as_str().trim_end_matches('/').to_owned();
        let path = base.parse::<Url>().map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default();
        Self { path, base }
    }

    /// The URL of the endpoint at `path` below the issuer.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Where `stream` is polled.
    pub fn poll(&self, stream: &StreamId) -> String {
        format!("{}/ssf/poll/{stream}", self.base)
    }
}
