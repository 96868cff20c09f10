//! The push worker: lease, commit, sign, send, settle. No transaction is open while anything is on the wire.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use ssf_common::runtime::Env;
use ssf_common::runtime::telemetry::chain;
use ssf_common::runtime::worker::{Wake, Worker};
use ssf_common::set::ErrorCode;

use super::courier::Courier;
use super::hand::{Hand, Held};
use super::in_flight::{Busy, Flight, InFlight, Landing, Room, for_bulk, may_wait};
use super::pace::Bounds;
use super::settle::Settlement;
use super::store::take;
use super::{ANNOUNCEMENTS_FIRST, LeaseId, Outcome, Sender, Settler, SigningDesk, Taken};
use crate::stream::StreamKey;

/// How much is sent at once.
#[derive(Clone, Copy, Debug)]
pub struct PushLimits {
    /// To one receiver that nothing is known of.
    pub window: u32,
    /// To one receiver that answers briskly.
    pub max_window: u32,
    /// To all receivers.
    pub max_in_flight: u32,
    /// To one host, all its streams together.
    pub max_per_host: u32,
    /// How long a SET is held.
    pub lease: Duration,
    /// How long an attempt may take.
    pub timeout: Duration,
}

/// Takes what is due and sends it. A tick takes and starts sending; it does not wait for answers, so that a slow
/// receiver holds up nobody. Each answer rings `wake`, because it made room.
#[derive(Clone, Debug)]
pub struct Push {
    pub(super) pool: PgPool,
    pub(super) env: Env,
    desk: SigningDesk,
    sender: Sender,
    settler: Settler,
    limits: PushLimits,
    pub(super) wake: Wake,
    pub(super) in_flight: InFlight,
    pub(super) hand: Arc<Hand>,
    pub(super) courier: Arc<Courier>,
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
        let bounds = Bounds { first: limits.window, most: limits.max_window.max(limits.window) };
        let in_flight = InFlight::new(bounds, limits.max_per_host, limits.max_in_flight);
        Self {
            pool,
            env,
            desk,
            sender,
            settler,
            limits,
            wake,
            in_flight,
            hand: Arc::default(),
            courier: Arc::default(),
        }
    }

    /// Ends when nothing is on the wire or in the hand, and everything that was is settled.
    pub async fn idle(&self) {
        self.in_flight.idle().await;
    }

    /// Gives up what is in the hand, and ends when nothing is on the wire any more and everything that was is settled.
    pub async fn finish(&self) {
        self.empty_the_hand().await;
        self.in_flight.idle().await;
    }

    pub(super) fn launch(self: Arc<Self>, taken: Taken, lease: LeaseId, flight: Flight) {
        tokio::spawn(self.carry(taken, lease, flight));
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
        let landing = match &settlement.outcome {
            Outcome::Trouble { .. } => Landing::Failed,
            _ if settlement.sent_at.is_none() => Landing::Unsent,
            Outcome::Acknowledged { .. } | Outcome::Refused { .. } => Landing::Answered,
        };
        let is_bulk = flight.room().is_bulk;
        let is_brisk = flight.land(landing, settlement.answered_at);
        if landing == Landing::Failed {
            self.give_back(self.hand.clear(stream)).await;
        }
        self.call_courier(stream);
        self.ask_for_more(stream, is_bulk, is_brisk);
        if let Err(error) = self.settler.settle(settlement).await {
            // the lease ends by itself, and the receiver will know the SET again by its jti
            tracing::warn!(delivery.id = %id, stream.id = %stream, error = %chain(&error), "a delivery could not be settled and will be sent again");
        }
        drop(flight);
        // what waited behind it, about the same subject, may go now
        self.ask_for_more(stream, is_bulk, is_brisk);
    }

    /// Rings the worker; while the receiver answers briskly, only once its window, or the hand, is half empty: filling it
    /// up one by one would cost a claim for every answer.
    fn ask_for_more(&self, stream: StreamKey, is_bulk: bool, is_brisk: bool) {
        let wants = self.in_flight.to(stream, self.env.now()).is_none_or(|busy| {
            let (free, bulk_free) = self.free(&busy);
            if is_bulk { bulk_free > 0 } else { free > 0 }
        });
        if wants || !is_brisk {
            self.wake.wake();
        }
    }

    /// How much more a stream may be given, and how much more bulk: what is on the wire is filled up to its width. Of bulk
    /// some is taken ahead from who answers briskly. Nothing while a brisk receiver still has more than half of it.
    fn free(&self, busy: &Busy) -> (u32, u32) {
        let half_used = |used: u32, most: u32| busy.is_brisk && used > most / 2;
        let free = if half_used(busy.sending, busy.width) { 0 } else { busy.width.saturating_sub(busy.sending) };
        let held = u32::try_from(self.hand.of(busy.stream)).unwrap_or(u32::MAX);
        let used = busy.bulk + held;
        let bulk_free = if busy.is_brisk && busy.width > 1 {
            let most = busy.bulk_width + AHEAD;
            if half_used(used, most) { 0 } else { most.saturating_sub(used) }
        } else {
            busy.bulk_width.saturating_sub(used).min(busy.width.saturating_sub(busy.sending))
        };
        (free, bulk_free)
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
        self.give_back(self.hand.overdue(now)).await;
        let mut versions = self.look_into_the_hand().await?;
        let this = Arc::new(self.clone());
        let busy = self.in_flight.busy(now);
        let (hosts, host_counts) = self.in_flight.hosts();
        let sending: i64 = busy.iter().map(|busy| i64::from(busy.sending)).sum();
        // what is in the hand takes no place from what is more urgent; all hands together are as wide as the wire
        let held = i64::try_from(self.hand.all()).unwrap_or(i64::MAX);
        let limit = i64::from(self.limits.max_in_flight) - sending;
        let bulk_limit = (i64::from(self.limits.max_in_flight) - held).max(0);
        if limit <= 0 {
            this.send_now(&versions).await;
            return Ok(0);
        }
        let lease = LeaseId::new(now, &*self.env.random);
        let mut conn = self.pool.acquire().await?;
        let (free, bulk_free): (Vec<i32>, Vec<i32>) = busy
            .iter()
            .map(|busy| self.free(busy))
            .map(|(free, bulk_free)| (as_integer(free), as_integer(bulk_free)))
            .unzip();
        let streams: Vec<StreamKey> = busy.iter().map(|busy| busy.stream).collect();
        let counts: Vec<i32> = busy.iter().map(|busy| as_integer(busy.sending)).collect();
        let room = take::Room {
            busy: &streams,
            in_flight: &counts,
            free: &free,
            bulk_free: &bulk_free,
            window: as_integer(self.limits.window),
            limit,
            bulk_limit,
            busy_hosts: &hosts,
            in_flight_to_hosts: &host_counts,
            per_host: as_integer(self.limits.max_per_host),
            per_host_of_bulk: as_integer(for_bulk(self.limits.max_per_host)),
        };
        let (lease_ends, impatient_since) = (now.plus(self.limits.lease), now.minus(ANNOUNCEMENTS_FIRST));
        let taken = take::push(&mut conn, &room, lease, now, lease_ends, impatient_since).await?;
        drop(conn);
        let count = taken.len();
        for stream in taken.iter().filter(|one| one.announces()).map(|one| one.stream) {
            // nothing may follow what announces a stop
            self.give_back(self.hand.clear(stream)).await;
        }
        let send_by = now.plus(may_wait(self.limits.lease, self.limits.timeout));
        let (bulk, others): (Vec<Taken>, Vec<Taken>) =
            taken.into_iter().partition(|one| one.is_bulk() && !one.announces());
        for delivery in others {
            let flight = self.in_flight.enter(self.in_flight.carry(), room_of(&delivery), now);
            Arc::clone(&this).launch(delivery, lease, flight);
        }
        // a claim has seen the row as a look does, and later
        versions.extend(bulk.iter().map(|one| (one.stream, one.stream_version.clone())));
        for taken in bulk {
            self.hand.hold(Held { taken, lease, send_by, carried: self.in_flight.carry() });
        }
        this.send_now(&versions).await;
        Ok(count)
    }
}

pub(super) fn room_of(taken: &Taken) -> Room {
    Room { stream: taken.stream, host: taken.endpoint_host.clone(), is_bulk: taken.is_bulk() }
}

fn as_integer(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
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

/// How much bulk is taken ahead of its room from a receiver that answers briskly: it goes out within a moment.
const AHEAD: u32 = 32;
