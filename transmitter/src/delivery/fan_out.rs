//! The fan-out worker: each recorded decision becomes one delivery per stream that wants it, in one transaction.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{PgConnection, PgPool};
use ssf_common::clock::Timestamp;
use ssf_common::event::{EventType, StreamStatus, Vocabulary};
use ssf_common::protocol::DeliveryMethod;
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::{Wake, Worker};

use super::portion::portion;
use super::store::fan_out::{self as store, Planned, Recorded, Rings};
use super::store::promote::{self, Missed};
use super::{Bell, DeliveryId};
use crate::outbox::Lane;
use crate::stream::StreamKey;
use crate::stream::store::{Subscription, subscriptions};
use crate::stream::subjects::{Asked, Subjects};

/// Takes recorded decisions in order of lane and recording. Any number of processes may run it: the transaction holds
/// an advisory lock, because two of them at once could give one subject's events their places in the wrong order.
#[derive(Debug)]
pub struct FanOut {
    pool: PgPool,
    env: Env,
    vocabulary: Arc<Vocabulary>,
    subjects: Subjects,
    push: Wake,
    polls: Bell,
    missed: Mutex<Locked>,
    /// How many decisions are looked at next.
    batch: AtomicI64,
}

/// What should have been promoted and was locked.
#[derive(Debug, Default)]
struct Locked {
    rows: Vec<Missed>,
    tries: u8,
}

impl FanOut {
    /// `push` is rung for new push deliveries, `polls` for those of poll streams.
    pub fn new(
        pool: PgPool,
        env: Env,
        vocabulary: Arc<Vocabulary>,
        subjects: Subjects,
        push: Wake,
        polls: Bell,
    ) -> Self {
        Self { pool, env, vocabulary, subjects, push, polls, missed: Mutex::default(), batch: AtomicI64::new(BATCH) }
    }

    fn check(&self, recorded: &Recorded) -> Option<String> {
        if recorded.checked {
            return None;
        }
        let event_type = EventType::from_uri(&recorded.event_type, &self.vocabulary);
        let (Some(subject), Some(payload)) = (&recorded.subject, &recorded.payload) else {
            return Some(
                "the subject or the payload is nested too deeply or has a number that is too large".to_owned(),
            );
        };
        crate::outbox::objection(event_type, subject, payload, recorded.occurred_at).map(|why| why.to_string())
    }

