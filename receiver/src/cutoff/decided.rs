//! At which time an event counts: when the issuer decided, as precisely as it told us.

use ssf_common::moment::{Moment, Precision};
use ssf_common::set::Claims;

/// The time an event counts from: its `event_timestamp` (CAEP 1.0 §2), else the SET's `toe` (RFC 8417 §2.2), else its
/// `iat`.
///
/// A whole second of `event_timestamp` or `toe` covers that second. If the timeline claim says at which millisecond
/// within that same second the decision fell, that is the time: a login later in the second is then not caught.
pub fn decided(claims: &Claims) -> Moment {
    let told = claims.event.common.event_timestamp.or(claims.toe);
    let Some(told) = told else { return Moment::second(claims.iat) };
    match &claims.timeline {
        Some(timeline)
            if told.precision() == Precision::Second
                && timeline.occurred.unix_seconds() == told.first().unix_seconds() =>
        {
            Moment::millisecond(timeline.occurred)
        }
        _ => told,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ssf_common::clock::Timestamp;
    use ssf_common::event::{Event, EventType};
    use ssf_common::set::{Audience, Timeline};
    use ssf_common::subject::Subject;

    use super::*;

    fn seconds(at: i64) -> Moment {
        Moment::second(Timestamp::from_unix_seconds(at))
    }

    /// What a SET that was issued at 1,000 s with these times counts from.
    fn counts_from(event_timestamp: Option<f64>, toe: Option<i64>, occurred_ms: Option<i64>) -> Moment {
        let payload = event_timestamp.map_or(json!({}), |at| json!({"event_timestamp": at}));
        let at = Timestamp::from_unix_millis;
        decided(&Claims {
            iss: "https://idp.example".into(),
            aud: Audience(vec!["https://rp.example".to_owned()]),
            jti: "1".into(),
            iat: Timestamp::from_unix_seconds(1_000),
            txn: None,
            toe: toe.map(seconds),
            sub_id: Subject::parse(&json!({"format": "opaque", "id": "s"})).unwrap(),
            event: Event::parse(EventType::SessionRevoked, &payload).unwrap(),
            timeline: occurred_ms.map(|ms| Timeline {
                occurred: at(ms),
                recorded: at(ms),
                fanned_out: at(ms),
                taken: at(ms),
            }),
        })
    }

    #[test]
    fn the_event_speaks_before_the_set_and_the_set_before_its_issue() {
        assert_eq!(counts_from(Some(900.0), Some(950), None), seconds(900));
        assert_eq!(counts_from(None, Some(950), None), seconds(950));
        assert_eq!(counts_from(None, None, None), seconds(1_000));
    }

    #[test]
    fn the_timeline_refines_a_whole_second_only_within_it() {
        let refined = Moment::millisecond(Timestamp::from_unix_millis(900_250));
        assert_eq!(counts_from(Some(900.0), None, Some(900_250)), refined);
        assert_eq!(counts_from(Some(901.0), None, Some(900_250)), seconds(901));
        assert_eq!(
            counts_from(Some(900.5), None, Some(900_250)),
            Moment::millisecond(Timestamp::from_unix_millis(900_500))
        );
        assert_eq!(counts_from(None, None, Some(1_000_250)), seconds(1_000));
    }
}
