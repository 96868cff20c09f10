//! The push worker: lease, commit, sign, send, settle. No transaction is open while anything is on the wire.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::runtime::Env;
use ssf_common::runtime::telemetry::chain;
use ssf_common::runtime::worker::{Wake, Worker};
use ssf_common::set::ErrorCode;

use super::in_flight::{Busy, Flight, InFlight};
use super::settle::Settlement;
use super::store::take;
use super::{ANNOUNCEMENTS_FIRST, LeaseId, Outcome, Sender, Settler, SigningDesk, Taken};
use crate::stream::StreamKey;

/// How much is sent at once.
#[derive(Clone, Copy, Debug)]
pub struct PushLimits {
    /// To one receiver.
    pub window: u32,
    /// To all receivers.
    pub max_in_flight: u32,
    /// To one host, all its streams together.
    pub max_per_host: u32,
    /// How long a SET is held.
    pub lease: Duration,
}

/// Takes what is due and sends it. A tick takes and starts sending; it does not wait for answers, so that a slow
/// receiver holds up nobody. Each answer rings `wake`, because it made room.
#[derive(Clone, Debug)]
pub struct Push {
    pool: PgPool,
    env: Env,
    desk: SigningDesk,
    sender: Sender,
    settler: Settler,
    limits: PushLimits,
    wake: Wake,
    in_flight: InFlight,
}

impl Push {
    /// `wake` is this worker's own bell.
    pub fn new(
        pool: PgPool,
        env: Env,
        desk: SigningDesk,
        sender: Sender,
        settler: Settler,
        limits: PushLimits,
        wake: Wake,
    ) -> Self {
        Self { pool, env, desk, sender, settler, limits, wake, in_flight: InFlight::default() }
    }

    /// Ends when nothing is on the wire and everything that was is settled.
    pub async fn idle(&self) {
        self.in_flight.idle().await;
    }

    /// One delivery, from signature to settlement. Dropping it half way loses nothing: the lease ends and somebody sends
    /// the same SET again.
    async fn carry(self: Arc<Self>, taken: Taken, lease: LeaseId, mut flight: Flight) {
        let (id, stream) = (taken.id, taken.stream);
        let attempts = u32::try_from(taken.attempts).unwrap_or(1);
        let taken_at = self.env.now();
        let mut settlement = Settlement {
            id,
            stream,
            lease,
            attempts,
            taken_at,
            signed_at: None,
            sent_at: None,
            answered_at: taken_at,
            outcome: Outcome::Acknowledged { oddly: false },
        };
        settlement.outcome = self.attempt(taken, &mut settlement).await;
        settlement.answered_at = self.env.now();
        report(&settlement);
        let brisk = flight.land(settlement.answered_at);
        self.ask_for_more(stream, brisk);
        if let Err(error) = self.settler.settle(settlement).await {
            // the lease ends by itself, and the receiver will know the SET again by its jti
            tracing::warn!(delivery.id = %id, stream.id = %stream, error = %chain(&error), "a delivery could not be settled and will be sent again");
        }
        drop(flight);
        // what waited behind it, about the same subject, may go now
        self.ask_for_more(stream, brisk);
    }

    /// Rings the worker; while the receiver answers briskly, only once its window is half empty: filling
    /// it up one by one would cost a claim for every answer.
    fn ask_for_more(&self, stream: StreamKey, brisk: bool) {
        let window = i32::try_from(self.limits.window).unwrap_or(i32::MAX);
        if !brisk || self.in_flight.to(stream) <= window / 2 {
            self.wake.wake();
        }
    }

    async fn attempt(&self, taken: Taken, settlement: &mut Settlement) -> Outcome {
        let authorization = match self.desk.authorization(&taken) {
            Ok(authorization) => authorization,
            Err(unsendable) => return Outcome::Trouble { reason: unsendable.to_string(), retry_after: None },
        };
        let endpoint = taken.endpoint_url.clone().unwrap_or_default();
        let set = match self.desk.sign(taken).await {
            Ok(set) => set,
            Err(unsendable) if unsendable.is_final() => {
                return Outcome::Refused { code: "unsendable".into(), description: unsendable.to_string() };
            }
            Err(unsendable) => return Outcome::Trouble { reason: unsendable.to_string(), retry_after: None },
        };
        let now = self.env.now();
        settlement.signed_at = Some(now);
        settlement.sent_at = Some(now);
        self.sender.send(&endpoint, authorization.as_ref(), set, now).await.outcome()
    }
}

impl Worker for Push {
    const NAME: &'static str = "push";
    type Error = sqlx::Error;

    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let now = self.env.now();
        let Busy { streams, counts, brisk, hosts, host_counts } = self.in_flight.busy(now);
        let sending: i64 = counts.iter().copied().map(i64::from).sum();
        let limit = i64::from(self.limits.max_in_flight) - sending;
        if limit <= 0 {
            return Ok(0);
        }
        let lease = LeaseId::new(now, &*self.env.random);
        let mut conn = self.pool.acquire().await?;
        let window = i32::try_from(self.limits.window).unwrap_or(i32::MAX);
        let per_host = i32::try_from(self.limits.max_per_host).unwrap_or(i32::MAX);
        let room = take::Room {
            busy: &streams,
            in_flight: &counts,
            brisk: &brisk,
            window,
            limit,
            busy_hosts: &hosts,
            in_flight_to_hosts: &host_counts,
            per_host,
        };
        let (lease_ends, impatient_since) = (now.plus(self.limits.lease), now.minus(ANNOUNCEMENTS_FIRST));
        let taken = take::push(&mut conn, &room, lease, now, lease_ends, impatient_since).await?;
        drop(conn);
        let count = taken.len();
        let this = Arc::new(self.clone());
        for delivery in taken {
            let flight = self.in_flight.enter(delivery.stream, delivery.endpoint_host.clone());
            tokio::spawn(Arc::clone(&this).carry(delivery, lease, flight));
        }
        Ok(count)
    }
}

fn report(settlement: &Settlement) {
    let (id, stream) = (settlement.id, settlement.stream);
    match &settlement.outcome {
        Outcome::Acknowledged { oddly: false } => {
            tracing::trace!(delivery.id = %id, stream.id = %stream, "acknowledged");
        }
        Outcome::Acknowledged { oddly: true } => {
            tracing::debug!(delivery.id = %id, stream.id = %stream, "acknowledged with another status than 202");
        }
        Outcome::Refused { code, .. } => {
            // one that is not registered is a stranger's own text, and may say anything
            let code = match code {
                ErrorCode::Other(own) if own != "too_large" && own != "unsendable" => "a code of its own",
                known => known.as_str(),
            };
            tracing::warn!(delivery.id = %id, stream.id = %stream, code, "the receiver refused a SET; it is a dead letter now");
        }
        Outcome::Trouble { reason, .. } => {
            tracing::debug!(delivery.id = %id, stream.id = %stream, reason, attempts = settlement.attempts, "a push failed and will be tried again");
        }
    }
}
