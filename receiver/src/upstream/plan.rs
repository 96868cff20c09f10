//! What to do next for an upstream, and what to think of an answer: pure decisions, carried out by the keeper.

use std::time::Duration;

use ssf_common::clock::Timestamp;
use ssf_common::event::StreamStatus;
use ssf_common::id::StreamId;
use ssf_common::protocol::{CreateStream, Delivery, DeliveryMethod, Metadata, StreamConfiguration};
use url::Url;

use super::{Held, Method, Stream};
use crate::config::{Profile, UpstreamSettings};

/// One step towards a stream that is as configured and known to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Step {
    /// Read the metadata.
    Discover,
    /// Read the key set.
    ReadKeys,
    /// Create a stream, or adopt the one that is there.
    Create,
    /// See whether the stream is there and as wanted.
    Inspect(StreamId),
    /// Give the transmitter a fresh `Authorization` to push with.
    Reauthorize(StreamId, Mismatch),
    /// Ask for a verification event; nobody else may have asked after this time.
    Verify(StreamId, Timestamp),
    /// Nothing.
    Rest,
}

/// Why the `Authorization` we registered seems to be unknown to the transmitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Mismatch {
    /// Pushes come with another one.
    Refused,
    /// A verification event was asked for and has not come.
    Unverified,
}

impl Mismatch {
    /// In words.
    pub(in crate::upstream) const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "a push came with another authorization than the one registered",
            Self::Unverified => "a verification event that was asked for did not come",
        }
    }
}

/// What the keeper remembers beside what the database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) struct Progress {
    /// When the metadata was read.
    pub(in crate::upstream) discovered_at: Option<Timestamp>,
    /// When the keys were read.
    pub(in crate::upstream) keys_at: Option<Timestamp>,
    /// When the stream was last seen to be there and as wanted, by this process.
    pub(in crate::upstream) inspected_at: Option<Timestamp>,
    /// The transmitter's `min_verification_interval`.
    pub(in crate::upstream) min_interval: Duration,
    /// When an authorization was last made for the transmitter.
    pub(in crate::upstream) authorized_at: Option<Timestamp>,
    /// When a verification was last asked for and granted, by this process.
    pub(in crate::upstream) asked_at: Option<Timestamp>,
    /// Pushes have been refused for their authorization since.
    pub(in crate::upstream) is_refused: bool,
    /// Nothing is asked before: the transmitter said so.
    pub(in crate::upstream) not_before: Option<Timestamp>,
}

impl Progress {
    /// The next step.
    pub(in crate::upstream) fn next(
        &self,
        held: &Held,
        settings: &UpstreamSettings,
        refresh: Duration,
        now: Timestamp,
    ) -> Step {
        let is_due = |last: Option<Timestamp>| last.is_none_or(|at| now >= at.plus(refresh));
        if self.not_before.is_some_and(|at| now < at) {
            return Step::Rest;
        }
        if is_due(self.discovered_at) {
            return Step::Discover;
        }
        if is_due(self.keys_at) {
            return Step::ReadKeys;
        }
        let Some(stream_id) = &held.stream_id else { return Step::Create };
        let every = settings.verify_every().max(self.min_interval);
        // What is held back flows again one day, and its announcement may be lost.
        let is_held_back = matches!(held.status, Some(StreamStatus::Paused | StreamStatus::Disabled));
        let is_worth_a_look = is_held_back && self.inspected_at.is_some_and(|at| now >= at.plus(every));
        if is_due(self.inspected_at) || is_worth_a_look {
            return Step::Inspect(stream_id.clone());
        }
        let patience = settings.verify_patience.duration().min(every).max(self.min_interval);
        let is_time = match (held.verification_sent_at, held.last_verified_at) {
            (Some(sent), _) => now >= sent.plus(patience),
            (None, Some(verified)) => now >= verified.plus(every),
            (None, None) => true,
        };
        if let Some(mismatch) = self.mismatch(held, settings, is_time, now) {
            return Step::Reauthorize(stream_id.clone(), mismatch);
        }
        // It would not be sent while it is held back, and when it flows again it is asked for at once.
        if is_time && !is_held_back { Step::Verify(stream_id.clone(), now.minus(patience)) } else { Step::Rest }
    }
}

impl Progress {
    /// Whether the transmitter needs a fresh authorization. Strangers can provoke it, so it is seldom.
    fn mismatch(&self, held: &Held, settings: &UpstreamSettings, is_time: bool, now: Timestamp) -> Option<Mismatch> {
        let is_too_soon = self.authorized_at.is_some_and(|at| now < at.plus(BETWEEN_AUTHORIZATIONS));
        if !settings.is_push() || is_too_soon {
            return None;
        }
        // What the transmitter holds back says nothing of its authorization.
        let is_flowing = !matches!(held.status, Some(StreamStatus::Paused | StreamStatus::Disabled));
        let is_asked = held.verification_sent_at.is_some_and(|sent| self.asked_at.is_some_and(|at| sent <= at));
        let is_unverified = is_flowing && is_asked && is_time;
        self.is_refused.then_some(Mismatch::Refused).or(is_unverified.then_some(Mismatch::Unverified))
    }
}

