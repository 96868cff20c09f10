//! What a SET says, apart from who signed it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::event::{Event, Vocabulary};
use crate::id::{IssuerUrl, Jti, Txn};
use crate::moment::Moment;
use crate::subject::Subject;

/// The claims of one SET: exactly one event, its subject at the top level (SSF 1.0 §4.1.3, §4.1.4).
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// Who says so.
    pub iss: IssuerUrl,
    /// To whom.
    pub aud: Audience,
    /// The SET's own id, unique at its issuer.
    pub jti: Jti,
    /// When the SET was made, whole seconds.
    pub iat: Timestamp,
    /// The cause it shares with other SETs.
    pub txn: Option<Txn>,
    /// When it happened, if the issuer says it here (RFC 8417 §2.2).
    pub toe: Option<Moment>,
    /// Whom it is about.
    pub sub_id: Subject,
    /// What happened.
    pub event: Event,
    /// Our private claim.
    pub timeline: Option<Timeline>,
}

impl Claims {
    /// The claims set as JSON. `timeline_claim` names our private claim; `None` leaves it out.
    pub fn to_json(&self, vocabulary: &Vocabulary, timeline_claim: Option<&str>) -> Value {
        let mut claims = Map::new();
        claims.insert("iss".into(), json!(self.iss));
        claims.insert("aud".into(), json!(self.aud));
        claims.insert("jti".into(), json!(self.jti));
        claims.insert("iat".into(), json!(self.iat.unix_seconds()));
        if let Some(txn) = &self.txn {
            claims.insert("txn".into(), json!(txn));
        }
        if let Some(toe) = &self.toe {
            claims.insert("toe".into(), json!(toe));
        }
        claims.insert("sub_id".into(), self.sub_id.to_value());
        let event_type = self.event.event_type.uri(vocabulary);
        claims.insert("events".into(), json!({ event_type: self.event.to_payload() }));
        if let (Some(name), Some(timeline)) = (timeline_claim, &self.timeline) {
            claims.insert(name.into(), json!(timeline));
        }
        Value::Object(claims)
    }
}

/// `aud` (RFC 7519 §4.1.3): one string, or an array of several.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "OneOrMany", into = "OneOrMany")]
pub struct Audience(pub Vec<String>);

impl Audience {
    /// Whether one of `ours` is among them.
    pub fn names_any_of(&self, ours: &[String]) -> bool {
        self.0.iter().any(|aud| ours.contains(aud))
    }
}

crate::described_as!(Audience, <OneOrMany as crate::schema::PartialSchema>::schema());

impl From<&str> for Audience {
    fn from(aud: &str) -> Self {
        Self(vec![aud.to_owned()])
    }
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Audience {
    fn from(wire: OneOrMany) -> Self {
        match wire {
            OneOrMany::One(aud) => Self(vec![aud]),
            OneOrMany::Many(auds) => Self(auds),
        }
    }
}

impl From<Audience> for OneOrMany {
    fn from(Audience(mut auds): Audience) -> Self {
        if auds.len() == 1 { Self::One(auds.swap_remove(0)) } else { Self::Many(auds) }
    }
}

/// The transmitter's part of the timeline, carried in a private claim (default name [`DEFAULT_TIMELINE_CLAIM`]):
/// milliseconds since the epoch on the transmitter's clock, with a fraction. Fixed when the SET is first taken for sending, so that every
/// attempt carries the same claims. Receivers that do not know the claim ignore it (RFC 7519 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The decision.
    pub occurred: Timestamp,
    /// The decision is durable in the outbox.
    pub recorded: Timestamp,
    /// The delivery to this stream exists.
    pub fanned_out: Timestamp,
    /// First taken for sending; the signature follows.
    pub taken: Timestamp,
}

impl Serialize for Timeline {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireTimeline {
            occurred: written(self.occurred),
            recorded: written(self.recorded),
            fanned_out: written(self.fanned_out),
            taken: written(self.taken),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Timeline {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireTimeline::deserialize(deserializer)?;
        let read = |ms| read(ms).ok_or_else(|| serde::de::Error::custom("a time of the timeline is out of range"));
        Ok(Self {
            occurred: read(wire.occurred)?,
            recorded: read(wire.recorded)?,
            fanned_out: read(wire.fanned_out)?,
            taken: read(wire.taken)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct WireTimeline {
    occurred: f64,
    recorded: f64,
    fanned_out: f64,
    taken: f64,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds until the year 9999 are below 2^58; those of this century are exact"
)]
fn written(at: Timestamp) -> f64 {
    at.unix_micros() as f64 / 1_000.0
}

fn read(ms: f64) -> Option<Timestamp> {
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the year 9999 just before")]
    (0.0..=LAST_MILLIS).contains(&ms).then(|| Timestamp::from_unix_micros((ms * 1_000.0).round() as i64))
}

/// The private claim's name unless configured otherwise.
pub const DEFAULT_TIMELINE_CLAIM: &str = "ssf_timeline";
const LAST_MILLIS: f64 = 253_402_300_799_999.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_survives_the_wire_to_the_microsecond() {
        let at = |micros: i64| Timestamp::from_unix_micros(1_795_300_114_381_123 + micros);
        let timeline = Timeline { occurred: at(0), recorded: at(1), fanned_out: at(999_999), taken: at(7_777_777) };
        let text = serde_json::to_string(&timeline).unwrap();
        assert_eq!(serde_json::from_str::<Timeline>(&text).unwrap(), timeline, "{text}");
        assert!(serde_json::from_str::<Timeline>(&text.replace("1795", "-1795")).is_err());
    }

    #[test]
    fn one_audience_is_a_string_and_several_an_array() {
        let one = Audience::from("a");
        assert_eq!(serde_json::to_value(&one).unwrap(), json!("a"));
        assert_eq!(serde_json::from_value::<Audience>(json!(["a"])).unwrap(), one);
        assert_eq!(serde_json::to_value(Audience(vec!["a".into(), "b".into()])).unwrap(), json!(["a", "b"]));
    }
}
