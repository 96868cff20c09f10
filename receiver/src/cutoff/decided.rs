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