    /// Drops the deliveries of events about subjects that their stream does not want (SSF 1.0 §8.1.3). Control events are
    /// wanted always, and streams that have all subjects are not asked.
    async fn drop_unwanted(
        &self,
        conn: &mut PgConnection,
        recorded: &[Recorded],
        streams: &[Subscription],
        deliveries: &mut Vec<Planned>,
        now: Timestamp,
    ) -> sqlx::Result<()> {
        let filtering: HashSet<StreamKey> =
            streams.iter().filter(|stream| stream.filters_subjects).map(|stream| stream.key).collect();
        if filtering.is_empty() {
            return Ok(());
        }
        let (places, asked): (Vec<usize>, Vec<Asked<'_>>) = deliveries
            .iter()
            .enumerate()
            .filter_map(|(place, planned)| {
                let event = recorded.get(planned.place).filter(|event| event.stream.is_none())?;
                let asked = Asked {
                    issuer: event.issuer,
                    seq: event.seq,
                    subject: event.subject.as_ref(),
                    stream: planned.stream,
                };
                filtering.contains(&planned.stream).then_some((place, asked))
            })
            .unzip();
        let unwanted = self.subjects.unwanted(conn, &asked, now).await?;
        let unwanted: HashSet<usize> = unwanted.into_iter().map(|at| places[at]).collect();
        let mut place = 0..;
        deliveries.retain(|_| place.next().is_none_or(|place| !unwanted.contains(&place)));
        Ok(())
    }

    /// Promotes what was locked when it should have been; how much is worth another look at once.
    async fn promote_missed(&self) -> sqlx::Result<usize> {
        let missed = self.locked(|locked| locked.rows.clone());
        if missed.is_empty() {
            return Ok(0);
        }
        let mut tx = self.pool.begin().await?;
        let still = promote::again(&mut tx, &missed).await?;
        if still.len() < missed.len() {
            store::ring(&mut tx, Rings { push: true, polls: true }).await?;
        }
        tx.commit().await?;
        if still.len() < missed.len() {
            self.push.wake();
        }
        Ok(self.locked(|locked| {
            locked.tries = if still.len() < missed.len() { 0 } else { locked.tries.saturating_add(1) };
            locked.rows = still;
            // a claim holds its rows for moments; who holds them longer is looked after at leisure
            if locked.tries < TRIES_AT_ONCE { locked.rows.len() } else { 0 }
        }))
    }

    fn locked<T>(&self, change: impl FnOnce(&mut Locked) -> T) -> T {
        change(&mut self.missed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ring(&self, rung: &Rung) {
        for stream in &rung.polls {
            self.polls.ring(*stream);
        }
        if rung.push {
            self.push.wake();
        }
    }
}

/// For whom something arrived.
struct Rung {
    push: bool,
    polls: Vec<StreamKey>,
}

impl Rung {
    fn of(deliveries: &[Planned], streams: &[Subscription]) -> Self {
        let methods: HashMap<StreamKey, DeliveryMethod> =
            streams.iter().map(|stream| (stream.key, stream.method)).collect();
        let mut all: Vec<StreamKey> = deliveries.iter().map(|delivery| delivery.stream).collect();
        all.sort_unstable();
        all.dedup();
        let (polls, pushed): (Vec<StreamKey>, Vec<StreamKey>) =
            all.into_iter().partition(|stream| methods.get(stream) == Some(&DeliveryMethod::Poll));
        Self { push: !pushed.is_empty(), polls }
    }
}

impl Worker for FanOut {
    const NAME: &'static str = "fan-out";
    type Error = sqlx::Error;

    async fn tick(&self) -> Result<usize, sqlx::Error> {
        let locked = self.promote_missed().await?;
        let mut tx = self.pool.begin().await?;
        let limit = self.batch.load(Ordering::Relaxed);
        let mut recorded = store::take(&mut tx, limit).await?;
        if recorded.is_empty() {
            return Ok(locked);
        }
        let mut issuers: Vec<_> = recorded.iter().map(|event| event.issuer).collect();
        issuers.sort_unstable();
        issuers.dedup();
        let streams = subscriptions(&mut tx, &issuers).await?;
        let now = self.env.now();
        let mut judged: Vec<(Option<String>, Vec<StreamKey>)> = recorded
            .iter()
            .map(|event| match self.check(event) {
                Some(rejection) => (Some(rejection), Vec::new()),
                None => (None, streams.iter().filter(|stream| wants(stream, event)).map(|stream| stream.key).collect()),
            })
            .collect();
        let counts: Vec<usize> = judged.iter().map(|(_, wanting)| wanting.len()).collect();
        let now_done = portion(&recorded, &counts, DELIVERIES_AT_ONCE);
        self.batch.store(batch_after(limit, recorded.len(), now_done.len()), Ordering::Relaxed);
        keep(&mut recorded, &now_done);
        keep(&mut judged, &now_done);
        let (rejections, wanting): (Vec<Option<String>>, Vec<Vec<StreamKey>>) = judged.into_iter().unzip();
        let lanes = promoted(&recorded);
        let mut deliveries = Vec::new();
        for (place, (lane, wanting)) in lanes.iter().zip(wanting).enumerate() {
            deliveries.extend(wanting.into_iter().map(|stream| {
                let id = DeliveryId::new(now, &*self.env.random);
                Planned { id, place, stream, lane: *lane }
            }));
        }
        self.drop_unwanted(&mut tx, &recorded, &streams, &mut deliveries, now).await?;
        let rung = Rung::of(&deliveries, &streams);
        let rings = Rings { push: rung.push, polls: !rung.polls.is_empty() };
        let missed = store::finish(&mut tx, &recorded, &rejections, &deliveries, rings, now).await?;
        tx.commit().await?;
        self.locked(|locked| {
            locked.tries = 0;
            locked.rows.extend(missed);
        });
        for (event, rejection) in recorded.iter().zip(&rejections) {
            if let Some(rejection) = rejection {
                tracing::error!(event.id = %event.event_id, rejection, "an event emitted by SQL is not valid and goes nowhere");
            }
        }
        self.ring(&rung);
        Ok(recorded.len())
    }
}

/// How many decisions to look at next time: of what is read and judged, most must be done, or a mass revocation to a
/// thousand streams is read over and over for the few that fit into one transaction.
fn batch_after(limit: i64, read: usize, done: usize) -> i64 {
    let done_in = i64::try_from(done).unwrap_or(BATCH);
    // a tenth more than fitted, so that it grows again when fewer streams want them
    let next = if done < read { done_in + done_in / 10 + 1 } else { limit.saturating_mul(2) };
    next.clamp(1, BATCH)
}

/// Keeps those at `places`, which are in order.
fn keep<T>(all: &mut Vec<T>, places: &[usize]) {
    let (mut place, mut kept) = (0.., places.iter().peekable());
    all.retain(|_| kept.next_if_eq(&&place.next().unwrap_or(usize::MAX)).is_some());
}

/// Type ∩ status; a control event goes to its one stream, past the filters.
fn wants(stream: &Subscription, event: &Recorded) -> bool {
    stream.issuer_id == event.issuer
        && stream.status != StreamStatus::Disabled
        && match event.stream {
            // a paused stream holds its verification like everything else
            Some(addressed) => addressed == stream.key,
            None => stream.events_delivered.contains(&event.event_type),
        }
}

/// The lanes in which the events of one batch (in order of recording) leave: an event is promoted to the most urgent
/// lane of a later one about the same subject, so that order within the subject never holds the urgent one back.
fn promoted(batch: &[Recorded]) -> Vec<Lane> {
    let mut most_urgent: HashMap<i64, Lane> = HashMap::new();
    let mut lanes: Vec<Lane> = batch
        .iter()
        .rev()
        .map(|event| {
            let lane = most_urgent.entry(event.order_key).or_insert(event.lane);
            *lane = event.lane.min(*lane);
            *lane
        })
        .collect();
    lanes.reverse();
    lanes
}

/// How often what is locked is looked at without a pause.
const TRIES_AT_ONCE: u8 = 20;
/// The most decisions looked at in one transaction, without those that come along for their subject's sake …
const BATCH: i64 = 500;
/// … and the most deliveries made in one, unless one decision alone becomes more.
const DELIVERIES_AT_ONCE: usize = 20_000;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use ssf_common::clock::Timestamp;
    use ssf_common::random::SystemRandom;

    use super::*;
    use crate::issuer::IssuerId;
    use crate::outbox::EventId;

    pub(in crate::delivery) fn recorded(seq: i64, order_key: i64, lane: Lane) -> Recorded {
        Recorded {
            seq,
            event_id: EventId::new(Timestamp::EPOCH, &SystemRandom),
            issuer: IssuerId(uuid::Uuid::nil()),
            stream: None,
            event_type: "urn:a".into(),
            subject: Some(json!({})),
            payload: Some(json!({})),
            order_key,
            lane,
            checked: true,
            occurred_at: Timestamp::EPOCH,
            recorded_at: Timestamp::EPOCH,
            batch: None,
        }
    }

    fn subscription(issuer_id: IssuerId, status: StreamStatus) -> Subscription {
        let key = StreamKey::unguessable(&SystemRandom);
        Subscription {
            key,
            issuer_id,
            status,
            method: DeliveryMethod::Push,
            events_delivered: vec!["urn:a".into()],
            filters_subjects: false,
        }
    }

    #[test]
    fn a_stream_gets_what_it_asked_for_from_its_own_issuer_while_it_sends_or_holds() {
        let ours = IssuerId(uuid::Uuid::nil());
        let event = recorded(1, 1, Lane::Prompt);
        assert!(wants(&subscription(ours, StreamStatus::Enabled), &event));
        assert!(wants(&subscription(ours, StreamStatus::Paused), &event));
        assert!(!wants(&subscription(ours, StreamStatus::Disabled), &event));
        assert!(!wants(&subscription(IssuerId(uuid::Uuid::max()), StreamStatus::Enabled), &event));
        assert!(!wants(
            &subscription(ours, StreamStatus::Enabled),
            &Recorded { event_type: "urn:b".into(), ..recorded(1, 1, Lane::Prompt) }
        ));
    }

    #[test]
    fn no_more_is_looked_at_than_is_done() {
        // 20 fit: one reading too much, and then a little more than fits
        assert_eq!(batch_after(BATCH, 500, 20), 23);
        assert_eq!(batch_after(23, 23, 20), 23);
        assert_eq!(batch_after(23, 23, 23), 46, "it grows again");
        assert_eq!((batch_after(400, 400, 400), batch_after(BATCH, 900, 900), batch_after(1, 3, 0)), (BATCH, BATCH, 1));
    }

    #[test]
    fn a_control_event_goes_to_its_stream_alone_and_not_while_it_is_disabled() {
        let ours = IssuerId(uuid::Uuid::nil());
        let (stream, other) = (subscription(ours, StreamStatus::Enabled), subscription(ours, StreamStatus::Enabled));
        let event = Recorded {
            stream: Some(stream.key),
            event_type: "urn:verification".into(),
            ..recorded(1, 1, Lane::Urgent)
        };
        assert!(wants(&stream, &event) && !wants(&other, &event));
        assert!(!wants(&Subscription { status: StreamStatus::Disabled, ..stream }, &event));
    }

    proptest! {
        #[test]
        fn within_a_subject_no_event_is_held_back_by_an_earlier_less_urgent_one(events in proptest::collection::vec((0_i64..4, 0_i16..3), 0..40)) {
            let batch: Vec<Recorded> = events.iter().enumerate().map(|(seq, (key, lane))| recorded(i64::try_from(seq).unwrap(), *key, Lane::from_number(*lane))).collect();
            let lanes = promoted(&batch);
            for (later, event) in batch.iter().enumerate() {
                prop_assert!(lanes[later] <= event.lane, "never demoted");
                for earlier in 0..later {
                    prop_assert!(batch[earlier].order_key != event.order_key || lanes[earlier] <= lanes[later]);
                }
            }
        }
    }
}
