//! Streams: one receiver's wish to hear of certain events, and how (SSF 1.0 §8.1.1).
//!
//! What a receiver asks for is checked in `configure` (pure), kept by `store`, and shown as [`Stream`]. Whose events it
//! wants is [`subjects`].

pub(crate) mod algorithm;
pub(crate) mod configure;
pub(crate) mod store;
pub mod subjects;

pub use configure::{ConfigurationError, Offer, Wanted};
use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::id::{IssuerUrl, StreamId};
use ssf_common::jwks::Algorithm;
use ssf_common::protocol::{Delivery, DeliveryMethod, StatusBody, StreamConfiguration};
use ssf_common::random::Random;
use ssf_common::set::Audience;
use ssf_common::uuid_id;

use crate::client::ClientKey;
use crate::issuer::IssuerId;

uuid_id! {
    /// A stream's row; as text it is `stream_id` on the wire.
    StreamKey;
}

impl StreamKey {
    /// An id nobody can guess: 122 random bits (SSF 1.0 §8.1.1, characters of RFC 3986 §2.3).
    pub fn unguessable(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// The stream a receiver means by `stream_id`; `None` if it cannot be one of ours.
    pub fn of(stream_id: &StreamId) -> Option<Self> {
        stream_id.as_str().parse().ok().filter(|key: &Self| key.to_string() == stream_id.as_str())
    }

    /// As the wire names it.
    pub fn stream_id(self) -> StreamId {
        StreamId(self.to_string())
    }
}

/// A stream without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its id.
    pub key: StreamKey,
    /// Whose events.
    pub issuer_id: IssuerId,
    /// Whose stream.
    pub client: ClientKey,
    /// `aud` of its SETs.
    pub audience: Vec<String>,
    /// enabled, paused, disabled.
    pub status: StreamStatus,
    /// Why.
    pub status_reason: Option<String>,
    /// What the receiver wanted and got.
    pub wanted: Wanted,
    /// How its SETs are signed.
    pub algorithm: Algorithm,
    /// Seconds between two verification requests.
    pub min_verification_interval_s: u32,
    /// Seconds without activity before it may be paused.
    pub inactivity_timeout_s: Option<u32>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Stream {
    /// The configuration as the receiver reads it. The authorization header stays out: it is a secret, and a read-only
    /// credential may read this.
    pub fn configuration(&self, iss: &IssuerUrl, supported: Vec<String>, poll_endpoint: String) -> StreamConfiguration {
        StreamConfiguration {
            stream_id: self.key.stream_id(),
            iss: iss.clone(),
            aud: Audience(self.audience.clone()),
            events_supported: Some(supported),
            events_requested: self.wanted.events_requested.clone(),
            events_delivered: self.wanted.events_delivered.clone(),
            delivery: Delivery {
                endpoint_url: match self.wanted.method {
                    DeliveryMethod::Push => self.wanted.endpoint_url.clone(),
                    DeliveryMethod::Poll => Some(poll_endpoint),
                },
                ..self.wanted.delivery()
            },
            min_verification_interval: Some(u64::from(self.min_verification_interval_s)),
            inactivity_timeout: self.inactivity_timeout_s.map(u64::from),
            description: self.wanted.description.clone(),
            format: self.wanted.format.clone(),
        }
    }

    /// Its status as the receiver reads it (§8.1.2.1).
    pub fn status_body(&self) -> StatusBody {
        StatusBody { stream_id: self.key.stream_id(), status: self.status, reason: self.status_reason.clone() }
    }
}
