//! A window that was missed, and which leg of the road is to blame: the one that took longest.

use serde::Serialize;
use ssf_common::clock::Timestamp;
use utoipa::ToSchema;

/// The legs of a delivery on the transmitter's side of the road.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlowestLeg {
    /// From the decision to our outbox: the producer's.
    Intake,
    /// From the outbox to the deliveries.
    FanOut,
    /// Waiting for its turn.
    Queue,
    /// Sent in vain, until the attempt that settled it; over poll, handed out in vain.
    Retries,
    /// From the attempt that settled it to the answer; over poll, to the acknowledgement.
    Answer,
    /// Held by a paused stream.
    Held,
}

/// The times of a delivery, as far as it has come.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The decision.
    pub occurred: Timestamp,
    /// In the outbox.
    pub recorded: Timestamp,
    /// The delivery was made.
    pub fanned_out: Timestamp,
    /// First taken for sending.
    pub taken: Option<Timestamp>,
    /// Sent, in the attempt that settled it.
    pub sent: Option<Timestamp>,
    /// Settled; or until when it is looked at.
    pub until: Timestamp,
}

impl Times {
    /// The leg that took longest; of two that took as long, the earlier. Where a paused stream held it, what it spent
    /// waiting is the pause's.
    pub fn slowest_leg(&self, held: bool) -> SlowestLeg {
        let taken = self.taken.unwrap_or(self.until);
        let sent = self.sent.unwrap_or(self.until).max(taken);
        let legs = [
            (SlowestLeg::Intake, self.recorded.since(self.occurred)),
            (SlowestLeg::FanOut, self.fanned_out.since(self.recorded)),
            (if held { SlowestLeg::Held } else { SlowestLeg::Queue }, taken.since(self.fanned_out)),
            (if held { SlowestLeg::Held } else { SlowestLeg::Retries }, sent.since(taken)),
            (SlowestLeg::Answer, self.until.since(sent)),
        ];
        legs.into_iter().rev().max_by_key(|(_, took)| *took).map_or(SlowestLeg::Queue, |(leg, _)| leg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(at: [i64; 4], taken: Option<i64>, sent: Option<i64>) -> Times {
        let [occurred, recorded, fanned_out, until] = at.map(Timestamp::from_unix_seconds);
        let (taken, sent) = (taken.map(Timestamp::from_unix_seconds), sent.map(Timestamp::from_unix_seconds));
        Times { occurred, recorded, fanned_out, taken, sent, until }
    }

    #[test]
    fn the_leg_that_took_longest_is_to_blame() {
        let table = [
            ("handed in late", times([0, 400, 401, 403], Some(402), Some(402)), false, SlowestLeg::Intake),
            ("a fan-out that stood", times([0, 1, 400, 403], Some(402), Some(402)), false, SlowestLeg::FanOut),
            ("behind others", times([0, 1, 2, 403], Some(402), Some(402)), false, SlowestLeg::Queue),
            ("never taken", times([0, 1, 2, 403], None, None), false, SlowestLeg::Queue),
            ("held", times([0, 1, 2, 403], None, None), true, SlowestLeg::Held),
            ("tried for long", times([0, 1, 2, 403], Some(3), Some(402)), false, SlowestLeg::Retries),
            ("tried, and waits still", times([0, 1, 2, 403], Some(3), None), false, SlowestLeg::Retries),
            ("answered late", times([0, 1, 2, 403], Some(3), Some(4)), false, SlowestLeg::Answer),
        ];
        for (what, times, held, leg) in table {
            assert_eq!(times.slowest_leg(held), leg, "{what}");
        }
    }
}
