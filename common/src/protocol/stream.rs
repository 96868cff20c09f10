//! Streams as both parties describe them (SSF 1.0 §8.1).

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::DeliveryMethod;
use crate::event::StreamStatus;
use crate::id::{IssuerUrl, StreamId};
use crate::set::Audience;

/// A stream's whole configuration, as the transmitter answers it (§8.1.1).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StreamConfiguration {
    /// The transmitter's name for it.
    pub stream_id: StreamId,
    /// The issuer of its SETs.
    pub iss: IssuerUrl,
    /// The audience of its SETs.
    pub aud: Audience,
    /// What the transmitter could send this receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_supported: Option<Vec<String>>,
    /// What the receiver asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_requested: Option<Vec<String>>,
    /// What will be sent: the only list a receiver may rely on.
    pub events_delivered: Vec<String>,
    /// How.
    pub delivery: Delivery,
    /// Seconds between two verification requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_verification_interval: Option<u64>,
    /// Seconds without activity after which the transmitter may pause or disable the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactivity_timeout: Option<u64>,
    /// The receiver's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Old RISC peers: the subject format they would like. Not in SSF 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// `delivery` (§6.1, RFC 8935, RFC 8936).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// The method's URN.
    pub method: String,
    /// Push: the receiver's endpoint. Poll: the transmitter's, absent in a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// Push: sent verbatim in `Authorization` with every SET. Never shown in logs.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    #[schema(value_type = Option<String>, write_only)]
    pub authorization_header: Option<SecretString>,
}

impl Delivery {
    /// The method, if it is one of the two.
    pub fn known_method(&self) -> Option<DeliveryMethod> {
        DeliveryMethod::from_urn(&self.method)
    }

    /// Whether the method is named by the URI of old RISC peers.
    pub fn is_legacy(&self) -> bool {
        self.known_method().is_some_and(|method| self.method == method.legacy_uri())
    }

    /// The same in the words of old RISC peers.
    #[must_use]
    pub fn in_legacy_words(self) -> Self {
        let method = self.known_method().map(|method| method.legacy_uri().to_owned());
        Self { method: method.unwrap_or_else(|| self.method.clone()), ..self }
    }

    /// Push to `endpoint_url`.
    pub fn push(endpoint_url: String, authorization_header: Option<SecretString>) -> Self {
        Self { method: DeliveryMethod::Push.urn().to_owned(), endpoint_url: Some(endpoint_url), authorization_header }
    }

    /// Poll; the transmitter fills in the endpoint.
    pub fn poll(endpoint_url: Option<String>) -> Self {
        Self { method: DeliveryMethod::Poll.urn().to_owned(), endpoint_url, authorization_header: None }
    }
}

/// What a receiver sends to create a stream (§8.1.1.1): its own members only.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateStream {
    /// The event types it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_requested: Option<Vec<String>>,
    /// How it wants them; absent means poll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// Its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Supplied by some receivers in the field; accepted if it equals the registered one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// Old RISC peers: the subject format they would like. Not in SSF 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// What a receiver sends to change (PATCH, §8.1.1.3) or replace (PUT, §8.1.1.4) a stream. The transmitter's members are
/// allowed only if they equal the present ones.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UpdateStream {
    /// Which stream.
    pub stream_id: StreamId,
    /// The event types it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_requested: Option<Vec<String>>,
    /// How it wants them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// Its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Transmitter-supplied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<IssuerUrl>,
    /// Transmitter-supplied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// Transmitter-supplied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_supported: Option<Vec<String>>,
    /// Transmitter-supplied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_delivered: Option<Vec<String>>,
    /// Transmitter-supplied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_verification_interval: Option<u64>,
    /// Transmitter-supplied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactivity_timeout: Option<u64>,
    /// Old RISC peers: the subject format they would like. Not in SSF 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

impl UpdateStream {
    /// A change of the receiver's members of `stream_id`.
    pub fn of(stream_id: StreamId, wanted: CreateStream) -> Self {
        Self {
            stream_id,
            events_requested: wanted.events_requested,
            delivery: wanted.delivery,
            description: wanted.description,
            iss: None,
            aud: wanted.aud,
            events_supported: None,
            events_delivered: None,
            min_verification_interval: None,
            inactivity_timeout: None,
            format: wanted.format,
        }
    }
}

/// A stream's status (§8.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusBody {
    /// Which stream.
    pub stream_id: StreamId,
    /// enabled, paused or disabled.
    pub status: StreamStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A request to add a subject to a stream (§8.1.3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddSubject {
    /// Which stream.
    pub stream_id: StreamId,
    /// Whose events are wanted.
    #[schema(value_type = Object)]
    pub subject: Value,
    /// Whether the receiver has verified the subject; absent means that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
}

/// A request to remove a subject from a stream (§8.1.3.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemoveSubject {
    /// Which stream.
    pub stream_id: StreamId,
    /// Whose events are no longer wanted.
    #[schema(value_type = Object)]
    pub subject: Value,
}

/// A request for a verification event (§8.1.4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyRequest {
    /// Which stream.
    pub stream_id: StreamId,
    /// To be echoed in the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

#[expect(clippy::ref_option, reason = "the shape serde's serialize_with asks for")]
fn expose<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(SecretString::expose_secret).serialize(serializer)
}
