//! What a producer hands in over HTTP, checked at the door against the typed event.

use serde::Deserialize;
use serde_json::{Map, Value};
use ssf_common::clock::Timestamp;
use ssf_common::event::{Event, EventError, EventType, LocalizedText, Vocabulary};
use ssf_common::id::Txn;
use ssf_common::moment::Moment;
use ssf_common::runtime::Env;
use ssf_common::subject::{Subject, SubjectError};
use utoipa::ToSchema;

use super::{EventId, Lane, NewEvent};
use crate::issuer::IssuerId;

/// One decision as JSON: `type` (short name or URI), `subject` (RFC 9493), optional `occurred_at` (RFC 3339 or seconds),
/// `txn`, `lane`; every other member belongs to the event (`reason_admin`, `initiating_entity`, the type's own).
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct Draft {
    /// A short name such as `session-revoked`, or a URI.
    #[serde(rename = "type")]
    event_type: String,
    /// Whom it is about: a subject identifier (RFC 9493).
    #[schema(value_type = Object)]
    subject: Value,
    /// When it happened: RFC 3339 text, or seconds since 1970; now if left out.
    occurred_at: Option<Value>,
    /// The cause, 1 to 255 printable ASCII characters; the event's id if left out.
    #[schema(value_type = Option<String>)]
    txn: Option<Value>,
    /// What it may overtake; the type's own if left out.
    #[schema(value_type = Option<Lane>)]
    lane: Option<Value>,
    /// Members of the event.
    #[serde(flatten)]
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    members: Map<String, Value>,
}

impl Draft {
    /// Checks the draft and gives it an id. The decision is taken to have happened now unless the draft says when; a
    /// whole second means its last instant, for a tie must not spare a session.
    pub fn check(self, issuer: IssuerId, vocabulary: &Vocabulary, env: &Env) -> Result<NewEvent, DraftError> {
        let now = env.now();
        let named = Some(&self.event_type).filter(|name| name.len() <= MAX_TYPE);
        let named = named.and_then(|name| EventType::from_name(name, vocabulary));
        let event_type = named.ok_or(DraftError::UnknownType)?;
        if matches!(event_type, EventType::Verification | EventType::StreamUpdated) {
            return Err(DraftError::ControlType);
        }
        let subject = Subject::parse(&self.subject)?;
        let mut members = self.members;
        let occurred_at =
            self.occurred_at.map(|value| serde_json::from_value(value).map_err(|_| DraftError::OccurredAt));
        let lane = self.lane.map(|value| serde_json::from_value(value).map_err(|_| DraftError::Lane)).transpose()?;
        let occurred = occurred_at.transpose()?.or_else(|| stamped(&members));
        if [occurred, stamped(&members)].into_iter().flatten().any(|moment| is_ahead(moment, now)) {
            return Err(DraftError::InTheFuture);
        }
        let occurred_at = occurred.map_or(now, |moment| moment.last().min(now));
        complete(&mut members, &event_type, occurred_at);
        let event = Event::parse(event_type, &Value::Object(members))?;
        let txn = self.txn.map(check_txn).transpose()?;
        check_size(&subject.to_value(), &event.to_payload())?;
        let event_id = EventId::new(now, &*env.random);
        Ok(NewEvent {
            event_id,
            issuer,
            stream: None,
            lane: lane.unwrap_or_else(|| Lane::of(&event.event_type)),
            event_type: event.event_type.uri(vocabulary).to_owned(),
            subject: subject.to_value(),
            txn: txn.unwrap_or_else(|| Txn(event_id.to_string())),
            payload: event.to_payload(),
            occurred_at,
            batch: None,
        })
    }
}

