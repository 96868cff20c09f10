//! [`Event`]: a type and its payload, read from JSON and written back.

use serde_json::{Map, Value};

use super::common::EVENT_TIMESTAMP;
use super::members::{Members, Written};
use super::{Common, Detail, EventError, EventType, Fault};
use crate::moment::Moment;

/// What happened: one member of a SET's `events` claim (RFC 8417 §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The type.
    pub event_type: EventType,
    /// The members every CAEP event may have.
    pub common: Common,
    /// The members of this type.
    pub detail: Detail,
    /// Members we do not know, kept as they are.
    pub extra: Map<String, Value>,
}

impl Event {
    /// From the payload. Strict about the members its type defines, indifferent to all others (SSF 1.0 §4.2.3). A type
    /// we do not know is kept whole in [`Detail::Other`].
    pub fn parse(event_type: EventType, payload: &Value) -> Result<Self, EventError> {
        let mut members = Members::of(payload, "events")?;
        if let EventType::Other(_) = event_type {
            let (common, detail) = (Common::default(), Detail::Other(members.rest()));
            return Ok(Self { event_type, common, detail, extra: Map::new() });
        }
        let common = Common::read(&mut members, &event_type)?;
        if event_type == EventType::Revalidate && common.event_timestamp.is_none() {
            return Err(EventError::at(EVENT_TIMESTAMP, Fault::Missing));
        }
        let detail = Detail::read(&mut members, &event_type)?;
        Ok(Self { event_type, common, detail, extra: members.rest() })
    }

    /// As the payload: every member that was read, under its name; what we know takes precedence over `extra`.
    pub fn to_payload(&self) -> Value {
        let mut payload = Written::default();
        self.detail.write(&mut payload);
        self.common.write(&mut payload);
        payload.put_rest(&self.extra);
        payload.into()
    }

    /// The same event with its `event_timestamp` in whole seconds, rounded down: widely deployed receivers read an
    /// integer. The cut-off of a receiver covers the whole second, so nothing escapes by this.
    #[must_use]
    pub fn with_whole_second_timestamp(mut self) -> Self {
        self.common.event_timestamp = self.common.event_timestamp.map(|at| Moment::second(at.first()));
        self
    }
}
