//! The control events themselves, and what may stand in them.

use serde_json::{Value, json};
use ssf_common::event::{EventType, StreamStatus, Vocabulary};
use ssf_common::id::Txn;
use ssf_common::runtime::Env;
use ssf_common::subject::Subject;

use crate::issuer::IssuerId;
use crate::outbox::{EventId, Lane, NewEvent};
use crate::stream::StreamKey;

/// A verification event for `stream` (§8.1.4.1). One that was asked for echoes `state`; an unsolicited one has none.
pub fn verification(issuer: IssuerId, stream: StreamKey, state: Option<&str>, env: &Env) -> NewEvent {
    let payload = state.map_or_else(|| json!({}), |state| json!({ "state": state }));
    addressed(issuer, stream, &EventType::Verification, payload, env)
}

/// The announcement that `stream` has this status now (§8.1.5).
pub(super) fn stream_updated(
    issuer: IssuerId,
    stream: StreamKey,
    status: StreamStatus,
    reason: Option<&str>,
    env: &Env,
) -> NewEvent {
    let mut payload = json!({ "status": status });
    if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
        payload["reason"] = json!(reason);
    }
    addressed(issuer, stream, &EventType::StreamUpdated, payload, env)
}

/// Whether `state` may be echoed: short enough, and storable.
pub fn is_fit_state(state: &str) -> bool {
    state.len() <= MAX_STATE && !state.contains('\0')
}

/// Whether `reason` may be kept and sent: short enough, and storable.
pub fn is_fit_reason(reason: &str) -> bool {
    reason.chars().count() <= MAX_REASON && !reason.contains('\0')
}

fn addressed(issuer: IssuerId, stream: StreamKey, event_type: &EventType, payload: Value, env: &Env) -> NewEvent {
    let now = env.now();
    let event_id = EventId::new(now, &*env.random);
    NewEvent {
        event_id,
        issuer,
        stream: Some(stream),
        lane: Lane::Urgent,
        event_type: event_type.uri(&Vocabulary::default()).to_owned(),
        subject: Subject::stream(&stream.stream_id()).to_value(),
        txn: Txn(event_id.to_string()),
        payload,
        occurred_at: now,
        batch: None,
    }
}

const MAX_STATE: usize = 1_024;
const MAX_REASON: usize = 1_000;