/// Why a draft is not an event. The texts go to the producer and never quote a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// Not a known short name and not a URI.
    #[error("`type` is neither a known short name (such as session-revoked) nor a URI")]
    UnknownType,
    /// A type that only the transmitter itself sends.
    #[error("`type` is a control event, which the transmitter sends by itself")]
    ControlType,
    /// The subject is not valid.
    #[error("`subject` is not valid: {0}")]
    Subject(#[from] SubjectError),
    /// The members are not those of the type.
    #[error("the event is not valid: {0}")]
    Event(#[from] EventError),
    /// Not a time.
    #[error("`occurred_at` must be RFC 3339 text, or seconds since 1970 as a number")]
    OccurredAt,
    /// Not a lane.
    #[error("`lane` must be urgent, prompt or bulk")]
    Lane,
    /// A receiver would not read its SET.
    #[error("the event is longer than {MAX_EVENT} bytes")]
    TooLarge,
    /// It has not happened yet.
    #[error("`occurred_at` or `event_timestamp` lies more than 60 s in the future")]
    InTheFuture,
    /// Too long, empty, or not text.
    #[error("`txn` must be 1 to {MAX_TXN} printable ASCII characters")]
    Txn,
}

/// What the text of the standards asks every event of its family to have, where the producer left it out:
/// `event_timestamp` in whole seconds (widely deployed receivers decode an integer), and for CAEP a `reason_admin`
/// (CAEP interop §2.4).
pub(crate) fn complete(members: &mut Map<String, Value>, event_type: &EventType, occurred_at: Timestamp) {
    let is_caep = event_type.uri(&Vocabulary::default()).contains("/secevent/caep/");
    let is_stamped = is_caep || matches!(event_type, EventType::Revalidate | EventType::CredentialCompromise);
    if is_stamped && !members.contains_key("event_timestamp") {
        members.insert("event_timestamp".to_owned(), occurred_at.unix_seconds().into());
    }
    if is_caep && !members.contains_key("reason_admin") {
        members.insert("reason_admin".to_owned(), LocalizedText::english(DEFAULT_REASON).to_value());
    }
}

/// What the door checks, for an event that came in by SQL: why it cannot go out. That it does not lie in the future was
/// checked by `ssf_emit`, on the clock of the database.
pub(crate) fn objection(
    event_type: EventType,
    subject: &Value,
    payload: &Value,
    occurred_at: Timestamp,
) -> Option<DraftError> {
    let check = || -> Result<(), DraftError> {
        Subject::parse(subject)?;
        check_size(subject, &outgoing(event_type, payload, occurred_at)?.to_payload())
    };
    check().err()
}

/// The members of a stored event as they go out.
pub(crate) fn outgoing(event_type: EventType, payload: &Value, occurred_at: Timestamp) -> Result<Event, EventError> {
    let mut members = payload.as_object().cloned().unwrap_or_default();
    complete(&mut members, &event_type, occurred_at);
    Ok(Event::parse(event_type, &Value::Object(members))?.with_whole_second_timestamp())
}

fn stamped(members: &Map<String, Value>) -> Option<Moment> {
    members.get("event_timestamp").and_then(Value::as_number).and_then(Moment::from_number)
}

fn is_ahead(moment: Moment, now: Timestamp) -> bool {
    moment.first() > now.plus(CLOCK_TOLERANCE)
}

/// Receivers in the field read SETs of 64 KiB; base64 makes three bytes four.
fn check_size(subject: &Value, payload: &Value) -> Result<(), DraftError> {
    let length = subject.to_string().len() + payload.to_string().len();
    if length > MAX_EVENT { Err(DraftError::TooLarge) } else { Ok(()) }
}

fn check_txn(txn: Value) -> Result<Txn, DraftError> {
    let txn: Txn = serde_json::from_value(txn).map_err(|_| DraftError::Txn)?;
    let is_fit = (1..=MAX_TXN).contains(&txn.as_str().len()) && txn.as_str().bytes().all(|b| (0x20..0x7f).contains(&b));
    if is_fit { Ok(txn) } else { Err(DraftError::Txn) }
}

const DEFAULT_REASON: &str = "decided by the identity provider";
const CLOCK_TOLERANCE: std::time::Duration = std::time::Duration::from_mins(1);
const MAX_TXN: usize = 255;
const MAX_EVENT: usize = 32 * 1024;
const MAX_TYPE: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use ssf_common::clock::ManualClock;
    use ssf_common::random::SeededRandom;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_795_000_000_250);

    fn check(draft: Value) -> Result<NewEvent, DraftError> {
        let random = Arc::new(SeededRandom::new(1));
        let env = Env { clock: Arc::new(ManualClock::new(NOW)), random };
        let issuer = IssuerId::new(NOW, &*env.random);
        serde_json::from_value::<Draft>(draft).unwrap().check(issuer, &Vocabulary::default(), &env)
    }

    #[test]
    fn a_short_draft_is_completed_into_an_interoperable_event() {
        let event = check(json!({"type": "session-revoked", "subject": {"format": "opaque", "id": "s1"}})).unwrap();
        assert_eq!((event.lane, event.occurred_at), (Lane::Urgent, NOW));
        assert_eq!(event.txn.as_str(), event.event_id.to_string());
        insta::assert_json_snapshot!(event.payload, @r#"
        {
          "event_timestamp": 1795000000,
          "reason_admin": {
            "en": "decided by the identity provider"
          }
        }
        "#);
    }

    #[test]
    fn a_whole_second_means_its_last_instant_but_never_later_than_now() {
        let at = |when: Value| {
            check(json!({"type": "revalidate", "subject": {"format": "opaque", "id": "s"}, "occurred_at": when}))
        };
        assert_eq!(at(json!(1_794_999_999)).unwrap().occurred_at.unix_micros(), 1_794_999_999_999_999);
        assert_eq!(at(json!(1_795_000_000)).unwrap().occurred_at, NOW);
        assert_eq!(at(json!("2026-11-18T00:26:40.100Z")).unwrap().occurred_at.unix_millis() % 1_000, 100);
        assert_eq!(at(json!(1_795_000_100)), Err(DraftError::InTheFuture));
    }

    #[test]
    fn what_is_not_an_event_is_refused_with_the_member_named() {
        let subject = json!({"format": "opaque", "id": "s"});
        let refused = [
            (json!({"type": "session-revokd", "subject": subject}), "`type`"),
            (json!({"type": "verification", "subject": subject}), "`type`"),
            (json!({"type": "session-revoked", "subject": {"format": "email"}}), "`subject`"),
            (json!({"type": "credential-change", "subject": subject}), "the event"),
            (json!({"type": "session-revoked", "subject": subject, "txn": ""}), "`txn`"),
            (json!({"type": "session-revoked", "subject": subject, "lane": "fast"}), "`lane`"),
            (json!({"type": "session-revoked", "subject": subject, "occurred_at": -1}), "`occurred_at`"),
            (json!({"type": format!("urn:{}", "x".repeat(2_000)), "subject": subject}), "`type`"),
            (json!({"type": "urn:x", "subject": subject, "blob": "x".repeat(40_000)}), "the event is longer"),
            (
                json!({"type": "session-revoked", "subject": subject, "occurred_at": 1, "event_timestamp": 1_795_000_100}),
                "`occurred_at` or",
            ),
        ];
        for (draft, start) in refused {
            let said = check(draft).unwrap_err().to_string();
            assert!(said.starts_with(start), "{said}");
        }
    }
}
