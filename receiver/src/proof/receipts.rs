//! [`Receipts`]: tells a transmitter that takes receipts what is enforced here, SET by SET. One worker per upstream.
//!
//! The cursor is durable and moves only over what was told or is of no use to tell; a request whose answer was lost is made
//! again, which changes nothing at the transmitter. Of several processes the one that holds the lease tells. Times are ours,
//! and said to be.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::clock::Timestamp;
use ssf_common::id::Jti;
use ssf_common::protocol::{Receipt, Receipts as Told, WindowOutcome};
use ssf_common::runtime::{Env, Worker};

use super::outcome::CutOff;
use super::report::Terms;
use super::store::{self, Place};
use crate::config::BindingClass;
use crate::timeline::ClockOffset;
use crate::upstream::Upstream;
use crate::upstream::client::CallError;

/// The worker of one upstream.
#[derive(Debug)]
pub struct Receipts {
    upstream: Arc<Upstream>,
    pool: PgPool,
    env: Env,
    terms: Terms,
}

/// Receipts were not told; they will be.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptsError {
    /// The database.
    #[error("what is to be told cannot be read")]
    Store(#[from] sqlx::Error),
    /// The transmitter.
    #[error("{name}: receipts are told later")]
    Call {
        /// Our name for it.
        name: String,
        /// Why.
        #[source]
        source: CallError,
    },
}

impl Receipts {
    /// For this upstream, judged by these terms.
    pub const fn new(upstream: Arc<Upstream>, pool: PgPool, env: Env, terms: Terms) -> Self {
        Self { upstream, pool, env, terms }
    }
}

impl Worker for Receipts {
    const NAME: &'static str = "receipts";
    type Error = ReceiptsError;

    /// Tells one batch. A transmitter that does not say where it takes receipts is told nothing. To be run every few
    /// seconds.
    async fn tick(&self) -> Result<usize, ReceiptsError> {
        if !self.upstream.lease.hold().await? {
            return Ok(0);
        }
        let (id, now) = (self.upstream.id, self.env.now());
        let Some((metadata, _)) = self.upstream.metadata() else { return Ok(0) };
        if metadata.enforcement_receipts_endpoint.is_none() {
            return Ok(0);
        }
        let (waiting, offset) = {
            let mut db = self.pool.acquire().await?;
            let waiting = store::untold(&mut db, id, now.minus(RIPE_AFTER), MOST_AT_ONCE).await?;
            let reported = store::upstreams(&mut db, Some(&self.upstream.name)).await?;
            (waiting, reported.into_iter().next().and_then(|upstream| upstream.offset))
        };
        let of = |(_, cut_off): &(Place, CutOff)| receipt(cut_off, &self.terms, offset.as_ref());
        let receipts: Vec<Receipt> = waiting.iter().filter_map(of).collect();
        let unknown = if receipts.is_empty() {
            Vec::new()
        } else {
            let told = self.upstream.client.tell(&metadata, &Told { receipts }).await;
            told.map_err(|source| ReceiptsError::Call { name: self.upstream.name.clone(), source })?.unknown
        };
        let done = settled(&waiting, &unknown, now);
        if let Some((place, _)) = waiting[..done].last() {
            store::move_cursor(&mut *self.pool.acquire().await?, id, place, now).await?;
        }
        Ok(done)
    }
}

/// What the transmitter is told of a cut-off; nothing if a crash lost the time of its commit.
fn receipt(cut_off: &CutOff, terms: &Terms, offset: Option<&ClockOffset>) -> Option<Receipt> {
    let is_breached = BindingClass::ALL.into_iter().any(|class| {
        let outcome = cut_off.outcome(class, &terms.points, offset);
        outcome.is_some_and(|o| o.breach(terms.windows.window(cut_off.level, class), offset).is_some())
    });
    Some(Receipt {
        jti: Jti(cut_off.jti.clone()),
        received_at: cut_off.received_at,
        applied_at: cut_off.applied_at?,
        visible_at: cut_off.visible_at(),
        last_allowed_at: cut_off.last_allowed_at(),
        outcome: if is_breached { WindowOutcome::Breached } else { WindowOutcome::Kept },
    })
}

/// How many of these are done with: all before the first that the transmitter does not know *yet*. What it does not know
/// after a while it will never know (its history is shorter than our delay).
fn settled(waiting: &[(Place, CutOff)], unknown: &[Jti], now: Timestamp) -> usize {
    let is_early = |cut_off: &CutOff| {
        now.since(cut_off.received_at) < UNKNOWN_FOR && unknown.iter().any(|jti| jti.as_str() == cut_off.jti)
    };
    waiting.iter().position(|(_, cut_off)| is_early(cut_off)).unwrap_or(waiting.len())
}

/// By then the acknowledgement has been settled there, and those who were let in a moment ago have asked again.
const RIPE_AFTER: Duration = Duration::from_secs(5);
const UNKNOWN_FOR: Duration = Duration::from_mins(10);
const MOST_AT_ONCE: i64 = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Level;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_795_000_000 + seconds)
    }

    fn waiting(jti: &str, seconds: i64) -> (Place, CutOff) {
        let place = Place { feed_seq: seconds, jti: jti.to_owned() };
        let cut_off = CutOff {
            jti: jti.to_owned(),
            event_type: "session-revoked".to_owned(),
            effect: "revoke".to_owned(),
            level: Level::Sl3,
            decided_at: at(seconds),
            taken_at: None,
            received_at: at(seconds + 1),
            applied_at: Some(at(seconds + 2)),
            visible: Vec::new(),
            seen: Vec::new(),
        };
        (place, cut_off)
    }

    #[test]
    fn what_is_not_known_yet_is_told_again_and_what_never_will_be_is_not() {
        let all = [waiting("old", 0), waiting("a", 1_000), waiting("b", 1_001)];
        let unknown = |jtis: &[&str]| jtis.iter().map(|jti| Jti::from(*jti)).collect::<Vec<_>>();
        for (jtis, done) in [(&[][..], 3), (&["b"], 2), (&["a"], 1), (&["old"], 3), (&["old", "a"], 1)] {
            assert_eq!(settled(&all, &unknown(jtis), at(1_010)), done, "{jtis:?}");
        }
    }

    #[test]
    fn a_receipt_says_whether_any_window_was_missed() {
        let outcome = |applied: i64| {
            let (_, cut_off) = waiting("a", 0);
            let cut_off = CutOff { applied_at: Some(at(applied)), ..cut_off };
            receipt(&cut_off, &Terms::default(), None).unwrap().outcome
        };
        assert_eq!((outcome(60), outcome(61)), (WindowOutcome::Kept, WindowOutcome::Breached));
        let (_, lost) = waiting("a", 0);
        assert_eq!(receipt(&CutOff { applied_at: None, ..lost }, &Terms::default(), None), None);
    }
}