/// Why a stream the transmitter describes is not one for us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// Its SETs would be somebody else's.
    #[error("the stream's `iss` is not the issuer of the upstream")]
    Issuer,
    /// Its SETs would be for somebody else.
    #[error(
        "the stream's `aud` names none of the upstream's audiences; correct upstreams.*.audiences or what the transmitter registered"
    )]
    Audience,
    /// It delivers in another way than asked for.
    #[error("the stream is not delivered as asked for: the transmitter does not support this delivery method")]
    Method,
    /// Nowhere to poll.
    #[error("the stream has no `delivery.endpoint_url` to poll")]
    Endpoint,
}

/// The stream as far as we keep it, if it is one for us.
pub(in crate::upstream) fn accepted(
    answer: &StreamConfiguration,
    settings: &UpstreamSettings,
    method: Method,
) -> Result<Stream, StreamFault> {
    if answer.iss != settings.issuer {
        return Err(StreamFault::Issuer);
    }
    if !settings.audiences.is_empty() && !answer.aud.names_any_of(&settings.audiences) {
        return Err(StreamFault::Audience);
    }
    // Where the letter counts, the URI of an old draft is another method.
    let is_old = settings.profile() == Profile::Strict && answer.delivery.is_legacy();
    if is_old || answer.delivery.known_method().is_some_and(|given| given.as_str() != method.as_str()) {
        return Err(StreamFault::Method);
    }
    let poll_endpoint = answer.delivery.endpoint_url.clone().filter(|_| method == Method::Poll);
    if method == Method::Poll && poll_endpoint.is_none() {
        return Err(StreamFault::Endpoint);
    }
    Ok(Stream {
        id: answer.stream_id.clone(),
        audiences: answer.aud.0.clone(),
        events_delivered: answer.events_delivered.clone(),
        poll_endpoint,
    })
}

/// Whether the stream is as wanted, as far as the transmitter says.
pub(in crate::upstream) fn is_as_wanted(answer: &StreamConfiguration, wanted: &CreateStream) -> bool {
    let sorted = |uris: &Option<Vec<String>>| {
        uris.clone().map(|mut uris| {
            uris.sort_unstable();
            uris
        })
    };
    let has_events =
        answer.events_requested.is_none() || sorted(&answer.events_requested) == sorted(&wanted.events_requested);
    let has_delivery = wanted.delivery.as_ref().is_none_or(|delivery| {
        let is_at = delivery.endpoint_url.is_none() || answer.delivery.endpoint_url == delivery.endpoint_url;
        answer.delivery.known_method() == delivery.known_method() && is_at
    });
    let has_description = answer.description.is_none() || answer.description == wanted.description;
    has_events && has_delivery && has_description
}

/// Where the stream goes if it does not go where we want it, and where we want it: method and host, nothing secret.
pub(in crate::upstream) fn elsewhere(answer: &StreamConfiguration, wanted: &CreateStream) -> Option<(String, String)> {
    let wanted = wanted.delivery.as_ref()?;
    let is_same_place = wanted.endpoint_url.is_none() || wanted.endpoint_url == answer.delivery.endpoint_url;
    if is_same_place && wanted.known_method() == answer.delivery.known_method() {
        return None;
    }
    let place = |delivery: &Delivery| {
        let method = delivery.known_method().map_or("an unknown method", DeliveryMethod::as_str);
        let url = delivery.endpoint_url.as_ref().and_then(|text| Url::parse(text).ok());
        match url.as_ref().and_then(|url| Some((url.host_str()?, url.port()))) {
            Some((host, Some(port))) => format!("{method} at {host}:{port}"),
            Some((host, None)) => format!("{method} at {host}"),
            None => method.to_owned(),
        }
    };
    Some((place(&answer.delivery), place(wanted)))
}

/// Which of the streams that are there already is ours: the one that sends to our endpoint, or that has our description,
/// or the only one.
pub(in crate::upstream) fn ours<'a>(
    streams: &'a [StreamConfiguration],
    wanted: &CreateStream,
    of_others: &[StreamId],
) -> Option<&'a StreamConfiguration> {
    let free: Vec<_> = streams.iter().filter(|stream| !of_others.contains(&stream.stream_id)).collect();
    let endpoint = wanted.delivery.as_ref().and_then(|delivery| delivery.endpoint_url.as_ref());
    let at_our_endpoint =
        free.iter().find(|stream| endpoint.is_some() && stream.delivery.endpoint_url.as_ref() == endpoint);
    let called_ours =
        || free.iter().find(|stream| stream.description.is_some() && stream.description == wanted.description);
    let only_one = || free.first().filter(|_| free.len() == 1);
    at_our_endpoint.or_else(called_ours).or_else(only_one).copied()
}

/// Whether verifications can be asked for.
pub(in crate::upstream) const fn can_verify(metadata: &Metadata) -> bool {
    metadata.verification_endpoint.is_some()
}

const BETWEEN_AUTHORIZATIONS: Duration = Duration::from_mins(1);

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
